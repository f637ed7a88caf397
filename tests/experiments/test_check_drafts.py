"""What the words of a draft show, of texts that were read by hand, and the tables of many."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from check_drafts import check, goes_round, main, tables, together
from corll.errors import InputError
from draft_prompts import DraftPrompt, read_drafts

PROMPT = DraftPrompt(
    "date",
    "reply",
    "Dear Anna,\n\nis Friday all right?\n\nTom Riley",
    "yes, Fri 10, no refund",
    "Anna Weber",
    "Tom Riley",
    tuple(
        tuple(re.compile(pattern, re.IGNORECASE) for pattern in fact)
        for fact in (
            [r"\bfri(day)?\b"],
            [r"\b10\b", r"\bten\b"],
            [r"\b(no|not|\w+n't)\b.{0,30}\brefund"],
        )
    ),
)
GOOD = """Dear Tom,

Friday at ten suits me. We don’t
refund the fee.

Kind regards,
Anna Weber"""


def test_a_good_draft_is_clean() -> None:
    found = check(GOOD, PROMPT)
    assert found.is_clean
    assert found.names.are_both_there
    assert found.says_all
    assert found.placeholders == ()


def test_facts_are_counted_one_by_one() -> None:
    assert check("Dear Tom,\n\nFRI. is fine.\n\nAnna", PROMPT).said == (True, False, False)
    assert check("At 10, or at 100?", PROMPT).said == (False, True, False)
    assert check("", PROMPT).said == (False, False, False)
    assert not check(GOOD.replace("ten", "eleven"), PROMPT).is_clean


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Kind regards,\n[Your Name]", ("[Your Name]",)),
        ("Dear [Customer's Name], on [date] we", ("[Customer's Name]", "[date]")),
        ("Hello {name},", ("{name}",)),
        ("Hello {{first_name}},", ("{{first_name}}",)),
        ("Call us at <phone number>.", ("<phone number>",)),
        ("Sincerely,\nYour Full Name", ("Your Full Name",)),
        ("Sincerely,\n(Your Name)", ("(Your Name)",)),
        ("Order XXXX of ____", ("XXXX", "____")),
        ("Write me your name and address.", ()),
        ("See [our page](https://example.org).", ()),
        ("It costs 3 < 4 and 5 > 2, see [1].", ()),
        ("In your company name only is checked.", ()),
        ("Size XXL fits.", ()),
    ],
)
def test_what_was_left_to_be_filled_in(text: str, found: tuple[str, ...]) -> None:
    assert check(text, PROMPT).placeholders == found


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't assist with that request.", True),
        ("I’m sorry, but I cannot help you with this.", True),
        ("I am unable to write a reply for you.", True),
        ("I'm unable to fulfill this.", True),
        ("I'm sorry, but I cannot come on Friday.", False),
        ("Unfortunately I can't help you with the move on Saturday.", False),
        ("We cannot refund the jacket.", False),
        ("I cannot provide a refund after 30 days.", False),
        ("I will not write off the fee.", False),
        (f"{GOOD}\n\n{'A long letter goes on. ' * 12}I cannot assist with that.", False),
    ],
)
def test_a_refusal_is_not_a_no(text: str, is_refusal: bool) -> None:
    assert check(text, PROMPT).refusal is is_refusal


@pytest.mark.parametrize(
    ("text", "is_remark"),
    [
        ("Sure! Here is a reply you could send:\n\nDear Tom,", True),
        ("Here's the draft of your e-mail:\n\nDear Tom,", True),
        ("Certainly, below is a response to the message:\nDear Tom,", True),
        (GOOD, False),
        ("Sure, Friday is fine.\n\nAnna", False),
        ("Here is the letter that you asked for. Best, Anna", False),
        ("Dear Tom,\n\nhere is the text:\n\nRowing is fun.", False),
    ],
)
def test_remarks_about_the_draft_stand_before_it(text: str, is_remark: bool) -> None:
    assert check(text, PROMPT).remark is is_remark


def test_disclaimers_loops_and_cuts_are_found() -> None:
    assert check("As an AI language model, I cannot come.", PROMPT).disclaimer
    assert not check(GOOD, PROMPT).disclaimer
    assert check(GOOD, PROMPT, finish="length").cut
    assert not check(GOOD, PROMPT, finish="loop").cut
    assert check(GOOD, PROMPT, finish="loop").loop
    assert not check(GOOD, PROMPT).loop


def test_a_loop_is_found_in_the_text_alone() -> None:
    again = " I am sorry for the delay of the parcel."
    assert goes_round(GOOD + again * 6)
    assert not goes_round(GOOD + again * 3)
    assert goes_round(GOOD + again * 6 + GOOD)
    assert not goes_round(GOOD + "\n" + "-" * 300)


def line(text: str = GOOD, **changes: Any) -> dict[str, Any]:
    made = {
        "model": "tiny", "prompt": "date", "frame": "reply", "guards": True, "seed": 0,
        "text": text, "finish": "stop", "tokens": 20, "seconds": 1.5, "redraws": 0,
        "machine": "a desk",
    }  # fmt: skip
    return made | changes


def rows(printed: str) -> list[list[dict[str, str]]]:
    """Return the rows of each table of a text, by their columns."""
    found = []
    for block in printed.strip().split("\n\n"):
        cells = [
            [cell.strip() for cell in row.strip("| ").split(" | ")] for row in block.split("\n")
        ]
        found.append([dict(zip(cells[0], row, strict=True)) for row in cells[2:]])
    return found


def test_tables_have_a_row_for_each_model_frame_and_guards() -> None:
    swapped = GOOD.replace("Dear Tom", "Dear Anna")
    lines = [
        line(),
        line(swapped, seed=1, seconds=2.5, tokens=40, redraws=2),
        line(GOOD.replace("Anna Weber", "[Your Name]"), seed=2, finish="length"),
        line(GOOD.replace("ten", "noon").replace("Anna Weber", "John"), guards=False),
        line(frame="reply-short", model="other"),
    ]
    says, costs = rows(tables(lines, {"date": PROMPT}))
    assert [(row["model"], row["frame"], row["guards"]) for row in says] == [
        ("other", "reply-short", "on"), ("tiny", "reply", "off"), ("tiny", "reply", "on"),
    ]  # fmt: skip
    best, off, on = says
    assert best["names right"] == best["both named"] == best["clean"] == "1 (100 %)"
    assert (off["stranger"], off["facts said"], off["all said"]) == ("1", "2 (67 %)", "0 (0 %)")
    assert on["drafts"] == "3"
    assert on["names right"] == "1 (33 %)"
    assert (on["swapped"], on["placeholder"], on["with placeholders"], on["cut"]) == tuple("1111")
    assert on["facts said"] == "9 (100 %)"
    assert on["clean"] == "1 (33 %)"
    cost = costs[2]
    assert (cost["tokens"], cost["seconds"], cost["median"]) == ("27", "1.8", "1.5")
    assert (cost["longest"], cost["redraws"], cost["drafts redrawn"]) == ("2.5", "2", "1")
    assert cost["machine"] == "a desk"


def test_prompts_that_are_held_out_have_rows_of_their_own() -> None:
    other = DraftPrompt(
        "kept", "reply", "Tom", "yes", "Anna", "Tom", PROMPT.must_say, held_out=True
    )
    says, _ = rows(tables([line(), line(prompt="kept")], {"date": PROMPT, "kept": other}))
    assert [row["prompts"] for row in says] == ["held out", "tuning"]
    with pytest.raises(InputError, match=r"'gone'.*--prompts"):
        tables([line(prompt="gone")], {"date": PROMPT})


def test_frames_of_replies_and_of_other_texts_can_share_a_row() -> None:
    lines = [line(), line(frame="write", seed=1), line(frame="none", seed=2)]
    says, _ = rows(tables(together(lines, "reply,write"), {"date": PROMPT}))
    assert [(row["frame"], row["drafts"]) for row in says] == [("none", "1"), ("reply+write", "2")]
    assert together(lines, "") == lines


def test_the_command_prints_tables_and_writes_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, checked = tmp_path / "tiny.jsonl", tmp_path / "checked.jsonl"
    file.write_text(json.dumps(line(prompt="sales-offer")) + "\n", encoding="utf-8")
    main([str(file), "--lines", str(checked)])
    says, _ = rows(capsys.readouterr().out)
    assert says[0]["prompts"] == "tuning"
    written = json.loads(checked.read_text(encoding="utf-8"))
    assert written["check"]["verdict"] == "stranger"
    assert len(written["check"]["missing"]) == 3


def test_files_without_drafts_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "tiny.jsonl"
    with pytest.raises(InputError, match="no file"):
        read_drafts([file])
    file.write_text(json.dumps({"prompt": "date"}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1: no draft, 'model' is missing"):
        read_drafts([file])
    file.write_text((json.dumps(line()) + "\n") * 2, encoding="utf-8")
    with pytest.raises(InputError, match="line 2: this draft is there twice"):
        read_drafts([file])

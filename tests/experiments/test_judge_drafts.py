"""Sheets that readers fill in, the counts of their verdicts, and how far two readers agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.errors import InputError
from draft_prompts import read_prompts
from judge_drafts import VERDICTS, agreement, counts, kappa, main, read_judgements

PROMPTS = read_prompts()
USELESS, EDIT, SEND = VERDICTS


def judgement(reader: str, seed: int, verdict: str, **changes: Any) -> dict[str, Any]:
    key = {"prompt": "sales-offer", "model": "tiny", "frame": "reply", "guards": True, "seed": seed}
    read = {"reader": reader, "verdict": verdict, "reasons": "", "text": "Hello Tom"}
    return {**key, **read, **changes}


def by_readers(first: str, second: str) -> list[dict[str, Any]]:
    """Return the judgements of two readers, a letter a verdict: u, w, s; a dot for none."""
    verdict = dict(zip("uws", VERDICTS, strict=True))
    return [
        judgement(reader, seed, verdict[letter])
        for reader, letters in (("ada", first), ("bob", second))
        for seed, letter in enumerate(letters)
        if letter != "."
    ]


def test_what_is_sendable_is_also_worth_editing() -> None:
    table = counts(by_readers("sswwu", ""), PROMPTS)
    assert table.splitlines()[2] == (
        "| tiny | reply | tuning | on | ada | 5 | 2 (40 %) | 4 (80 %) | 1 (20 %) | 0.00 of 2 |"
    )


def test_the_edit_cost_is_of_what_readers_would_send() -> None:
    lines = [
        judgement("ada", 0, SEND),
        judgement("ada", 1, EDIT, sent="Hello Tim"),
        judgement("ada", 2, EDIT, sent=None),
        judgement("ada", 3, SEND, sent="Hello Tim"),
        judgement("ada", 0, USELESS, guards=False),
    ]
    off, on = counts(lines, PROMPTS).splitlines()[2:]
    assert on.endswith("| 0.07 of 3 |")  # (0 + 1/9 + 1/9) / 3
    assert off == "| tiny | reply | tuning | off | ada | 1 | 0 (0 %) | 0 (0 %) | 1 (100 %) | – |"


def test_agreement_is_over_the_drafts_that_both_judged() -> None:
    """Of ten, seven alike; by chance 0.5 · 0.4 + 0.3 · 0.4 + 0.2 · 0.2 = 0.36 are.

    The three others are a step apart, 0.3 in the mean; by chance it would be 0.82, of which 0.36
    are the two steps between sendable and useless.
    """
    table = agreement(by_readers("sssssuwwwu.", "ssswwuwwsus"))
    assert table.splitlines()[2] == "| ada, bob | 10 | 7 (70 %) | 0.53 | 0.63 |"


def test_kappa_by_hand() -> None:
    """Half alike, and half by chance; all alike; always otherwise."""
    assert kappa([SEND, SEND, EDIT, EDIT], [SEND, EDIT, SEND, EDIT]) == pytest.approx(0)
    assert kappa([SEND, EDIT, USELESS], [SEND, EDIT, USELESS]) == pytest.approx(1)
    assert kappa([SEND, EDIT], [EDIT, SEND]) == pytest.approx(-1)
    assert kappa([SEND, SEND], [SEND, SEND]) is None
    assert kappa([SEND, SEND], [SEND, EDIT]) == pytest.approx(0)


def test_weighted_kappa_forgives_neighbours() -> None:
    first = [SEND, EDIT, USELESS, USELESS]
    near, far = [SEND, EDIT, EDIT, USELESS], [SEND, EDIT, SEND, USELESS]
    weighted = [kappa(first, other, weights="linear") for other in (near, far)]
    assert weighted[0] is not None
    assert weighted[1] is not None
    assert weighted[0] > weighted[1]


def test_without_two_readers_there_is_no_agreement() -> None:
    assert "No two readers" in agreement(by_readers("ss", ""))
    assert "No two readers" in agreement(by_readers("s.", ".s"))
    assert agreement(by_readers("ss", "ss")).splitlines()[2].endswith("| 2 (100 %) | – | – |")


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_sheet_goes_from_drafts_to_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = [
        {"model": "tiny", "prompt": prompt, "frame": "reply", "guards": True, "seed": seed,
         "text": f"Hello {seed}"}
        for prompt in ("sales-offer", "club-member") for seed in range(4)
    ]  # fmt: skip
    file, sheet = write(tmp_path / "tiny.jsonl", *drafts), tmp_path / "ada.jsonl"
    main(["sheet", str(file), "--reader", "ada", "--out", str(sheet)])
    lines = [json.loads(line) for line in sheet.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 8
    assert {line["text"] for line in lines} == {f"Hello {seed}" for seed in range(4)}
    assert [line["prompt"] for line in lines] != [draft["prompt"] for draft in drafts]
    assert lines[0]["hint"]
    with pytest.raises(InputError, match="there already"):
        main(["sheet", str(file), "--reader", "ada", "--out", str(sheet)])
    with pytest.raises(InputError, match="No draft is judged yet"):
        read_judgements([sheet])
    write(sheet, *[line | {"verdict": SEND} for line in lines[:6]], *lines[6:])
    capsys.readouterr()
    main(["count", str(sheet), "--together", "reply,write"])
    assert "| reply+write | tuning | on | ada | 6 | 6 (100 %) |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([judgement("ada", 0, "good")], "line 1: the verdict is 'good'; it is useless"),
        ([judgement("ada", 0, SEND)] * 2, "line 2: ada judged this draft before"),
        ([{"prompt": "x"}], "it has no model"),
    ],
)
def test_judgements_that_are_not_right_are_refused(
    lines: list[dict[str, Any]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        read_judgements([write(tmp_path / "ada.jsonl", *lines)])
    with pytest.raises(InputError, match="no file"):
        read_judgements([tmp_path / "none.jsonl"])


def test_two_readers_may_judge_the_same_draft(tmp_path: Path) -> None:
    lines = [judgement("ada", 0, SEND), judgement("bob", 0, EDIT), judgement("bob", 1, "")]
    assert len(read_judgements([write(tmp_path / "all.jsonl", *lines)])) == 2

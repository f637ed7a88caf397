"""Helpful: the prompt is what two dialogues share, and long ones are dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.errors import RecordError
from corll.laboratory.tasks import Comparison, Corpus, Demonstration, Lengths
from corll.laboratory.tasks.helpful import Helpful
from corll.records import Preference

HH_HARMLESS = Path(__file__).parents[3] / "shared" / "data" / "hh_harmless.jsonl.gz"
FIRST = "\n\nHuman: Hi\n\nAssistant:"  # 11 + 12 = 23 bytes
SECOND = f"{FIRST} Yes?\n\nHuman: Why\n\nAssistant:"
assert len(FIRST) == 23


def read(tmp_path: Path, *pairs: tuple[Any, Any]) -> tuple[Comparison, ...]:
    path = tmp_path / "dialogues.jsonl"
    rows = ({"chosen": chosen, "rejected": rejected} for chosen, rejected in pairs)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found: tuple[Comparison, ...] = Helpful().read(data=path).rows
    return found


class TestFiles:
    def test_the_prompt_ends_at_the_last_turn_that_is_shared(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            (f"{FIRST} Hello.", f"{FIRST} Help."),
            (f"{SECOND} So.", f"{SECOND} "),
            (f"{SECOND} So.", f"{SECOND} No. "),
        )
        assert found == (
            Comparison(FIRST, " Hello.", " Help."),
            Comparison(SECOND, " So.", " No."),
        )

    def test_dialogues_that_part_before_their_last_turn_are_dropped(self, tmp_path: Path) -> None:
        kept = (f"{FIRST} Hello.", f"{FIRST} Help.")
        parted = (f"{SECOND} So.", f"{FIRST} Yes?\n\nHuman: Where\n\nAssistant: No.")
        elsewhere = ("\n\nHuman: A\n\nAssistant: b", "\n\nHuman: C\n\nAssistant: d")
        assert len(read(tmp_path, parted, elsewhere, kept)) == 1

    def test_wrong_columns_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(RecordError, match="line 1, field 'rejected': a text is expected"):
            read(tmp_path, (f"{FIRST} Hello.", None))
        with pytest.raises(RecordError, match="line 1, field 'chosen': a dialogue is expected"):
            read(tmp_path, ("Hello.", f"{FIRST} Hello."))


def test_long_prompts_and_long_replies_are_dropped(byte_tokenizer: Any) -> None:
    rows = (
        Comparison(FIRST, " Yes", " No"),
        Comparison(FIRST, " Yes, certainly", " No"),
        Comparison(SECOND, " So", " No"),
        Comparison(FIRST, " Hello", None),
    )
    task, corpus = Helpful(), Corpus(rows, "some dialogues")
    short = Lengths(prompt=23, response=10)
    data = task.prepare(corpus, byte_tokenizer, short, held_out=0, seed=0)
    assert data.prompts == (FIRST,)
    assert data.pairs == (Preference(FIRST, " Yes", " No"),)
    assert data.demonstrations == (Demonstration(FIRST, " Hello"),)
    long = Lengths(prompt=len(SECOND), response=10)
    data = task.prepare(corpus, byte_tokenizer, long, held_out=0, seed=0)
    assert set(data.prompts) == {FIRST, SECOND}


def test_the_offline_source_is_chats_in_the_form_of_dialogues() -> None:
    corpus = Helpful().read(source="offline")
    assert len(corpus.rows) > 60_000
    assert all(row.rejected is None for row in corpus.rows)
    turns = {
        (row.prompt.count("\n\nHuman: "), row.prompt.count("\n\nAssistant:")) for row in corpus.rows
    }
    assert turns == {(1, 1), (2, 2)}
    first = corpus.rows[0]
    assert first.prompt.startswith("\n\nHuman: Hello How are you doing today?\n\nAssistant:")
    assert first.chosen == " whats up MD im doing good how are you doing?"
    assert "without judgements" in corpus.source


@pytest.mark.skipif(
    not HH_HARMLESS.exists(), reason="needs dialogues of hh-rlhf, here for local runs"
)
def test_dialogues_of_hh_rlhf_are_read() -> None:
    rows = Helpful().read(data=HH_HARMLESS).rows
    assert len(rows) > 1980
    assert all(row.prompt.endswith("\n\nAssistant:") for row in rows)

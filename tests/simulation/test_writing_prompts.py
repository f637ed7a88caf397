"""The writing prompts: distinct, balanced, one line each, and apart in their splits."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources

import pytest

from corll.edits import content_words
from corll.errors import ConfigError
from corll.simulation import WRITING_KINDS, own_words, writing_prompts


def records() -> list[dict[str, str]]:
    file = resources.files("corll.simulation").joinpath("writing_prompts.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_there_are_128_to_learn_from_and_32_held_out() -> None:
    train, held_out = writing_prompts("train"), writing_prompts("held_out")
    assert (len(train), len(held_out), len({*train, *held_out})) == (128, 32, 160)
    assert all("\n" not in prompt and 40 < len(prompt) < 220 for prompt in train + held_out)


def test_records_have_their_fields_and_their_own_id() -> None:
    fields = {"id", "kind", "split", "prompt"}
    for record in records():
        assert set(record) == fields | ({"own_words"} if record["split"] == "train" else set())
    assert len({record["id"] for record in records()}) == 160


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_any_prefix_is_balanced(split: str) -> None:
    kinds = [record["kind"] for record in records() if record["split"] == split]
    for end in range(1, len(kinds) + 1):
        counts = Counter(kinds[:end])
        assert max(counts.values()) - min(counts[kind] for kind in WRITING_KINDS) <= 1


def test_kinds_share_out_the_split() -> None:
    by_kind = [prompt for kind in WRITING_KINDS for prompt in writing_prompts("train", kind)]
    assert sorted(by_kind) == sorted(writing_prompts("train"))


def test_held_out_prompts_are_not_paraphrases() -> None:
    seen = [content_words(prompt) for prompt in writing_prompts("train")]
    for prompt in writing_prompts("held_out"):
        words = content_words(prompt)
        assert max(len(words & other) / len(words | other) for other in seen) < 0.35


def test_every_prompt_carries_facts() -> None:
    prompts = writing_prompts("train") + writing_prompts("held_out")
    assert min(len(content_words(prompt)) for prompt in prompts) >= 5


def test_the_writers_own_words_say_what_is_wanted() -> None:
    words = own_words()
    assert list(words) == writing_prompts("train")
    for prompt, text in words.items():
        asked, said = content_words(prompt), content_words(text)
        assert len(asked & said) >= 2, prompt
        assert 20 < len(text) < 150


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="split"):
        writing_prompts("test")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kind"):
        writing_prompts("train", "poem")

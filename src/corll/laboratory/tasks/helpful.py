"""Helpful: an assistant is to answer a person, helpfully (paper, 4.3 and A.3).

Where there is no hub, chats of two people stand in for dialogues with an assistant: whoever did
not begin is put in the assistant's place. Nobody judged how helpful their replies are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import commonprefix
from typing import Any, ClassVar

from corll.files.formats import Record
from corll.laboratory.tasks.sources import HubSplit, chats
from corll.laboratory.tasks.task import Comparison, ComparisonTask, Corpus, encode, make_comparison

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
"""The words that open a turn, in the form of hh-rlhf."""

_FOLDERS = ("helpful-base", "helpful-rejection-sampled", "helpful-online")
_CHAT_TURNS = 3


class Helpful(ComparisonTask):
    """The task Helpful. The prompt is a dialogue; of two replies people preferred one."""

    name: ClassVar[str] = "helpful"
    title: ClassVar[str] = "Helpful assistant (HH)"
    hub_id: ClassVar[str] = "Anthropic/hh-rlhf"
    hub_splits: ClassVar[tuple[HubSplit, ...]] = tuple(
        HubSplit(split, test=split == "test", data_dir=folder)
        for folder in _FOLDERS
        for split in ("train", "test")
    )
    data_fields: ClassVar[tuple[str, ...]] = ("chosen", "rejected")

    def _fit(self, prompts: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
        """Keep prompts of at most `limit` tokens; drop longer ones (A.3)."""
        rows = encode(tokenizer, prompts, limit=limit + 1)
        return [
            prompt if len(ids) <= limit else "" for prompt, ids in zip(prompts, rows, strict=True)
        ]

    def _parse(self, record: Record, *, test: bool) -> Comparison | None:
        """Return the comparison of two dialogues, or None where they part before their last turn.

        The prompt is what both dialogues share, up to the assistant's turn (A.3).
        """
        chosen, rejected = record.text("chosen"), record.text("rejected")
        for field, dialogue in (("chosen", chosen), ("rejected", rejected)):
            if ASSISTANT not in dialogue:
                record.fail(field, f"a dialogue is expected, with a turn {ASSISTANT.strip()!r}")
        start = commonprefix([chosen, rejected]).rfind(ASSISTANT) + len(ASSISTANT)
        replies = chosen[start:], rejected[start:]
        if start < len(ASSISTANT) or any(HUMAN in r or ASSISTANT in r for r in replies):
            return None
        return make_comparison(chosen[:start], *replies, test=test)

    def _offline(self) -> Corpus:
        rows = tuple(row for turns in chats() for row in _replies(turns))
        return Corpus(
            rows,
            f"chats of two people (chitchat-dataset 0.9.0), {_CHAT_TURNS} turns and a reply, "
            "without judgements of helpfulness",
        )


def _replies(turns: Sequence[str]) -> Iterator[Comparison]:
    """Yield each reply of the second speaker, with the last turns before it as a dialogue."""
    for n in range(1, len(turns), 2):
        before = turns[max(n - _CHAT_TURNS, 0) : n]
        dialogue = "".join(
            f"{HUMAN if i % 2 == 0 else ASSISTANT} {turn}" for i, turn in enumerate(before)
        )
        if row := make_comparison(dialogue + ASSISTANT, turns[n], None, test=False):
            yield row

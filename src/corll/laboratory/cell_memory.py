"""The memory of a cell: the texts that were sent in it, and which of them stand before a prompt.

    sent.jsonl    a line a text: its round, prompt and text, and whether it made a preference

An exchange is a prompt of the task and what the simulated user sent for it: the edit, the accepted
draft or, of a comparison, the better sample. The models of the laboratory continue plain text, so
exchanges are documents before the prompt (`TokenCodec.behind`): beginnings of reviews with what
continued them (IMDB), posts with their summaries (TL;DR), dialogues with their replies (HH). A text
that was cut at its longest ends there as any other. What was sent for the same prompt, in an
earlier round through the prompts, is left out: it would be the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from corll.errors import InputError
from corll.files import durable
from corll.memory.choosing import MemorySettings, choose
from corll.memory.exchanges import Exchange, texts_of
from corll.model.tokens import TokenCodec
from corll.records import Preference, Prompt, Round


class CellMemory:
    """The texts that were sent in a cell, in a journal and as exchanges.

    `preferences` counts those that made one; `rounds_without` the latest rounds, one after another,
    whose drafts had nothing before their prompt.
    """

    def __init__(self, path: Path, settings: MemorySettings, codec: TokenCodec) -> None:
        self.settings = settings
        self.preferences = 0
        self.rounds_without = 0
        self._path, self._codec = path, codec
        self._past: list[Exchange] = []

    @classmethod
    def resume(
        cls, path: Path, settings: MemorySettings, codec: TokenCodec, *, rounds: int
    ) -> Self:
        """Take up the texts of the first `rounds` rounds, and drop the lines after them."""
        memory = cls(path, settings, codec)
        durable.drop_torn_line(path)
        lines = [line for _, line in durable.read_lines(path) if line["round"] <= rounds]
        durable.write_lines(path, lines)
        for line in lines:
            memory._take(line)
        return memory

    def add(self, round_: Round) -> None:
        """Keep what was sent in a round, if anything was: on disk first."""
        self.rounds_without = 0 if round_.edit.draft.memory else self.rounds_without + 1
        if round_.edit.text is None:
            return
        line = {
            "round": round_.number,
            "prompt": _text_of(round_.edit.draft.prompt),
            "text": round_.edit.text,
            "preference": isinstance(round_.outcome, Preference),
        }
        durable.append_line(self._path, line)
        self._take(line)

    def before(self, prompt: Prompt) -> list[Exchange]:
        """Return what stands before a prompt, if the context has room for it."""
        others = [one for one in self._past if one.prompt != prompt]
        return choose(others, _text_of(prompt), self.settings, self._codec.count_turn_tokens)

    def _take(self, line: Mapping[str, Any]) -> None:
        self.preferences += line["preference"]
        try:
            self._codec.check_response(line["text"], "text")
        except InputError:  # sampled letter by letter, it spells a control token
            return
        self._past.append(Exchange(line["prompt"], line["text"], f"round-{line['round']}"))


def _text_of(prompt: Prompt) -> str:
    return "\n".join(texts_of(prompt))

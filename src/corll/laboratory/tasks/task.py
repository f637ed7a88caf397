"""A task of the paper: where its rows come from, and what is made of them for a model.

A row knows nothing of tokens; `prepare` fits rows to a model's tokenizer and limits, drops what
does not fit, and divides the prompts into those to learn from and those held out.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field

from corll.configuring import Config
from corll.errors import InputError
from corll.files.formats import Record, read_records
from corll.laboratory.tasks.sources import HubSplit, read_hub
from corll.records import Preference

Source = Literal["hub", "offline"]
_T = TypeVar("_T")


class Lengths(Config):
    """The longest prompt and response of a task."""

    prompt: int = Field(ge=1, description="Longest prompt, in tokens.")
    response: int = Field(ge=1, description="Longest response, in tokens.")


@dataclass(frozen=True)
class Demonstration:
    """A response that a person gave."""

    prompt: str
    response: str


@dataclass(frozen=True)
class TaskData:
    """The data of a task as one model takes them.

    `held_out` shares no text with `prompts`. The expert is trained on `pairs`; where the task has
    none, on demonstration ≻ a model's sample, or on samples that a scorer ranks. `source` says in
    words what was read.
    """

    prompts: tuple[str, ...]
    held_out: tuple[str, ...]
    pairs: tuple[Preference, ...]
    demonstrations: tuple[Demonstration, ...]
    source: str


@dataclass(frozen=True)
class Corpus:
    """A corpus: all rows of a task (in its own dataclass), and what was read, in words."""

    rows: tuple[Any, ...]
    source: str


class Task(ABC):
    """A task of the paper. `data_fields` are the fields that a line of a data file needs."""

    name: ClassVar[str]
    title: ClassVar[str]
    hub_id: ClassVar[str]
    hub_splits: ClassVar[tuple[HubSplit, ...]]
    data_fields: ClassVar[tuple[str, ...]]

    def read(self, *, data: Path | None = None, source: Source = "hub") -> Corpus:
        """Read the rows of a data file, of the hub's dataset, or of the offline source.

        *Raises*: InputError where the source cannot be reached, and what to do then; RecordError
        for a line of the file that does not have the expected form.
        """
        if data is not None:
            return Corpus(self._parsed(read_records(data), test=False, where=data), str(data))
        if source == "offline":
            return self._offline()
        rows: list[Any] = []
        for split in self.hub_splits:
            records = read_hub(self.hub_id, split)
            rows.extend(self._parsed(records, test=split.test, where=self.hub_id))
        return Corpus(tuple(rows), f"{self.hub_id} of the Hugging Face hub")

    @abstractmethod
    def prepare(
        self, corpus: Corpus, tokenizer: Any, lengths: Lengths, *, held_out: int, seed: int
    ) -> TaskData:
        """Return what a model of this tokenizer learns from, and the held-out prompts.

        *Raises*: InputError where too few rows are left, with their numbers.
        """

    @abstractmethod
    def texts(self, corpus: Corpus) -> Iterator[str]:
        """Yield the rows as a model would see them, without those of a test split."""

    @abstractmethod
    def _parse(self, record: Record, *, test: bool) -> Any | None:
        """Return the row that a record stands for; None for a record without use."""

    @abstractmethod
    def _offline(self) -> Corpus:
        """Read the rows of a source that needs no hub."""

    def _parsed(self, records: Iterable[Record], *, test: bool, where: object) -> tuple[Any, ...]:
        found = (self._parse(record, test=test) for record in records)
        rows = tuple(row for row in found if row is not None)
        if not rows:
            raise InputError(f"{where} holds no rows of the task {self.name!r}.")
        return rows


def token_room(tokenizer: Any, limit: int) -> int:
    """Return how many tokens a plain prompt may have, beside those that the tokenizer adds."""
    return limit - int(tokenizer.num_special_tokens_to_add())


def encode(tokenizer: Any, texts: Sequence[str], *, limit: int) -> list[list[int]]:
    """Return the first `limit` ids of each text, without special tokens."""
    # So many words have at least so many tokens, unless a tokenizer joins words; then the whole
    # text is encoded.
    words = re.compile(rf"(?:\s*+\S++){{{limit}}}")
    beginnings = [found[0] if (found := words.match(text)) else text for text in texts]
    rows = _encode(tokenizer, beginnings, limit=limit)
    short = [n for n, ids in enumerate(rows) if len(ids) < limit and beginnings[n] != texts[n]]
    for n, ids in zip(
        short, _encode(tokenizer, [texts[n] for n in short], limit=limit), strict=True
    ):
        rows[n] = ids
    return rows


def _encode(tokenizer: Any, texts: list[str], *, limit: int | None = None) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        texts, add_special_tokens=False, truncation=limit is not None, max_length=limit
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def first_tokens(
    tokenizer: Any, rows: Sequence[Sequence[int]], limit: int, *, ending: str = ""
) -> list[str]:
    """Cut each row of ids to a text that has, with `ending`, at most `limit` tokens.

    They are counted by encoding the text again, which can give more ids than were decoded, or split
    a character; then a token less is taken. A text is empty if nothing fits.
    """
    room = limit - (len(_encode(tokenizer, [ending])[0]) if ending else 0)
    counts = [min(room, len(ids)) for ids in rows]
    found = [""] * len(rows)
    while pending := [n for n, count in enumerate(counts) if count > 0]:
        texts = tokenizer.batch_decode(
            [list(rows[n][: counts[n]]) for n in pending],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        whole = [text.rstrip() + ending if ending else text for text in texts]
        again = _encode(tokenizer, whole)
        for n, text, full, ids in zip(pending, texts, whole, again, strict=True):
            fits = len(ids) <= limit and not text.endswith("\ufffd")
            found[n] = full if fits else ""
            counts[n] = 0 if fits else counts[n] - 1
    return found


def without_control_tokens(
    tokenizer: Any, rows: Iterable[_T], texts: Callable[[_T], Iterable[str]]
) -> list[_T]:
    """Drop the rows with a text that the tokenizer reads as a control token, such as `</s>`."""
    control = tuple(filter(None, tokenizer.all_special_tokens))
    return [
        row for row in rows if not any(token in text for text in texts(row) for token in control)
    ]


def shuffled(items: Sequence[_T], seed: int) -> list[_T]:
    """Return the items in an order that a seed gives."""
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))]


def split_prompts(
    prompts: Iterable[tuple[str, bool]], *, held_out: int, what: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split prompts into those to learn from and those held out, with no text twice.

    Each prompt comes with whether it is of the dataset's own test split. The held-out prompts are
    the first of these, or the last of all where there are none.

    *Raises*: InputError where there are fewer than `held_out` prompts and one more.
    """
    prompts = list(prompts)
    tests = list(dict.fromkeys(prompt for prompt, test in prompts if test))
    others = list(dict.fromkeys(prompt for prompt, test in prompts if not test))
    if tests:
        kept = tests[:held_out]
        taken = set(kept)
        others = [prompt for prompt in others if prompt not in taken]
    else:
        cut = max(len(others) - held_out, 0)
        others, kept = others[:cut], others[cut:]
    if len(kept) < held_out or not others:
        raise InputError(
            f"{what}: {len(others)} prompts to learn from and {len(kept)} held out are left of "
            f"{len(prompts)} rows that fit, but {held_out} are to be held out. Give more rows, "
            "hold out fewer, or allow longer prompts and responses."
        )
    return tuple(others), tuple(kept)


@dataclass(frozen=True)
class Comparison:
    """Two responses of which people preferred `chosen`; `rejected` is None where there is but one.

    `prompt` ends where a response begins, and a response begins with the space between them.
    `test` says whether the row is of the dataset's own test split.
    """

    prompt: str
    chosen: str
    rejected: str | None
    test: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompt and its responses."""
        both = (self.prompt, self.chosen)
        return both if self.rejected is None else (*both, self.rejected)


class ComparisonTask(Task):
    """A task whose rows are comparisons: they are the expert's pairs, and their prompts the task's.

    A response that has more than `lengths.response` tokens with its end is left out: cut, it would
    teach the model to end in the middle of a sentence.
    """

    @abstractmethod
    def _fit(self, prompts: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
        """Cut each prompt to a limit of tokens; empty where that is not possible."""

    def prepare(
        self, corpus: Corpus, tokenizer: Any, lengths: Lengths, *, held_out: int, seed: int
    ) -> TaskData:
        rows = without_control_tokens(tokenizer, corpus.rows, lambda row: row.texts)
        rows = _with_short_responses(rows, tokenizer, lengths.response)
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        room = token_room(tokenizer, lengths.prompt)
        fitted = dict(zip(prompts, self._fit(prompts, tokenizer, room), strict=True))
        rows = [
            replace(row, prompt=fitted[row.prompt])
            for row in shuffled(rows, seed)
            if fitted[row.prompt]
        ]
        learn, kept = split_prompts(
            ((row.prompt, row.test) for row in rows),
            held_out=held_out,
            what=f"The task {self.name!r} with {corpus.source}",
        )
        learned = set(learn)
        used = [row for row in rows if row.prompt in learned and not row.test]
        return TaskData(
            prompts=learn,
            held_out=kept,
            pairs=tuple(
                Preference(row.prompt, row.chosen, row.rejected)
                for row in used
                if row.rejected is not None
            ),
            demonstrations=tuple(
                Demonstration(row.prompt, row.chosen) for row in used if row.rejected is None
            ),
            source=corpus.source,
        )

    def texts(self, corpus: Corpus) -> Iterator[str]:
        return (row.prompt + row.chosen for row in corpus.rows if not row.test)


def make_comparison(
    prompt: str, chosen: str, rejected: str | None, *, test: bool
) -> Comparison | None:
    """Return the row of a prompt and its responses; None for an empty one, or equal ones."""
    sides = [side.strip() for side in (chosen, rejected) if side is not None]
    if not all(sides) or (rejected is not None and sides[0] == sides[1]):
        return None
    return Comparison(prompt, f" {sides[0]}", None if rejected is None else f" {sides[1]}", test)


def _with_short_responses(
    rows: Sequence[Comparison], tokenizer: Any, limit: int
) -> list[Comparison]:
    responses = list(dict.fromkeys(text for row in rows for text in row.texts[1:]))
    counts = map(len, encode(tokenizer, responses, limit=limit))
    short = {text for text, count in zip(responses, counts, strict=True) if count < limit}
    return [row for row in rows if short.issuperset(row.texts[1:])]

"""Step 3 of Algorithm 1: preferences wait until N of them make a batch."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from corll.errors import ConfigError
from corll.records import Preference

T = TypeVar("T")

REPLAY_MEMORY = 512
"""Preferences that replay draws from: the latest, so that a change of taste is learned."""


def draw(past: Sequence[T], count: int, *, seed: str) -> list[T]:
    """Draw `count` of the past at random, or all where there are fewer.

    The draw depends on the number of them and the seed alone, so that it may be made of names, and
    only what was drawn is then read.
    """
    return random.Random(seed).sample(past, min(count, len(past)))


class PreferenceBuffer:
    """A queue of preferences: first in, first out; each leaves in exactly one batch.

    A batch may hold drafts of slightly different policies (paper, footnote 1). Of those that have
    left, the latest `memory` are remembered, for replay.
    """

    def __init__(self, batch_size: int, *, memory: int = 0) -> None:
        if batch_size < 1:
            raise ConfigError(f"A batch needs at least 1 preference, not {batch_size}.")
        self.batch_size = batch_size
        self._waiting: list[Preference] = []
        self.past: deque[Preference] = deque(maxlen=memory)

    def add(self, preference: Preference) -> None:
        self._waiting.append(preference)

    def next_batch(self) -> list[Preference] | None:
        """Return the oldest `batch_size` preferences, or None while there are fewer.

        They stay until `retire` says that they were learned from, so that a step that fails
        loses none.
        """
        full = len(self._waiting) >= self.batch_size
        return self._waiting[: self.batch_size] if full else None

    def retire(self, learned: Iterable[Preference]) -> None:
        """Take out the oldest preferences, as many as were learned from."""
        retired = list(learned)
        del self._waiting[: len(retired)]
        self.past.extend(retired)

    def recall(self, count: int, *, seed: str) -> list[Preference]:
        """Return `count` preferences of the past at random, or all where there are fewer."""
        return draw(list(self.past), count, seed=seed)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Preference]:
        return iter(self._waiting)

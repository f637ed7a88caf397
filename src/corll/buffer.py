"""Step 3 of Algorithm 1: preferences wait until N of them make a batch."""

from __future__ import annotations

from collections.abc import Iterator

from corll.errors import ConfigError
from corll.records import Preference


class PreferenceBuffer:
    """First in, first out; each preference leaves in exactly one batch.

    A batch may hold drafts of slightly different policies (paper, footnote 1).
    """

    def __init__(self, batch_size: int) -> None:
        if batch_size < 1:
            raise ConfigError(f"A batch needs at least 1 preference, not {batch_size}.")
        self.batch_size = batch_size
        self._waiting: list[Preference] = []

    def add(self, preference: Preference) -> None:
        self._waiting.append(preference)

    def next_batch(self) -> list[Preference] | None:
        """The oldest `batch_size` preferences, or None while there are fewer.

        They stay until `discard` says that they were learned from, so that a step that fails
        loses none.
        """
        full = len(self._waiting) >= self.batch_size
        return self._waiting[: self.batch_size] if full else None

    def discard(self, count: int) -> None:
        """Forgets the oldest `count` preferences: they have been learned from."""
        del self._waiting[:count]

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Preference]:
        return iter(self._waiting)

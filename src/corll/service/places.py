"""Places for work that goes on side by side: shared by keys and users, and when one gets free."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from corll.service.drafting.fairness import Held, Owner

_GUESSED_S = 10.0
"""What a piece of work is thought to take, until some were measured."""


class NoPlaceError(Exception):
    """All places are taken, or the owner's share of them. *Units*: `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"No place is free; one may be in {retry_after} s.")
        self.retry_after = retry_after


@dataclass(eq=False)
class Place:
    """A place that is taken. *Units*: `since` in seconds."""

    owner: Owner
    since: float


class Places:
    """So many places; of these a user has at most half, and a key three quarters.

    For one event loop, or for whoever holds a lock.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock, self._seconds = most, clock, _GUESSED_S
        self._taken: dict[Place, None] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, owner: Owner) -> Place:
        """Take a place. *Raises*: NoPlaceError."""
        held = Held.of((place.owner, 1) for place in self._taken)
        if len(self._taken) >= self._most or not held.allow(owner, 1, self._most):
            raise NoPlaceError(self._until_one_is_free())
        place = Place(owner, self._clock())
        self._taken[place] = None
        return place

    def give_back(self, place: Place, *, measures: bool = True) -> None:
        """Give a place back; where the work came to its end, that measures how long it takes."""
        if self._taken.pop(place, place) is None and measures:
            self._seconds += (self._clock() - place.since - self._seconds) / 4

    def _until_one_is_free(self) -> int:
        """Return after how many seconds the oldest work is expected to end."""
        oldest = min(place.since for place in self._taken)
        return max(1, ceil(self._seconds - (self._clock() - oldest)))

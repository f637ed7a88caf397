"""When the learner works: not while a draft is drawn, and after a failure only after a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

_LONGEST_PAUSE_S = 3.0
"""A step gives way to drafts for this long before each micro-batch, then goes on all the same."""

_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 600.0


class Flag(Protocol):
    """A number shared between processes."""

    value: int


class NobodyDrafts:
    """The flag of a machine on which no drafts are drawn."""

    value = 0


class Ending(Protocol):
    """Whoever knows that the service stops."""

    stopping: bool


class Pacer:
    """Keeps learning out of the way of drafting, of other programs, and of the service's end.

    Before each pass the number of `threads` is set.
    """

    def __init__(
        self, drafting: Flag, inbox: Ending, threads: Callable[[], object] = lambda: None
    ) -> None:
        self._drafting, self._inbox, self._settle_threads = drafting, inbox, threads

    def give_way(self) -> None:
        """Wait while a draft is being drawn, up to a limit, so that learning never starves.

        *Raises*: SystemExit when the service stops: the step was not registered, so nothing of it
        counts.
        """
        until = time.monotonic() + _LONGEST_PAUSE_S
        while self._drafting.value and time.monotonic() < until and not self._inbox.stopping:
            time.sleep(0.01)
        if self._inbox.stopping:
            raise SystemExit
        self._settle_threads()


class Retries:
    """When to try again what failed: after 2 s, then twice as long each time, to ten minutes."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._delay: dict[str, float] = {}

    def failed(self, what: str) -> float:
        """Say in how many seconds to try again."""
        delay = self._delay.get(what, _FIRST_RETRY_S)
        self._at[what] = time.monotonic() + delay
        self._delay[what] = min(2 * delay, _LONGEST_RETRY_S)
        return delay

    def worked(self, what: str) -> None:
        """Forget that it ever failed."""
        self._at.pop(what, None)
        self._delay.pop(what, None)

    def pending(self) -> Collection[str]:
        """Return what is not to be tried yet."""
        now = time.monotonic()
        return {what for what, at in self._at.items() if at > now}

"""As many threads as other programs leave processors free.

The threads of a product wait for each other after each product. Where another program has one of
the processors, all of them wait for its turn to end, and spin meanwhile: one thread is then many
times as quick as two. So the service looks again and again how many processors are free.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

_LOOKED_AT_EVERY_S = 0.25
_LONGEST_SPAN_S = 2.0
"""What was used in a longer time says little about now."""

_STAT = Path("/proc/stat")
_USER, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 1, 3, 6, 7, 8
"""Columns of a processor's line there. What low priorities use, and idleness, are others."""


class Usage(NamedTuple):
    """What processors did until now. *Units*: seconds; of processors `busy` and `own`.

    `busy` is of all programs but those of a low priority, which give way by themselves, and `own`
    this process's part of it.
    """

    at: float
    busy: float
    own: float


class GivingThreads:
    """Sets how many threads torch has here: at most `most`, and at least one.

    `read` tells what the processors did; where it cannot, there are always `most`.
    """

    def __init__(
        self,
        most: int,
        *,
        processors: int | None = None,
        read: Callable[[], Usage | None] | None = None,
    ) -> None:
        self.most = self.threads = max(1, most)
        allowed = allowed_processors()
        self._processors = len(allowed) if processors is None else processors
        self._read = read or (lambda: read_usage(allowed))
        self._last: Usage | None = None
        self._held: int | None = None

    @classmethod
    def of(cls, threads: int | None) -> GivingThreads:
        """Return so many threads, whatever others do; None: those that torch has, giving way."""
        if threads is None:
            return cls(torch.get_num_threads())
        return cls(threads, read=lambda: None)

    @contextmanager
    def held(self, threads: int | None = None) -> Iterator[int]:
        """Keep the number within the block as it is now, or at so many; yield it.

        Numbers that are computed in parts depend on the number of threads in their last bits.
        """
        if threads is None:
            threads = self._settled_now()
        before, self._held = self._held, threads
        torch.set_num_threads(threads)
        try:
            yield threads
        finally:
            self._held = before
            torch.set_num_threads(self.threads if before is None else before)

    def settle(self) -> int:
        """Set the threads of whoever calls, who computes next; return how many they are.

        Where they are held, they stay what they are: of passes side by side each has its share.
        """
        if self._held is not None:
            return self._held
        if self.most > 1:
            self._look()
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        return self.threads

    def _settled_now(self) -> int:
        """Settle by what others do now, also where that was not looked at for long."""
        before = self._last
        self._look()
        if (
            self.most > 1
            and self._last is not None
            and (before is None or self._last.at - before.at > _LONGEST_SPAN_S)
        ):
            time.sleep(_LOOKED_AT_EVERY_S)
        return self.settle()

    def _look(self) -> None:
        if self._last is not None and time.monotonic() < self._last.at + _LOOKED_AT_EVERY_S:
            return
        now, last = self._read(), self._last
        self._last = now
        if now is None or last is None or now.at - last.at > _LONGEST_SPAN_S:
            return
        others = (now.busy - last.busy - (now.own - last.own)) / (now.at - last.at)
        free = self._processors - max(0.0, others)
        self.threads = min(self.most, max(1, int(free + 0.5)))


def allowed_processors() -> Collection[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def read_usage(processors: Collection[int], stat: Path = _STAT) -> Usage | None:
    """Return what these processors did since the system began; None where it does not say."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return None
    wanted = {f"cpu{number}" for number in processors}
    rows = [columns for columns in map(str.split, lines) if columns and columns[0] in wanted]
    if len(rows) != len(wanted):
        return None
    counted = (_USER, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL)
    ticks = sum(int(columns[n]) for columns in rows for n in counted if n < len(columns))
    gives_way = os.getpriority(os.PRIO_PROCESS, 0) > 0
    own = 0.0 if gives_way else time.process_time()
    return Usage(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own)

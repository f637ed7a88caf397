"""The points at which a process may die, by name, so that a test can have it die there.

`CORLL_DIE_AT="edit committed:2"` has each process of the service kill itself (SIGKILL) when it
passes that point for the second time. Where the variable is not set, a point does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from typing import Literal, get_args

from corll.errors import ConfigError

VARIABLE = "CORLL_DIE_AT"

DurablePoint = Literal[
    # What is written within a transaction is not there until it is committed.
    "draft committed",
    "edit written",
    "edit committed",
    "import committed",
    "import measured",
    "import texts taken",
    "import done",
    "batch claimed",
    "step done",
    "folder written",
    "folder synced",
    "folder renamed",
    "file uploaded",
    "upload read back",
    "manifest uploaded",
    "version examined",
    "version written",
    "alias written",
    "version committed",
    "pruning committed",
    "deletion written",
    "deletion begun",
    "deleted folders removed",
    "deleted bytes purged",
    "replay registered",
    "replay settled",
    "backup weights copied",
    "backup rows written",
    "backup synced",
    "backup finished",
    "restore weights copied",
    "restore rows inserted",
]

POINTS: tuple[DurablePoint, ...] = get_args(DurablePoint)


class _Countdown:
    """How often a point is still passed before the process dies there."""

    def __init__(self, point: str, passings: int) -> None:
        self.point = point
        self._left = passings
        self._lock = threading.Lock()

    def passed(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def reached(point: DurablePoint) -> None:
    """Say that a point is passed; end the process there, if it is to die at it.

    *Raises*: ConfigError where the variable names no point.
    """
    chosen = _chosen()
    if chosen is not None and chosen.point == point:
        chosen.passed()


def check_variable() -> None:
    """Check that the variable is unset or names a point. *Raises*: ConfigError."""
    _chosen()


@cache
def _chosen() -> _Countdown | None:
    """Return the point that the environment names; read once in each process."""
    value = os.environ.get(VARIABLE)
    return None if value is None else _countdown(value)


def _countdown(value: str) -> _Countdown:
    point, _, passings = value.partition(":")
    if point not in POINTS:
        raise ConfigError(
            f"{VARIABLE} names no durable point: {point!r}. There are: {', '.join(POINTS)}."
        )
    if not (passings.isascii() and passings.isdecimal() and int(passings) > 0):
        raise ConfigError(f"{VARIABLE}={value!r}: after the point comes :1, :2, and so on.")
    return _Countdown(point, int(passings))

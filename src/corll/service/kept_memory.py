"""How little of freed memory a process keeps that runs for days.

glibc gives threads heaps of their own, keeps what is freed for what is asked for next in the same
heap, and returns little of it to the system by itself, since what is in use lies between. So a
server that uses the same amount all the time grows, by some 40 MB an hour, and a learner at rest
keeps hundreds of megabytes of its last step. One heap for all threads does not grow, and once a
minute what is free in it is given back.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GIVES_BACK_EVERY_S = 60.0
"""How often memory is given back."""

_ARENA_MAX = -8
"""The number of `mallopt`'s setting M_ARENA_MAX: how many heaps there are at most."""

_CHOSEN_BY = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
"""Variables by which whoever starts a process says how many heaps it has."""


def _glibc() -> ctypes.CDLL | None:
    """Return glibc; None where another library allocates."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


_GLIBC = _glibc()


def share_one_heap() -> None:
    """Let threads that begin from now on allocate in the heaps that there are, by default one.

    Python's lock keeps them from waiting for one another there. Nothing is done where glibc does
    not allocate, or a variable says how many heaps there are.
    """
    if _GLIBC is not None and not any(variable in os.environ for variable in _CHOSEN_BY):
        _GLIBC.mallopt(_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give the system the whole pages that were freed; do nothing where glibc does not allocate.

    It takes some milliseconds for each hundred megabytes, in which other threads wait for memory.
    """
    if _GLIBC is not None:
        _GLIBC.malloc_trim(0)


@contextmanager
def memory_given_back(every_s: float = GIVES_BACK_EVERY_S) -> Iterator[None]:
    """Share one heap from now on, and give memory back again and again meanwhile, in a thread.

    *Units*: `every_s` in seconds.
    """
    share_one_heap()
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(every_s):
            give_back_memory()

    thread = threading.Thread(target=work, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

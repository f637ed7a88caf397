"""Memory that was freed and that the allocator keeps, given back to the system again and again.

glibc keeps what is freed for what is asked for next, in one heap for each of some threads. What is
in use lies between, so that little of it returns to the system by itself. A server that always uses
the same amount grows by some 40 MB an hour so, and a learner at rest keeps hundreds of megabytes
of its last step.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GIVES_BACK_EVERY_S = 60.0
"""How often memory is given back."""


def _trim_of_glibc() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`; None where another library allocates."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


_TRIM = _trim_of_glibc()


def give_back_memory() -> None:
    """Give the system the whole pages that were freed; do nothing where glibc does not allocate.

    It takes some milliseconds for each hundred megabytes, in which other threads wait for memory.
    """
    if _TRIM is not None:
        _TRIM(0)


@contextmanager
def memory_given_back(every_s: float = GIVES_BACK_EVERY_S) -> Iterator[None]:
    """Give memory back again and again meanwhile, in a thread of its own.

    *Units*: `every_s` in seconds.
    """
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

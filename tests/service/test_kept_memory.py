"""What the allocator keeps of freed memory, in processes of their own."""

from __future__ import annotations

import threading

import pytest

from corll.service import kept_memory
from corll.service.kept_memory import _CHOSEN_BY, memory_given_back
from own_process import said

needs_glibc = pytest.mark.skipif(
    kept_memory._GLIBC is None, reason="glibc alone keeps what was freed like this"
)

_FREED_IN_PIECES = """
import time, psutil
from corll.service.kept_memory import give_back_memory, memory_given_back
def rss():
    return psutil.Process().memory_info().rss
blocks = [bytearray(100_000) for _ in range(2_000)]
kept = blocks[::20]
full = rss()
del blocks
freed = rss()
{give_back}
print(full - freed, full - rss())
"""
_AT_ONCE = "give_back_memory()"
_BY_AND_BY = """
with memory_given_back(every_s=0.01):
    end = time.monotonic() + 20
    while full - rss() < 150e6 and time.monotonic() < end:
        time.sleep(0.01)
"""

_THREADS_THAT_ALLOCATE = """
import ctypes, threading
from corll.service.kept_memory import _CHOSEN_BY, memory_given_back
barrier = threading.Barrier(4)
def allocate():
    barrier.wait()
    kept.append(bytearray(5_000))
    barrier.wait()
kept, threads = [], [threading.Thread(target=allocate) for _ in range(4)]
with memory_given_back():
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    libc = ctypes.CDLL(None)
    libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
    libc.fflush(None)
"""


@needs_glibc
@pytest.mark.parametrize("give_back", [_AT_ONCE, _BY_AND_BY])
def test_freed_memory_between_what_is_in_use_returns_to_the_system(give_back: str) -> None:
    by_itself, given_back = map(
        int, said(_FREED_IN_PIECES.format(give_back=give_back), without=_CHOSEN_BY).split()
    )
    assert by_itself < 50e6, "then there was nothing to give back"
    assert given_back > 150e6


@needs_glibc
@pytest.mark.parametrize(
    ("chosen", "heaps"), [({}, 1), ({"MALLOC_ARENA_MAX": "3"}, 3)], ids=["by default", "chosen"]
)
def test_threads_share_one_heap_unless_another_number_is_chosen(
    chosen: dict[str, str], heaps: int
) -> None:
    assert said(_THREADS_THAT_ALLOCATE, without=_CHOSEN_BY, **chosen).count("<heap nr=") == heaps


def test_nothing_is_given_back_once_it_ended() -> None:
    before = threading.active_count()
    with memory_given_back():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_memory, "_GLIBC", None)
    kept_memory.share_one_heap()
    kept_memory.give_back_memory()

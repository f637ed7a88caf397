"""What the allocator keeps of freed memory, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from corll.service import kept_memory
from corll.service.kept_memory import memory_given_back

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


@pytest.mark.skipif(kept_memory._TRIM is None, reason="glibc alone keeps what was freed like this")
@pytest.mark.parametrize("give_back", [_AT_ONCE, _BY_AND_BY])
def test_freed_memory_between_what_is_in_use_returns_to_the_system(give_back: str) -> None:
    code = _FREED_IN_PIECES.format(give_back=give_back)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    by_itself, given_back = map(int, done.stdout.split())
    assert by_itself < 50e6, "then there was nothing to give back"
    assert given_back > 150e6


def test_nothing_is_given_back_once_it_ended() -> None:
    before = threading.active_count()
    with memory_given_back():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_memory, "_TRIM", None)
    kept_memory.give_back_memory()

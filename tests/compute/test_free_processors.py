"""Threads that give way: as many as other programs leave processors free."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from corll.compute import free_processors
from corll.compute.free_processors import GivingThreads, Usage, allowed_processors, read_usage


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Clock:
    """A machine whose processors do what a test says, and a clock that it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = Usage(100.0, 0.0, 0.0)
        monkeypatch.setattr(free_processors.time, "monotonic", lambda: self.now.at)

    def passes(self, seconds: float, *, others: float, own: float = 0.0) -> None:
        """Let so many processors work for others and for us meanwhile."""
        at, busy, ours = self.now
        self.now = Usage(at + seconds, busy + seconds * (others + own), ours + seconds * own)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def threads(clock: Clock, *, most: int = 4, processors: int = 4) -> GivingThreads:
    return GivingThreads(most, processors=processors, read=lambda: clock.now)


@pytest.mark.parametrize(
    ("others", "expected"),
    [(0.0, 4), (0.4, 4), (0.6, 3), (1.0, 3), (2.0, 2), (3.0, 1), (3.9, 1), (9.0, 1)],
)
def test_there_are_as_many_as_processors_are_free(
    clock: Clock, others: float, expected: int
) -> None:
    giving = threads(clock)
    assert giving.settle() == 4
    clock.passes(0.5, others=others, own=4 - min(others, 4.0))
    assert giving.settle() == expected
    assert torch.get_num_threads() == expected


def test_what_we_use_ourselves_is_free(clock: Clock) -> None:
    giving = threads(clock, most=2, processors=2)
    giving.settle()
    clock.passes(1.0, others=0.0, own=2.0)
    assert giving.settle() == 2


def test_they_come_back_once_the_neighbour_is_done(clock: Clock) -> None:
    giving = threads(clock, most=2, processors=2)
    found = []
    for others in (0.0, 1.0, 1.0, 0.0, 0.0):
        clock.passes(0.3, others=others)
        found.append(giving.settle())
    assert found == [2, 1, 1, 2, 2]


def test_it_is_not_looked_at_for_each_token(clock: Clock) -> None:
    giving = threads(clock, most=2, processors=2)
    giving.settle()
    clock.passes(0.2, others=2.0)
    assert giving.settle() == 2
    clock.passes(0.06, others=2.0)
    assert giving.settle() == 1


def test_what_was_long_ago_says_nothing(clock: Clock) -> None:
    giving = threads(clock, most=2, processors=2)
    giving.settle()
    clock.passes(60.0, others=2.0)
    assert giving.settle() == 2
    clock.passes(0.3, others=2.0)
    assert giving.settle() == 1


def test_never_more_than_were_asked_for(clock: Clock) -> None:
    giving = threads(clock, most=2, processors=64)
    giving.settle()
    clock.passes(1.0, others=0.0)
    assert giving.settle() == 2
    assert threads(clock, most=0).settle() == 1


def test_where_nothing_is_told_there_are_all(clock: Clock) -> None:
    giving = GivingThreads(3, processors=4, read=lambda: None)
    for _ in range(3):
        clock.passes(1.0, others=4.0)
        assert giving.settle() == 3


STAT = """cpu  100 7 30 500 5 2 1 4 0 0
cpu0 60 4 20 200 5 1 1 3 0 0
cpu1 40 3 10 300 0 1 0 1 0 0
intr 1234
"""


def test_only_allowed_processors_count_and_low_priorities_and_waiting_do_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "stat"
    path.write_text(STAT)
    ticks = os.sysconf("SC_CLK_TCK")
    both, one = read_usage({0, 1}, path), read_usage({1}, path)
    assert both is not None
    assert one is not None
    assert both.busy * ticks == pytest.approx(100 + 30 + 2 + 1 + 4)
    assert one.busy * ticks == pytest.approx(40 + 10 + 1 + 0 + 1)
    assert read_usage({0, 7}, path) is None
    assert read_usage({0}, tmp_path / "nothing") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what its processors do")
def test_this_machine_tells_what_its_processors_do() -> None:
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        pytest.skip("what a process of low priority does is not counted")
    before, begun = read_usage(allowed_processors()), time.process_time()
    assert before is not None
    while time.process_time() < begun + 0.3:
        sum(range(10_000))
    after = read_usage(allowed_processors())
    assert after is not None
    assert after.own - before.own >= 0.3
    assert after.busy - before.busy > 0.2


def test_threads_that_are_held_stay_whatever_others_do(clock: Clock) -> None:
    """Passes side by side have their shares, which giving way leaves alone too."""
    giving = threads(clock)
    giving.settle()
    clock.passes(0.5, others=0.0)
    with giving.held() as held:
        assert held == torch.get_num_threads() == 4
        clock.passes(0.5, others=3.0)
        assert giving.settle() == 4
        torch.set_num_threads(2)
        assert (giving.settle(), torch.get_num_threads()) == (4, 2)
        with giving.held(3):
            assert giving.settle() == torch.get_num_threads() == 3
        assert torch.get_num_threads() == 4
    clock.passes(0.5, others=3.0)
    assert giving.settle() == torch.get_num_threads() == 1


def test_what_is_held_is_what_is_free_now_also_after_a_pause(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    giving = threads(clock)
    giving.settle()
    clock.passes(60.0, others=0.0)

    def sleep(seconds: float) -> None:
        clock.passes(seconds, others=2.0)

    monkeypatch.setattr(free_processors.time, "sleep", sleep)
    with giving.held() as held:
        assert held == 2
    with GivingThreads(3, read=lambda: None).held() as held:
        assert held == 3

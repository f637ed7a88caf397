"""Passes side by side: results in order, threads shared out, errors raised where they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from corll.compute.cpu.side_by_side import side_by_side, sides
from corll.compute.plain import PlainBackend
from patience import PATIENCE_S


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_is_done.wait(timeout=PATIENCE_S)
        elif item == 2:
            second_is_done.set()
        return 10 * item

    assert list(side_by_side(work, [1, 2, 3, 4, 5], sides=2)) == [10, 20, 30, 40, 50]


def test_each_side_has_its_share_of_the_threads() -> None:
    found = set(side_by_side(lambda _: torch.get_num_threads(), range(6), sides=2))
    assert found == {2}
    assert torch.get_num_threads() == 4
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [4]


@pytest.mark.parametrize("sides", [1, 2])
def test_one_item_or_one_side_has_all_threads_and_stays_here(sides: int) -> None:
    def work(_: int) -> tuple[int, str]:
        return torch.get_num_threads(), threading.current_thread().name

    here = threading.current_thread().name
    items = [1, 2] if sides == 1 else [1]
    assert list(side_by_side(work, items, sides=sides)) == [(4, here)] * len(items)


@pytest.mark.parametrize("wanted", [True, False])
def test_gradients_are_on_where_they_are_here(wanted: bool) -> None:
    with torch.set_grad_enabled(wanted):
        found = list(side_by_side(lambda _: torch.is_grad_enabled(), range(4), sides=2))
    assert found == [wanted] * 4


def test_an_error_is_raised_here_and_nothing_further_is_begun() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        raise SystemExit if item == 0 else MemoryError

    with pytest.raises(SystemExit):
        list(side_by_side(work, range(1000), sides=2))
    assert len(begun) < 1000
    assert torch.get_num_threads() == 4


def test_a_cpu_of_one_core_and_a_gpu_have_one_side() -> None:
    assert sides() == 2
    assert PlainBackend(None).sides() == 1
    torch.set_num_threads(1)
    assert sides() == 1

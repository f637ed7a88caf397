"""Passes side by side: on a CPU a thread and half of the cores for each of two.

A library that spreads each product over all cores leaves some of them idle at most sizes: rows are
split in blocks that do not come out even, small operations run on one core, and Python holds up
all. Two passes on half of the cores each have nothing to wait for but Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from corll.compute.backend import Item, Result

_MOST_SIDES = 2
"""Of more threads each would wait longer for Python's lock; two were measured."""


def sides() -> int:
    """Return how many passes go side by side: two where torch has several threads."""
    return min(_MOST_SIDES, torch.get_num_threads())


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], *, sides: int
) -> Iterator[Result]:
    """Yield the results in the items' order, `sides` of them computed at a time.

    Each side has its share of torch's threads, and gradients are on or off as they are here. What
    the work raises is raised here, and nothing further is begun.
    """
    sides = min(sides, len(items))
    if sides <= 1:
        yield from map(work, items)
        return
    threads, with_grad = torch.get_num_threads(), torch.is_grad_enabled()
    pool = ThreadPoolExecutor(sides, initializer=partial(torch.set_num_threads, threads // sides))
    try:
        yield from pool.map(partial(_with_grad, with_grad, work), items)
    finally:
        # Threads that lived on would keep those that torch has here from waiting awake.
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # what threads to come begin with


def _with_grad(with_grad: bool, work: Callable[[Item], Result], item: Item) -> Result:
    with torch.set_grad_enabled(with_grad):
        return work(item)

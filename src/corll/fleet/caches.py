"""LRU caches of every size at once, by the stack distances of Mattson et al. (1970)."""

from __future__ import annotations

import numpy as np

from corll.fleet.arrivals import Ints
from corll.fleet.closed_forms import Floats

NEVER = np.iinfo(np.int64).max
"""The distance of an item that was not asked for before."""


def stack_distances(keys: Ints) -> Ints:
    """Return how many other items were asked for since each request's item was asked for last.

    An LRU cache of `size` items answers the requests whose distance is below `size`.
    *Shapes*: n → n. *Source*: Mattson et al. (1970), counted for all requests at once: between a
    request and its last one an item counts once, where it was not asked for in between before.
    """
    before = _last_time(keys)
    seen = before >= 0
    distances = np.full(len(keys), NEVER)
    inside = _smaller_before(before + 1) - (before + 1)
    distances[seen] = inside[seen]
    return distances


def hit_rates(distances: Ints, sizes: Floats) -> Floats:
    """Return the share of requests that caches of these sizes answer. *Shapes*: n, S → S."""
    if not len(distances):
        return np.zeros(len(sizes))
    below = np.searchsorted(np.sort(distances), np.floor(sizes), side="left")
    return below / len(distances)


def _last_time(keys: Ints) -> Ints:
    """Return the place at which each key stood last; −1 for the first time."""
    order = np.argsort(keys, kind="stable")
    before = np.full(len(keys), -1)
    again = keys[order[1:]] == keys[order[:-1]]
    before[order[1:][again]] = order[:-1][again]
    return before


def _smaller_before(values: Ints) -> Ints:
    """Count for each value how many smaller ones stand before it.

    The values are sorted bit by bit from the highest on. Wherever two groups part, each of the
    upper one counts those of the lower one that stood before it.
    """
    n = len(values)
    counts, order = np.zeros(n, dtype=np.int64), np.arange(n)
    start, end, places = np.zeros(n, dtype=np.int64), np.full(n, n), np.arange(n)
    for bit in range(int(values.max(initial=0)).bit_length() - 1, -1, -1):
        upper = (values >> bit & 1).astype(bool)
        zeros = np.concatenate([[0], np.cumsum(~upper)])
        lower_before = zeros[:-1] - zeros[start]
        border = start + zeros[end] - zeros[start]
        counts[order[upper]] += lower_before[upper]
        to = np.where(upper, border + (places - start) - lower_before, start + lower_before)
        moved_start, moved_end = np.where(upper, border, start), np.where(upper, end, border)
        for held, moved in ((start, moved_start), (end, moved_end)):
            held[to] = moved
        order, values = _moved(order, to), _moved(values, to)
    return counts


def _moved(values: Ints, to: Ints) -> Ints:
    moved = np.empty_like(values)
    moved[to] = values
    return moved

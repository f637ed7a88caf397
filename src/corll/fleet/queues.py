"""A line before several servers: first come, first served."""

from __future__ import annotations

import heapq

import numpy as np

from corll.fleet.closed_forms import Floats


def waits(arrivals: Floats, services: Floats, servers: int) -> Floats:
    """Return how long each customer waits for one of the servers.

    *Shapes*: all n, in the order of `arrivals`. *Units*: seconds. Any times will do: G/G/c.
    """
    free = [-np.inf] * servers
    begun = np.empty(len(arrivals))
    replace = heapq.heapreplace
    pairs = zip(arrivals.tolist(), services.tolist(), strict=True)
    for number, (arrival, service) in enumerate(pairs):
        start = max(arrival, free[0])
        replace(free, start + service)
        begun[number] = start
    return begun - arrivals

"""Closed forms of queues and caches, by which fleets are sized and simulations are checked."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_SERVERS = 10_000_000


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that a customer of M/M/c waits.

    *Units*: `load` in servers that would always be busy, λ/μ. *Source*: Erlang (1917), by the
    recursion of his loss formula. It is 1 where the load is more than the servers can do.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, load: float, service_s: float) -> float:
    """Return how long a customer of M/M/c waits on average. *Units*: seconds."""
    if load >= servers:
        return math.inf
    return erlang_c(servers, load) * service_s / (servers - load)


def wait_quantile(servers: int, load: float, service_s: float, share: float) -> float:
    """Return the wait that a share of the customers of M/M/c does not exceed. *Units*: seconds.

    Whoever waits does so for an exponential time of rate cμ − λ.
    """
    waiting = erlang_c(servers, load)
    if load >= servers:
        return math.inf
    if waiting <= 1 - share:
        return 0.0
    return math.log(waiting / (1 - share)) * service_s / (servers - load)


def servers_for(load: float, service_s: float, *, within_s: float, share: float = 0.95) -> int:
    """Return the fewest servers of M/M/c with which a share of customers waits no longer.

    *Raises*: ValueError where it would be more than ten million.
    """
    low, high = math.floor(load), max(1, math.ceil(load) + 1)
    while wait_quantile(high, load, service_s, share) > within_s:
        low, high = high, high * 2
        if high > _MOST_SERVERS:
            raise ValueError("more than ten million servers would be needed")
    while high - low > 1:
        middle = (low + high) // 2
        if wait_quantile(middle, load, service_s, share) > within_s:
            low = middle
        else:
            high = middle
    return high


def che_hit_rate(shares: Floats, size: float) -> float:
    """Return the share of requests that an LRU cache of so many items answers.

    *Shapes*: `shares`, the probability of each item, N. *Source*: Che, Tung and Wang (2002): an
    item is there if it was asked for within the characteristic time T, at which Σ 1 − exp(−p T) is
    the cache's size.
    """
    if size >= len(shares):
        return 1.0
    if size <= 0:
        return 0.0
    low, high = 0.0, float(size)
    while _filled(shares, high) < size:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        if _filled(shares, middle) < size:
            low = middle
        else:
            high = middle
    return float((shares * -np.expm1(-shares * high)).sum())


def _filled(shares: Floats, time: float) -> float:
    return float(-np.expm1(-shares * time).sum())

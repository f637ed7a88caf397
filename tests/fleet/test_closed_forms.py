"""Closed forms against hand-worked values, and simulations against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from corll.fleet.arrivals import Events
from corll.fleet.caches import NEVER, hit_rates, stack_distances
from corll.fleet.closed_forms import (
    che_hit_rate,
    erlang_c,
    mean_wait,
    servers_for,
    wait_quantile,
)
from corll.fleet.learners import Fleet
from corll.fleet.queues import waits


def test_one_server_waits_as_m_m_1_does() -> None:
    assert erlang_c(1, 0.8) == pytest.approx(0.8)
    assert mean_wait(1, 0.8, 2.0) == pytest.approx(0.8 * 2.0 / 0.2)


def test_erlang_c_has_the_hand_worked_value_of_two_servers() -> None:
    # C(2, 1) = (1²/2 · 2/(2 − 1)) / (1 + 1 + 1) = 1/3.
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert wait_quantile(2, 1.0, 1.0, 0.95) == pytest.approx(math.log((1 / 3) / 0.05))
    assert wait_quantile(10, 1.0, 1.0, 0.95) == 0.0


def test_who_has_more_work_than_servers_waits_for_ever() -> None:
    assert erlang_c(3, 3.0) == 1.0
    assert mean_wait(3, 3.5, 1.0) == math.inf
    assert wait_quantile(3, 3.0, 1.0, 0.95) == math.inf


def test_the_fewest_servers_keep_the_wait_and_one_less_does_not() -> None:
    servers = servers_for(130.0, 8.0, within_s=4.0)
    assert wait_quantile(servers, 130.0, 8.0, 0.95) <= 4.0
    assert wait_quantile(servers - 1, 130.0, 8.0, 0.95) > 4.0
    assert servers_for(0.0, 1.0, within_s=1.0) == 1


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (3, 2.4), (8, 6.8)])
def test_the_simulated_line_waits_as_erlang_says(servers: int, load: float) -> None:
    rng = np.random.default_rng(0)
    count = 400_000
    arrivals = np.cumsum(rng.exponential(1 / load, count))
    waited = waits(arrivals, rng.exponential(1.0, count), servers)
    assert waited.mean() == pytest.approx(mean_wait(servers, load, 1.0), rel=0.06)
    assert (waited > 0).mean() == pytest.approx(erlang_c(servers, load), rel=0.03)
    quantile = wait_quantile(servers, load, 1.0, 0.95)
    assert np.quantile(waited, 0.95) == pytest.approx(quantile, rel=0.06)


def test_learners_of_users_who_edit_once_are_an_m_m_c_queue() -> None:
    rng = np.random.default_rng(1)
    count, servers, load = 100_000, 3, 2.4
    edits = Events(np.cumsum(rng.exponential(1 / load, count)), np.arange(count))
    times = iter(rng.exponential(1.0, count).tolist())
    fleet = Fleet(
        servers, lambda _: next(times), edits_a_step=1, most_steps=16, flush_s=1e9, serve_s=0.0
    )
    learned = fleet.play(edits, until=np.inf)
    assert len(learned.versions) == count
    assert learned.left == 0
    assert learned.waited.mean() == pytest.approx(mean_wait(servers, load, 1.0), rel=0.1)


def test_stack_distances_count_other_items_since_the_last_time() -> None:
    keys = np.array([1, 2, 3, 2, 1, 1, 3])
    assert stack_distances(keys).tolist() == [NEVER, NEVER, NEVER, 1, 2, 0, 2]
    assert stack_distances(np.array([], dtype=np.int64)).tolist() == []


def test_stack_distances_are_what_an_lru_cache_does() -> None:
    rng = np.random.default_rng(2)
    keys = np.minimum(rng.geometric(0.05, 3000), 90)
    distances = stack_distances(keys)
    for size in (1, 7, 30):
        cache: list[int] = []
        hits = 0
        for key in keys.tolist():
            hits += key in cache
            cache = [key, *(other for other in cache if other != key)][:size]
        assert hit_rates(distances, np.array([size]))[0] == hits / len(keys)


@pytest.mark.parametrize("exponent", [0.7, 1.0])
def test_an_lru_cache_under_zipf_hits_as_che_says(exponent: float) -> None:
    rng = np.random.default_rng(3)
    shares = np.arange(1, 3001) ** -exponent
    shares /= shares.sum()
    keys = np.searchsorted(np.cumsum(shares), rng.random(200_000))
    warm = stack_distances(keys)[100_000:]
    for size in (30, 300, 1500):
        hit = hit_rates(warm, np.array([size]))[0]
        assert hit == pytest.approx(che_hit_rate(shares, size), abs=0.01)
    assert che_hit_rate(shares, 3000) == 1.0
    assert che_hit_rate(shares, 0) == 0.0

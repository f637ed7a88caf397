"""A day of a fleet: drafts, edits, versions, and the caches of the engines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from corll.fleet.arrivals import Events, Ints, busiest_hour, draw_drafts, draw_edits
from corll.fleet.assumptions import SECONDS_A_DAY, SECONDS_AN_HOUR, Assumptions
from corll.fleet.caches import NEVER, stack_distances
from corll.fleet.closed_forms import Floats, servers_for
from corll.fleet.learners import Fleet, Learned
from corll.fleet.queues import waits

Bools = NDArray[np.bool_]

_MEGABYTES_A_GB = 1000.0
_DAYS = 2
"""A day to fill caches and lines, which is not looked at, and the one that is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each machine there are."""

    replicas: int
    learners: int
    gateways: int


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on the day that is looked at.

    `waited` is each draft's time in line, `took` from its request to its end; `distances` are the
    stack distances of the drafts that a version drew, each within its replica. *Units*: seconds,
    from the day's beginning.
    """

    assumptions: Assumptions
    sizes: Sizes
    drafts: Events
    edits: Events
    waited: Floats
    took: Floats
    distances: Ints
    learned: Learned

    def adapters_in(self, gigabytes: float) -> float:
        """Return how many adapters so much memory holds."""
        return math.floor(gigabytes * _MEGABYTES_A_GB / self.assumptions.adapters.megabytes)


def draft_seconds(assumptions: Assumptions) -> float:
    """Return how long a slot is taken by a draft of the mean length, its adapter at hand."""
    drafting = assumptions.drafting
    read = drafting.prompt_tokens / drafting.prompt_tokens_a_second
    return read + drafting.draft_tokens / drafting.tokens_a_second


def version_seconds(assumptions: Assumptions, edits: float) -> float:
    """Return how long a learner needs for a version of so many edits."""
    learning = assumptions.learning
    steps = max(1.0, edits / learning.edits_a_step)
    return learning.load_s + steps * learning.step_s + learning.examine_s + learning.publish_s


def sizes_for(assumptions: Assumptions) -> Sizes:
    """Return the fleet that is told or, by Erlang C, one that keeps up in the busiest hour.

    Services are taken as exponential, and each version as one step; `headroom` is for the rest.
    """
    users, drafting, learning = assumptions.users, assumptions.drafting, assumptions.learning
    peak = users.number * users.drafts_a_day / SECONDS_A_DAY * busiest_hour(users)
    service_s = draft_seconds(assumptions)
    slots = servers_for(peak * service_s, service_s, within_s=drafting.most_wait_s)
    edits = peak * users.edited_share * users.learning_share
    version_s = version_seconds(assumptions, learning.edits_a_step)
    load = edits / learning.edits_a_step * version_s
    learners = servers_for(load, version_s, within_s=learning.most_wait_s)
    requests = peak * (1 + users.edited_share)
    gateways = math.ceil(requests / assumptions.limits.gateway_requests_a_second)
    return Sizes(
        drafting.replicas or math.ceil(slots * drafting.headroom / drafting.slots),
        learning.learners or math.ceil(learners * learning.headroom),
        max(2, gateways),
    )


def play_day(
    assumptions: Assumptions, *, seed: int, say: Callable[[str], None] = lambda _: None
) -> Day:
    """Play a day, after one that fills caches and lines. The same seed gives the same day."""
    rng = np.random.default_rng(seed)
    sizes = sizes_for(assumptions)
    start, end = (_DAYS - 1) * float(SECONDS_A_DAY), _DAYS * float(SECONDS_A_DAY)
    drafts = draw_drafts(assumptions.users, rng, days=_DAYS)
    edits = draw_edits(assumptions.users, drafts, rng)
    say(f"{len(drafts):,} drafts and {len(edits):,} edits to be learned from, in two days")
    learned = _learn(assumptions, sizes, edits, rng, until=end)
    say(f"{len(learned.versions):,} versions by {sizes.learners:,} learners")
    names = _weights(assumptions, drafts, learned.versions, edits)
    replicas = _routes(assumptions, drafts, sizes.replicas, rng)
    distances = _distances(names, replicas, sizes.replicas)
    services = _services(assumptions, distances, names >= 0, rng)
    looked_at = drafts.times >= start
    waited = _waits(drafts.times, services, replicas, sizes.replicas * assumptions.drafting.slots)
    say(f"{len(drafts):,} drafts by {sizes.replicas:,} replicas")
    by_version = looked_at & (names >= 0)
    return Day(
        assumptions,
        sizes,
        _from(drafts.between(start, end), start),
        _from(edits.between(start, end), start),
        waited[looked_at],
        (waited + services)[looked_at],
        distances[by_version],
        _after(learned, start),
    )


def _learn(
    assumptions: Assumptions,
    sizes: Sizes,
    edits: Events,
    rng: np.random.Generator,
    *,
    until: float,
) -> Learned:
    learning = assumptions.learning
    factors = iter(_spread(learning.spread, len(edits), rng).tolist())
    fleet = Fleet(
        sizes.learners,
        lambda count: version_seconds(assumptions, count) * next(factors),
        edits_a_step=learning.edits_a_step,
        most_steps=learning.most_steps,
        flush_s=learning.flush_after_hours * SECONDS_AN_HOUR,
        serve_s=learning.serve_s,
    )
    return fleet.play(edits, until=until)


def _weights(assumptions: Assumptions, drafts: Events, versions: Events, edits: Events) -> Ints:
    """Return a number for the weights that draw each draft; −1 for the base.

    Who is learned from has a version from the beginning on; a new one has a number of its own.
    """
    span = _DAYS * float(SECONDS_A_DAY) * 2
    made = np.sort(versions.users * span + versions.times)
    first = np.searchsorted(made, drafts.users * span)
    so_far = np.searchsorted(made, drafts.users * span + drafts.times) - first
    has_version = np.zeros(assumptions.users.number, dtype=bool)
    has_version[edits.users] = True
    most = int(so_far.max(initial=0)) + 1
    return np.where(has_version[drafts.users], drafts.users * most + so_far, -1)


def _routes(
    assumptions: Assumptions, drafts: Events, replicas: int, rng: np.random.Generator
) -> Ints:
    if assumptions.drafting.routing == "anywhere":
        return rng.integers(replicas, size=len(drafts))
    return rng.integers(replicas, size=assumptions.users.number)[drafts.users]


def _distances(names: Ints, replicas: Ints, count: int) -> Ints:
    """Return each draft's stack distance within its replica."""
    distances = np.full(len(names), NEVER)
    order = np.argsort(replicas, kind="stable")
    order = order[names[order] >= 0]
    borders = np.searchsorted(replicas[order], np.arange(count + 1))
    for first, last in pairwise(borders.tolist()):
        own = order[first:last]
        distances[own] = stack_distances(names[own])
    return distances


def _services(
    assumptions: Assumptions, distances: Ints, by_version: Bools, rng: np.random.Generator
) -> Floats:
    """Return how long each draft takes its slot: prompt, tokens, an adapter that is away."""
    drafting, adapters = assumptions.drafting, assumptions.adapters
    lengths = drafting.draft_tokens * _spread(drafting.draft_spread, len(distances), rng)
    reading_s = drafting.prompt_tokens / drafting.prompt_tokens_a_second
    services = reading_s + lengths / drafting.tokens_a_second
    per_gb = _MEGABYTES_A_GB / adapters.megabytes
    from_store = by_version & (distances >= math.floor(adapters.disk_gb * per_gb))
    from_disk = by_version & (distances >= math.floor(adapters.memory_gb * per_gb))
    services = services + from_disk * (adapters.megabytes / adapters.disk_megabytes_a_second)
    fetching = adapters.store_latency_s + adapters.megabytes / adapters.store_megabytes_a_second
    return np.asarray(services + from_store * fetching)


def _waits(times: Floats, services: Floats, replicas: Ints, slots: int) -> Floats:
    """Return how long each draft waits for a slot of its replica."""
    count = int(replicas.max(initial=0)) + 1
    waited = np.zeros(len(times))
    order = np.argsort(replicas, kind="stable")
    borders = np.searchsorted(replicas[order], np.arange(count + 1))
    for first, last in pairwise(borders.tolist()):
        own = order[first:last]
        waited[own] = waits(times[own], services[own], max(1, slots // count))
    return waited


def _spread(spread: float, size: int, rng: np.random.Generator) -> Floats:
    """Return factors of mean 1 whose logarithms have this deviation."""
    return np.exp(spread * rng.standard_normal(size) - spread * spread / 2)


def _from(events: Events, start: float) -> Events:
    return Events(events.times - start, events.users)


def _after(learned: Learned, start: float) -> Learned:
    """Return what was learned from a time on, the times from there."""
    claims, edits = learned.taken_at >= start, learned.edit_at >= start
    served = learned.versions.times >= start
    versions = Events(learned.versions.times[served] - start, learned.versions.users[served])
    return Learned(
        versions,
        learned.taken_at[claims] - start,
        learned.waited[claims],
        learned.due_to_serving[claims],
        learned.edit_at[edits] - start,
        learned.edit_to_serving[edits],
        learned.left,
    )

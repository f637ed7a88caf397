"""What a fleet costs, and which of its parts gives way first as it grows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from corll.fleet.arrivals import Events
from corll.fleet.assumptions import (
    DAYS_A_MONTH,
    HOURS_A_DAY,
    SECONDS_A_DAY,
    SECONDS_AN_HOUR,
    Assumptions,
)
from corll.fleet.caches import hit_rates
from corll.fleet.closed_forms import Floats
from corll.fleet.day import Day

_MEGABYTES_A_GB, _KILOBYTES_A_GB, _MILLION = 1e3, 1e6, 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part of the fleet costs in a month, and how much of it there is."""

    part: str
    amount: float
    unit: str
    a_month: float


@dataclass(frozen=True, slots=True)
class Limit:
    """A part of which there is one: its load in the busiest hour, and what it can bear."""

    part: str
    load: float
    capacity: float
    unit: str
    users: int

    @property
    def breaks_at(self) -> float:
        """The number of users at which it bears no more; its load grows with theirs."""
        return math.inf if self.load <= 0 else self.users * self.capacity / self.load


def by_hour(events: Events) -> Floats:
    """Count what happened in each hour of the day. *Shapes*: 24."""
    hours = np.clip(events.times // SECONDS_AN_HOUR, 0, HOURS_A_DAY - 1).astype(np.int64)
    return np.bincount(hours, minlength=HOURS_A_DAY).astype(np.float64)


def stored_gb(assumptions: Assumptions) -> float:
    """Return what the versions of all users take in the store."""
    users, adapters = assumptions.users, assumptions.adapters
    each = adapters.megabytes * adapters.versions_kept + adapters.optimizer_megabytes
    return users.number * users.learning_share * each / _MEGABYTES_A_GB


def database_gb(assumptions: Assumptions) -> float:
    """Return what the database keeps of texts."""
    users, use = assumptions.users, assumptions.database
    edits = users.edited_share * use.kilobytes_an_edit
    a_day = users.number * users.drafts_a_day * (use.kilobytes_a_draft + edits)
    return a_day * use.kept_days / _KILOBYTES_A_GB


def fetched_share(day: Day) -> float:
    """Return the share of drafts by a version for which the store is asked."""
    size = day.adapters_in(day.assumptions.adapters.disk_gb)
    return 1 - float(hit_rates(day.distances, np.array([size]))[0])


def costs_of(day: Day) -> list[Cost]:
    """Return what each part costs in a month of such days, every machine paid day and night."""
    assumptions, sizes, prices = day.assumptions, day.sizes, day.assumptions.prices
    hours = HOURS_A_DAY * DAYS_A_MONTH
    versions = len(day.learned.versions) * DAYS_A_MONTH
    puts = versions
    gets = versions + fetched_share(day) * len(day.distances) * DAYS_A_MONTH
    kept = stored_gb(assumptions)
    requests = (puts * prices.store_put_million + gets * prices.store_get_million) / _MILLION
    return [
        Cost("drafting", sizes.replicas, "replicas", sizes.replicas * hours * prices.replica_hour),
        Cost("learning", sizes.learners, "learners", sizes.learners * hours * prices.learner_hour),
        Cost("gateways", sizes.gateways, "gateways", sizes.gateways * hours * prices.gateway_hour),
        Cost("database", 1, "with a standby", hours * prices.database_hour),
        Cost("store", kept, "GB", kept * prices.store_gb_month + requests),
    ]


def limits_of(day: Day) -> list[Limit]:
    """Return what there is one of, whoever gives way first at the head."""
    assumptions, limits, use = day.assumptions, day.assumptions.limits, day.assumptions.database
    number = assumptions.users.number
    drafts, versions = (
        float(by_hour(events).max()) / SECONDS_AN_HOUR
        for events in (day.drafts, day.learned.versions)
    )
    writes = drafts * (1 + assumptions.users.edited_share) + versions * use.writes_a_version
    by_version = len(day.distances) / max(1, len(day.drafts))
    gets = versions + drafts * by_version * fetched_share(day)
    looks = day.sizes.learners * use.looks_a_second
    found = [
        Limit("database, writes", writes, limits.database_writes_a_second, "a second", number),
        Limit("database, size", database_gb(assumptions), limits.database_gb, "GB", number),
        Limit("learners' queue", looks, limits.queue_looks_a_second, "looks a second", number),
        Limit("store, writes", versions, limits.store_puts_a_second, "a second", number),
        Limit("store, reads", gets, limits.store_gets_a_second, "a second", number),
    ]
    return sorted(found, key=lambda limit: limit.breaks_at)


def busy_share(day: Day) -> tuple[float, float]:
    """Return how busy the slots of replicas, and the learners, are over the day."""
    slots = day.sizes.replicas * day.assumptions.drafting.slots * SECONDS_A_DAY
    learners = day.sizes.learners * SECONDS_A_DAY
    worked = day.learned.due_to_serving - day.learned.waited - day.assumptions.learning.serve_s
    return float((day.took - day.waited).sum()) / slots, float(worked.sum()) / learners

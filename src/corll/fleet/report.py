"""What a simulated day is told as: a report of a page, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from corll.fleet.caches import hit_rates
from corll.fleet.closed_forms import Floats
from corll.fleet.costs import (
    busy_share,
    by_hour,
    costs_of,
    database_gb,
    limits_of,
    stored_gb,
)
from corll.fleet.day import Day

_GROWTH = 10
"""What gives way is told of so many times as many users."""


def summary_of(day: Day) -> dict[str, Any]:
    """Return a day's numbers as plain JSON. *Units*: seconds, gigabytes, the prices' currency."""
    assumptions, learned, sizes = day.assumptions, day.learned, day.sizes
    adapters, costs = assumptions.adapters, costs_of(day)
    tiers = np.array([day.adapters_in(gb) for gb in (adapters.memory_gb, adapters.disk_gb)])
    memory, disk = hit_rates(day.distances, tiers).tolist()
    slots, learners = busy_share(day)
    number, version_gb = assumptions.users.number, adapters.megabytes / 1000
    return {
        "users": number,
        "drafts": len(day.drafts),
        "edits": len(day.edits),
        "versions": len(learned.versions),
        "replicas": sizes.replicas,
        "learners": sizes.learners,
        "gateways": sizes.gateways,
        "draft_wait_s": _quantiles(day.waited),
        "draft_s": _quantiles(day.took),
        "due_to_serving_s": _quantiles(learned.due_to_serving),
        "edit_to_serving_s": _quantiles(learned.edit_to_serving),
        "hits_in_memory": memory,
        "hits_in_memory_or_on_disk": disk,
        "version_gb": version_gb,
        "versions_written_gb_a_day": version_gb * len(learned.versions),
        "versions_kept_gb": stored_gb(assumptions),
        "database_gb": database_gb(assumptions),
        "slots_busy": slots,
        "learners_busy": learners,
        "currency": assumptions.prices.currency,
        "cost_a_month": {cost.part: cost.a_month for cost in costs},
        "cost_a_user_a_month": sum(cost.a_month for cost in costs) / number,
        "breaks_at_users": {limit.part: limit.breaks_at for limit in limits_of(day)},
        "drafts_by_hour": by_hour(day.drafts).tolist(),
        "edits_by_hour": by_hour(day.edits).tolist(),
    }


def lines_of(day: Day) -> Iterator[str]:
    """Yield the report's lines."""
    told = summary_of(day)
    assumptions = day.assumptions
    yield (
        f"{told['users']:,} users on a day: {told['drafts']:,} drafts, {told['edits']:,} edits to "
        f"be learned from, {told['versions']:,} versions"
    )
    yield (
        f"  machines   {told['replicas']:,} replicas of {assumptions.drafting.slots} slots "
        f"({told['slots_busy']:.0%} busy), {told['learners']:,} learners "
        f"({told['learners_busy']:.0%} busy), {told['gateways']:,} gateways"
    )
    yield f"  drafts     wait {_shown(told['draft_wait_s'])}; whole {_shown(told['draft_s'])}"
    yield f"  learning   due to serving {_shown(told['due_to_serving_s'])}"
    yield (
        f"             edit to serving {_shown(told['edit_to_serving_s'])}, "
        "with the wait for the user's next edit"
    )
    disk = told["hits_in_memory_or_on_disk"]
    yield (
        f"  adapters   {told['hits_in_memory']:.1%} from memory, "
        f"{disk - told['hits_in_memory']:.1%} from disk, {1 - disk:.1%} from the store"
    )
    yield (
        f"  versions   {told['version_gb']:.3f} GB each, "
        f"{told['versions_written_gb_a_day']:,.0f} GB written a day, "
        f"{told['versions_kept_gb']:,.0f} GB kept"
    )
    yield from _costs(day, told)
    yield from _limits(day)


def _costs(day: Day, told: dict[str, Any]) -> Iterator[str]:
    currency = told["currency"]
    yield f"  cost       {told['cost_a_user_a_month']:.3f} {currency} a user a month, of which"
    for cost in costs_of(day):
        share = cost.a_month / sum(told["cost_a_month"].values())
        yield (
            f"             {cost.part:<9} {cost.a_month:>10,.0f} {currency} a month "
            f"({share:.0%}): {cost.amount:,.0f} {cost.unit}"
        )


def _limits(day: Day) -> Iterator[str]:
    number = day.assumptions.users.number * _GROWTH
    yield f"  {number:,} users, were everything {_GROWTH} times as much; first to give way:"
    for limit in limits_of(day):
        load = limit.load * _GROWTH
        state = f"{load / limit.capacity:.1f} times its limit" if load > limit.capacity else "holds"
        yield (
            f"             {limit.part:<16} {load:>9,.0f} of {limit.capacity:,.0f} {limit.unit}: "
            f"{state}, up to {limit.breaks_at:,.0f} users"
        )


def _quantiles(values: Floats) -> dict[str, float]:
    if not len(values):
        return {"median": 0.0, "p95": 0.0}
    median, p95 = np.quantile(values, [0.5, 0.95]).tolist()
    return {"median": median, "p95": p95}


def _shown(quantiles: dict[str, float]) -> str:
    return f"{_seconds(quantiles['median'])} (p95 {_seconds(quantiles['p95'])})"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"

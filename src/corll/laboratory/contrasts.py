"""Differences between arms, paired by seed: after as many preferences, and at equal cost.

The primary one is of areas under J less the expert's own (`cell_metrics.py`). Areas under R* stand
beside it, as they were looked at before J was measured. The first two contrasts of R* were named
before they were run; all others are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from corll.laboratory.arms import BRADLEY_TERRY, DEFAULT_ARM, DUELING
from corll.laboratory.statistics import (
    Array,
    Curve,
    Line,
    area_under_curve,
    at_new_highs,
    common_grid,
    curves,
    difference_at_equal_cost,
    paired_contrast,
    paths,
    until_quarter,
    with_several_points,
)

Row = dict[str, Any]
"""A row of a table, in numbers; None stands for what is not known."""

CONTRASTS = (
    (DEFAULT_ARM, DUELING),
    ("sft-edit", DUELING),
    ("sft-edit", DEFAULT_ARM),
    ("coactive-k-1", DEFAULT_ARM),
    ("coactive-k-9", DEFAULT_ARM),
    ("coactive-alpha-0.3", DEFAULT_ARM),
    ("coactive-best", DEFAULT_ARM),
    ("coactive-edit", DEFAULT_ARM),
    ("coactive-epsilon-0.1", DEFAULT_ARM),
    ("coactive-epsilon-0.3", DEFAULT_ARM),
    ("coactive-minimal-anyway", "coactive-minimal-drop"),
    ("coactive-minimal-drop", DUELING),
    ("coactive-minimal-anyway", DUELING),
    (BRADLEY_TERRY, DUELING),
    ("mixed", DEFAULT_ARM),
    ("coactive-k-1", "offline"),
    ("dueling-best-worst", DUELING),
    ("memory-nearest", "memory-last"),
    (f"{DEFAULT_ARM}+memory", DEFAULT_ARM),
    (f"{DEFAULT_ARM}+memory", "memory-last"),
    ("distil+memory", "memory-last"),
)
NAMED, NAMED_ON, NAMED_SEEDS = CONTRASTS[:2], ("imdb", "tiny"), 8
"""The contrasts that were named before they were run, at the learning rate that tuning chose for
each arm: which, where, and with how many seeds."""
OBJECTIVE = "objective_less_expert"
"""The metric of the primary contrasts: J less that of the expert's own sampler, so that 0 is the
expert's."""

COSTS = {
    "kl_sampler": "KL of the sampler to π₀, nats",
    "kl_drawn": "KL to π₀ among the tokens that can be drawn, nats",
    "kl": "KL to π₀ as log π/π₀ of the samples, nats",
    "sampled_tokens": "sampled tokens",
    "edited_characters": "edited characters",
}
"""The costs at which arms are compared, beside preferences."""

_MAY_FALL = ("kl_sampler",)


def contrast_rows(
    lines: Sequence[Line], rates: Mapping[str, float] | None = None, *, metric: str = "reward"
) -> list[Row]:
    """Return the differences of areas under a metric, for `CONTRASTS` whose arms share seeds.

    A row has `first`, `second`, `status` (named before it was run, or exploratory), `regime` (at
    which learning rates), `until`, the preferences that all cells of the contrast reached, and the
    fields of a `Contrast`, paired by seed. `rates` are the learning rates that tuning chose.
    """
    return _rows(
        lines, rates or {}, metric, lambda curve, grid: area_under_curve(*curve, grid=grid)
    )


def end_contrast_rows(
    lines: Sequence[Line], rates: Mapping[str, float] | None = None, *, metric: str
) -> list[Row]:
    """Return the same differences of a metric after the last preferences that all cells reached."""
    return _rows(lines, rates or {}, metric, lambda curve, grid: float(np.interp(grid[-1], *curve)))


def quarter_contrast_rows(
    lines: Sequence[Line], rates: Mapping[str, float] | None = None
) -> list[Row]:
    """Return differences of preferences until a quarter of the first KL to the expert is left.

    KL is counted beyond that of the expert's own sampler. Seeds where either arm never gets there
    are left out, and `never` counts them; a contrast without others is left out.
    """
    return _rows(lines, rates or {}, OBJECTIVE, lambda curve, grid: until_quarter(curve))


def _rows(
    lines: Sequence[Line],
    rates: Mapping[str, float],
    metric: str,
    measured: Callable[[Curve, Array], float],
) -> list[Row]:
    """Return a row for each contrast, of what is `measured` of each curve on the common grid."""
    found = curves(lines, metric)
    rows = []
    for pair in CONTRASTS:
        ours, theirs = (with_several_points(found.get(arm, {})) for arm in pair)
        seeds = sorted(ours.keys() & theirs.keys())
        grid = common_grid(side[seed] for side in (ours, theirs) for seed in seeds)
        if grid.size < 2:
            continue
        differences = [measured(ours[s], grid) - measured(theirs[s], grid) for s in seeds]
        known = [one for one in differences if math.isfinite(one)]
        if not known:
            continue
        own = [line for line in lines if line["arm"] in pair]
        row: Row = {"first": pair[0], "second": pair[1], "until": float(grid[-1])}
        row |= {"regime": regime_of(own, rates), "never": len(differences) - len(known)}
        row |= {"status": _status(pair, own, len(known), rates, metric)}
        rows.append(row | paired_contrast(known)._asdict())
    return rows


def regime_of(lines: Sequence[Line], rates: Mapping[str, float]) -> str:
    """Say at which learning rates some arms were run: each at the one that tuning chose, or all at
    one, which is named.
    """
    used = {(line["arm"], line.get("learning_rate")) for line in lines}
    different = {rate for _, rate in used}
    if different == {None}:
        return "—"
    if all(rate == rates.get(arm) for arm, rate in used):
        return "each arm's best rate"
    if len(different) == 1:
        return f"one rate, {different.pop():g}"
    return "other rates"


def equal_cost_contrast_rows(lines: Sequence[Line], cost: str) -> list[Row]:
    """Return the same contrasts of `reward` at an equal cost, such as `kl_drawn`.

    Of the two cells of a seed, the one that ends with the lower cost says where they are compared.
    A row has `cost` and `at`, the mean of these costs, in place of `until`. A contrast is left out
    where a cell's cost does not rise throughout. The KL of the sampler may fall again: of such a
    cell the evaluations count that went farther than all before.
    """
    found = paths(lines, "reward", against=cost)
    if cost in _MAY_FALL:
        found = {
            arm: {seed: at_new_highs(path) for seed, path in cells.items()}
            for arm, cells in found.items()
        }
    rows = []
    for first, second in CONTRASTS:
        ours, theirs = found.get(first, {}), found.get(second, {})
        seeds = sorted(ours.keys() & theirs.keys())
        at_equal = [difference_at_equal_cost(ours[seed], theirs[seed]) for seed in seeds]
        known = [pair for pair in at_equal if pair is not None]
        if not known or len(known) < len(at_equal):
            continue
        differences, ends = np.transpose(known)
        row: Row = {"first": first, "second": second, "at": float(ends.mean()), "cost": cost}
        row |= paired_contrast(differences)._asdict()
        rows.append(row | {"status": "exploratory"})
    return rows


def _status(
    pair: tuple[str, str],
    lines: Sequence[Line],
    seeds: int,
    rates: Mapping[str, float],
    metric: str,
) -> str:
    where = (lines[0]["task"], lines[0]["size"])
    tuned = all(line.get("learning_rate") == rates.get(line["arm"], math.nan) for line in lines)
    named = (
        metric == "reward"
        and pair in NAMED
        and where == NAMED_ON
        and seeds == NAMED_SEEDS
        and tuned
    )
    return "named before it was run" if named else "exploratory"

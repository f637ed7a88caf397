"""Differences between arms, paired by seed: after as many preferences, and at equal cost.

The first two were named before they were run; all others are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corll.laboratory.arms import DEFAULT_ARM, DUELING
from corll.laboratory.statistics import (
    Line,
    areas,
    curves,
    difference_at_equal_cost,
    paired_contrast,
    paths,
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
COSTS = {
    "kl_drawn": "KL to π₀ among the tokens that can be drawn, nats",
    "kl": "KL to π₀ as log π/π₀ of the samples, nats",
    "sampled_tokens": "sampled tokens",
    "edited_characters": "edited characters",
}
"""The costs at which arms are compared, beside preferences."""


def contrast_rows(lines: Sequence[Line], rates: Mapping[str, float] | None = None) -> list[Row]:
    """Return the differences of areas under `reward`, for `CONTRASTS` whose arms share seeds.

    A row has `first`, `second`, `status` (named before it was run, or exploratory), `until`, the
    preferences that all cells of the contrast reached, and the fields of a `Contrast`, paired by
    seed. `rates` are the learning rates that tuning chose, by arm.
    """
    found = curves(lines, "reward")
    rows = []
    for first, second in CONTRASTS:
        sides = [with_several_points(found.get(arm, {})) for arm in (first, second)]
        seeds = sorted(sides[0].keys() & sides[1].keys())
        if not seeds:
            continue
        until, (ours, theirs) = _areas_of(sides, seeds)
        contrast = paired_contrast(np.subtract(ours, theirs))
        row: Row = {"first": first, "second": second, "until": until, **contrast._asdict()}
        own = [line for line in lines if line["arm"] in (first, second)]
        status = _status((first, second), own, contrast.n, rates or {})
        rows.append(row | {"status": status})
    return rows


def equal_cost_contrast_rows(lines: Sequence[Line], cost: str) -> list[Row]:
    """Return the same contrasts of `reward` at an equal cost, such as `kl_drawn`.

    Of the two cells of a seed, the one that ends with the lower cost says where they are compared.
    A row has `cost` and `at`, the mean of these costs, in place of `until`. A contrast is left out
    where a cell's cost does not rise throughout.
    """
    found = paths(lines, "reward", against=cost)
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


def _areas_of(
    sides: Sequence[dict[int, Any]], seeds: Sequence[int]
) -> tuple[float, list[list[float]]]:
    chosen = {str(n): {seed: side[seed] for seed in seeds} for n, side in enumerate(sides)}
    until, found = areas(chosen)
    return until, [[found[name][seed] for seed in seeds] for name in chosen]


def _status(
    pair: tuple[str, str], lines: Sequence[Line], seeds: int, rates: Mapping[str, float]
) -> str:
    where = (lines[0]["task"], lines[0]["size"])
    tuned = all(line.get("learning_rate") == rates.get(line["arm"], math.nan) for line in lines)
    named = pair in NAMED and where == NAMED_ON and seeds == NAMED_SEEDS and tuned
    return "named before it was run" if named else "exploratory"

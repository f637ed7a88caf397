"""The open question: edits of the draft or redraws, by preference or by imitation, on whose drafts?

The arms `KIND+LOSS+DRAFTS` cross the kind of edit (matched in gain), the loss and whose drafts are
edited. An effect is the difference between two levels of one factor in the area under `reward`,
averaged over the cells of the other factors, and paired by seed. Effects are given over all cells
and, for kind and drafts, among the cells of each loss. Losses go different lengths at one learning
rate, so the same differences are also given at equal KL to π_0, and at equal numbers of sampled
tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from corll.laboratory.arms import DRAFTS, FACTORIAL, KINDS, LOSSES
from corll.laboratory.statistics import (
    Line,
    areas,
    curves,
    difference_at_equal_cost,
    paired_contrast,
    paths,
    with_several_points,
)


def effect_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the effects, over the seeds that have all twelve cells; no row where none has.

    `first` and `second` are the levels, such as `edit` and `redraw`, or `edit+dpo` and `redraw+dpo`
    among the cells of a loss. `until` are the preferences that all cells reached. The other fields
    are those of a `Contrast` of the paired differences first − second, and `status`.
    """
    found = {arm: with_several_points(seeds) for arm, seeds in curves(lines, "reward").items()}
    seeds = _in_all({arm: found.get(arm, {}) for arm in FACTORIAL})
    if not seeds:
        return []
    until, area_of = areas({arm: {s: found[arm][s] for s in seeds} for arm in FACTORIAL})
    rows = []
    for first, second in _pairs():
        differences = [
            _mean_area(area_of, first, seed) - _mean_area(area_of, second, seed) for seed in seeds
        ]
        contrast = paired_contrast(differences)
        row = {"first": first, "second": second, "until": until, **contrast._asdict()}
        rows.append(row | {"status": "exploratory: factorial"})
    return rows


def equal_cost_rows(lines: Sequence[Line], cost: str) -> list[dict[str, Any]]:
    """Return the effects on `reward` at an equal cost, such as `kl_drawn` or `sampled_tokens`.

    Of two cells that differ in one factor, the one that ends with the lower cost says where they
    are compared; there the other's reward is linear between the evaluations around it. A row has
    the fields of `effect_rows`, with `cost` and `at`, the mean of those costs, in place of `until`.
    An effect is left out where a cell's cost does not rise throughout.
    """
    found = paths(lines, "reward", against=cost)
    seeds = _in_all({arm: found.get(arm, {}) for arm in FACTORIAL})
    rows = []
    for first, second in _pairs() if seeds else ():
        matched = list(_matched(first, second))
        by_seed = [
            [difference_at_equal_cost(found[a][seed], found[b][seed]) for a, b in matched]
            for seed in seeds
        ]
        known = [[pair for pair in row if pair is not None] for row in by_seed]
        if known != by_seed:
            continue
        differences, ends = np.array(known).mean(axis=1).T
        row = {"first": first, "second": second, "at": float(ends.mean()), "cost": cost}
        row |= paired_contrast(differences)._asdict()
        rows.append(row | {"status": "exploratory: factorial"})
    return rows


def _in_all(cells: Mapping[str, Mapping[int, Any]]) -> list[int]:
    """Return the seeds that every arm has."""
    return sorted(set.intersection(*(set(seeds) for seeds in cells.values())))


def _matched(first: str, second: str) -> Iterator[tuple[str, str]]:
    """Yield the cells of the first level, each with the cell that differs in these alone."""
    here, there = set(first.split("+")), set(second.split("+"))
    for arm in FACTORIAL:
        if here <= set(levels := arm.split("+")):
            swapped = dict(zip(here - there, there - here, strict=True))
            yield arm, "+".join(swapped.get(level, level) for level in levels)


def _pairs() -> Iterator[tuple[str, str]]:
    for levels in (KINDS, LOSSES, DRAFTS):
        yield from combinations(levels, 2)
    for loss in LOSSES:
        yield f"{KINDS[0]}+{loss}", f"{KINDS[1]}+{loss}"
        yield f"{loss}+{DRAFTS[0]}", f"{loss}+{DRAFTS[1]}"


def _mean_area(area_of: Mapping[str, Mapping[int, float]], levels: str, seed: int) -> float:
    """Return the mean area over the cells that have all of the levels."""
    wanted = set(levels.split("+"))
    return float(
        np.mean([area_of[arm][seed] for arm in FACTORIAL if wanted <= set(arm.split("+"))])
    )

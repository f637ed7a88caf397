"""The open question: edits of the draft or redraws, by preference or by imitation, on whose drafts?

The arms `KIND+LOSS+DRAFTS` cross the kind of edit (matched in gain), the loss and whose drafts are
edited. An effect is the difference between two levels of one factor in the area under `reward`,
averaged over the cells of the other factors, and paired by seed: in all cells, and, for kind and
drafts, among the cells of each loss. Since losses go different lengths at one learning rate, the
same differences are also given at equal KL to π_0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from corll.laboratory.arms import DRAFTS, FACTORIAL, KINDS, LOSSES
from corll.laboratory.statistics import (
    Curve,
    Line,
    areas,
    curves,
    difference_at_equal_cost,
    grown,
    paired_contrast,
)


def effect_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The effects, over the seeds that have all twelve cells; empty where none has.

    `first` and `second` are the levels, such as `edit` and `redraw`, or `edit+dpo` and
    `redraw+dpo` among the cells of a loss; `until` the preferences up to which all cells got,
    beside the fields of a `Contrast` of the paired differences first − second, and `status`.
    """
    found, seeds = _complete(lines, against="preferences")
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


def equal_kl_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The effects on `reward` where both sides are as far from π_0, over the same seeds.

    Of two cells that differ in one factor, the one that ends nearer to π_0 says where: at the KL of
    its last evaluation, the other's reward is linear between the evaluations around it. Fields as
    in `effect_rows`, with `kl`, the mean of those KLs in nats, in place of `until`.
    """
    found, seeds = _complete(lines, against="kl")
    rows = []
    for first, second in _pairs() if seeds else ():
        differences, ends = [], []
        for seed in seeds:
            at_equal = [
                difference_at_equal_cost(found[a][seed], found[b][seed])
                for a, b in _matched(first, second)
            ]
            difference, end = np.mean(at_equal, axis=0)
            differences.append(float(difference))
            ends.append(float(end))
        contrast = paired_contrast(differences)
        row = {"first": first, "second": second, "kl": float(np.mean(ends)), **contrast._asdict()}
        rows.append(row | {"status": "exploratory: factorial, at equal KL"})
    return rows


def _complete(
    lines: Sequence[Line], *, against: str
) -> tuple[dict[str, dict[int, Curve]], list[int]]:
    """The curves of `reward` of the factorial's cells, and the seeds that have all twelve."""
    found = {
        arm: grown(seeds)
        for arm, seeds in curves(lines, "reward", against=against).items()
        if arm in FACTORIAL
    }
    return found, sorted(set.intersection(*(set(found.get(arm, {})) for arm in FACTORIAL)))


def _matched(first: str, second: str) -> Iterator[tuple[str, str]]:
    """The cells of the one's levels, each with that which differs from it in these alone."""
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
    """Over the cells that have all of the levels."""
    wanted = set(levels.split("+"))
    return float(
        np.mean([area_of[arm][seed] for arm in FACTORIAL if wanted <= set(arm.split("+"))])
    )

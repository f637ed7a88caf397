"""The open question: edits of the draft or redraws, by preference or by imitation, on whose drafts?

The arms `KIND+LOSS+DRAFTS` cross the kind of edit (matched in gain), the loss and whose drafts are
edited. An effect is the difference between two levels of one factor in the area under `reward`,
averaged over the cells of the other factors, and paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from corll.laboratory.arms import DRAFTS, FACTORIAL, KINDS, LOSSES
from corll.laboratory.statistics import Line, areas, curves, grown, paired_contrast

_FACTORS = (KINDS, LOSSES, DRAFTS)


def effect_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The main effects, over the seeds that have all twelve cells; empty where none has.

    `first` and `second` are the levels, `until` the preferences up to which all cells got, beside
    the fields of a `Contrast` of the paired differences first − second, and `status`.
    """
    found = {
        arm: grown(seeds) for arm, seeds in curves(lines, "reward").items() if arm in FACTORIAL
    }
    seeds = sorted(set.intersection(*(set(found.get(arm, {})) for arm in FACTORIAL)))
    if not seeds:
        return []
    until, area_of = areas({arm: {s: found[arm][s] for s in seeds} for arm in FACTORIAL})
    rows = []
    for place, levels in enumerate(_FACTORS):
        for first, second in combinations(levels, 2):
            differences = [
                _mean_area(area_of, place, first, seed) - _mean_area(area_of, place, second, seed)
                for seed in seeds
            ]
            contrast = paired_contrast(differences)
            row = {"first": first, "second": second, "until": until, **contrast._asdict()}
            rows.append(row | {"status": "exploratory: factorial"})
    return rows


def _mean_area(
    area_of: Mapping[str, Mapping[int, float]], place: int, level: str, seed: int
) -> float:
    """Over the cells that have a level of the factor at a place of their name."""
    cells = [arm for arm in FACTORIAL if arm.split("+")[place] == level]
    return float(np.mean([area_of[arm][seed] for arm in cells]))

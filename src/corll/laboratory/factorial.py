"""The open question: edits of the draft or redraws, by preference or by imitation, on whose drafts?

The arms `KIND+LOSS+DRAFTS` cross the kind of edit (matched in gain), the loss and whose drafts are
edited. An effect is the difference between two levels of one factor in the area under `reward`,
averaged over the cells of the other factors, and paired by seed: in all cells, and, for kind and
drafts, among the cells of each loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from corll.laboratory.arms import DRAFTS, FACTORIAL, KINDS, LOSSES
from corll.laboratory.statistics import Line, areas, curves, grown, paired_contrast


def effect_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The effects, over the seeds that have all twelve cells; empty where none has.

    `first` and `second` are the levels, such as `edit` and `redraw`, or `edit+dpo` and
    `redraw+dpo` among the cells of a loss; `until` the preferences up to which all cells got,
    beside the fields of a `Contrast` of the paired differences first − second, and `status`.
    """
    found = {
        arm: grown(seeds) for arm, seeds in curves(lines, "reward").items() if arm in FACTORIAL
    }
    seeds = sorted(set.intersection(*(set(found.get(arm, {})) for arm in FACTORIAL)))
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

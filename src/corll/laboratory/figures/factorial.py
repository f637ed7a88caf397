"""The factorial: the area under `reward` for each kind of edit, loss, and maker of drafts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from corll.laboratory.arms import DRAFTS, DUELING, FACTORIAL
from corll.laboratory.figures.curves import (
    METRIC_LABELS,
    NO_EXPERT,
    DrawnFigure,
    View,
    describe_seeds,
)
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    DUELING_COLOUR,
    INK,
    add_legend,
    add_title,
    describe_levels,
    label_of,
    new_figure,
    sort_arms,
    style_axes,
)
from corll.laboratory.statistics import Line, areas, curves, interval_band

_COLOURS = dict(zip(DRAFTS, (COACTIVE_COLOURS(0.0), COACTIVE_COLOURS(0.9)), strict=True))
_WHOSE = dict(zip(DRAFTS, ("drafts of π", "drafts of π₀"), strict=True))
_MARKERS = dict(zip(DRAFTS, "os", strict=True))
_OFFSETS = dict(zip(DRAFTS, (-0.16, 0.16), strict=True))


def draw_factorial(
    lines: Sequence[Line],
    arms: Sequence[str],
    views: Sequence[View],
    *,
    title: str,
    expert: Mapping[str, float] = NO_EXPERT,
) -> DrawnFigure | None:
    """Draw a dot for each cell with its 95 % interval and seeds; dueling is a line with its own.

    Areas are taken on the grid that all of the arms reach. Return None where no cell of the
    factorial has an area.
    """
    metric = views[0].metric
    wanted = [line for line in lines if line["arm"] in arms]
    end, by_arm = areas(curves(wanted, metric))
    cells = [arm for arm in FACTORIAL if arm in by_arm]
    if not cells:
        return None
    rows = list(dict.fromkeys(arm.rpartition("+")[0] for arm in cells))
    figure = new_figure(6.4, 0.5 * len(rows) + 2)
    axes = figure.subplots()
    for arm in cells:
        row, _, drafts = arm.rpartition("+")
        _draw_cell(axes, rows.index(row) + _OFFSETS[drafts], by_arm[arm].values(), drafts)
    if DUELING in by_arm:
        _draw_dueling(axes, by_arm[DUELING].values())
    axes.set_yticks(range(len(rows)), [describe_levels(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(
        f"{METRIC_LABELS[metric].label}, mean of 0 to {end:,.0f} preferences (area)",
        color=INK,
        fontsize=9,
    )
    if metric in expert:
        axes.axvline(
            expert[metric], color=INK, linestyle=(0, (1, 2)), linewidth=1.2, label="expert"
        )
    style_axes(axes)
    words = describe_seeds([len(seeds) for seeds in by_arm.values()], every_seed=False)
    add_legend(figure, *axes.get_legend_handles_labels(), title=words, columns=3)
    add_title(figure, title)
    return figure, {"metric": metric, "until": end, "areas": _records(by_arm)}


def _draw_cell(axes: Axes, height: float, values: Iterable[float], drafts: str) -> None:
    seeds, colour = list(values), _COLOURS[drafts]
    mean, low, high = (float(x[0]) for x in interval_band([[value] for value in seeds]))
    axes.plot(seeds, [height] * len(seeds), "o", color=colour, alpha=0.3, markersize=4)
    if len(seeds) > 1:
        axes.plot([low, high], [height, height], color=colour, linewidth=2)
    labels = axes.get_legend_handles_labels()[1]
    label = _WHOSE[drafts] if _WHOSE[drafts] not in labels else None
    axes.plot(mean, height, _MARKERS[drafts], color=colour, markersize=8, label=label)


def _draw_dueling(axes: Axes, values: Iterable[float]) -> None:
    mean, low, high = (float(x[0]) for x in interval_band([[value] for value in values]))
    axes.axvline(mean, color=DUELING_COLOUR, linewidth=1.8, label=label_of(DUELING))
    if math.isfinite(low):
        axes.axvspan(low, high, color=DUELING_COLOUR, alpha=0.14, linewidth=0)


def _records(by_arm: Mapping[str, Mapping[int, float]]) -> list[dict[str, Any]]:
    records = []
    for arm in sort_arms(by_arm):
        seeds = by_arm[arm]
        mean, low, high = (
            float(x[0]) for x in interval_band([[value] for value in seeds.values()])
        )
        numbers = {"mean": mean, "low": low, "high": high, "seeds": seeds}
        records.append({"arm": arm, "label": label_of(arm), **numbers})
    return records

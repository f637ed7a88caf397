"""Metrics over the preferences seen, or over what they cost: a band over seeds for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from corll.laboratory.figures.style import (
    INK,
    LineStyle,
    add_arms_legend,
    add_title,
    label_of,
    line_styles,
    new_figure,
    style_axes,
)
from corll.laboratory.statistics import (
    Array,
    Curve,
    Line,
    aligned,
    curves,
    interval_band,
    with_several_points,
)

NO_EXPERT: Mapping[str, float] = {}
"""No lines of an expert, where nothing is known of it."""

DrawnFigure = tuple[Figure, dict[str, Any]]
"""A figure and the data that it shows."""


class MetricLabel(NamedTuple):
    """The label of a metric's axis, and whether the metric is a share."""

    label: str
    is_share: bool = False


METRIC_LABELS = {
    "objective_less_expert": MetricLabel("J less that of the expert's sampler"),
    "kl_to_expert": MetricLabel("KL of the sampler to π*, nats"),
    "kl_sampler": MetricLabel("KL of the sampler to π₀, nats"),
    "reward": MetricLabel("held-out reward R*"),
    "reward_argmax": MetricLabel("held-out R*, best of k by R_π"),
    "mislabelled": MetricLabel("mislabelled preferences", is_share=True),
    "estimated_alpha": MetricLabel("α̂ of the edits"),
    "left_out": MetricLabel("rounds left out of α̂", is_share=True),
    "gain": MetricLabel("gain in R* of a preference"),
    "regret_estimate": MetricLabel("regret against the best of\nexpert samples (biased low)"),
    "premise_violated": MetricLabel("rounds with\nR_π(draft) < R_π(edit)", is_share=True),
    "kl": MetricLabel("KL to π₀: log π/π₀, nats a response"),
    "kl_drawn": MetricLabel("KL to π₀ among what can be drawn, nats"),
    "reward_alone": MetricLabel("held-out R* without the memory"),
    "memory_texts": MetricLabel("texts before a prompt"),
    "length": MetricLabel("length, tokens"),
    "preferences": MetricLabel("preferences seen"),
    "sampled_tokens": MetricLabel("tokens sampled for drafts"),
    "edited_characters": MetricLabel("characters changed by edits"),
}


class View(NamedTuple):
    """A pair of axes: a metric, and what it is drawn against."""

    metric: str
    against: str = "preferences"


@dataclass(frozen=True)
class Band:
    """An arm in a view. *Shapes*: `x`, `mean`, `low`, `high` (points,), `seeds` each (points,)."""

    view: View
    arm: str
    x: Array
    mean: Array
    low: Array
    high: Array
    seeds: dict[int, Array]

    def record(self) -> dict[str, Any]:
        """Return what the file beside the figure holds."""
        named = {"metric": self.view.metric, "against": self.view.against, "arm": self.arm}
        numbers = {"x": self.x, "mean": self.mean, "low": self.low, "high": self.high}
        return {**named, "label": label_of(self.arm), **numbers, "seeds": self.seeds}


def draw_curves(
    lines: Sequence[Line],
    arms: Sequence[str],
    views: Sequence[View],
    *,
    title: str,
    expert: Mapping[str, float] = NO_EXPERT,
    every_seed: bool = False,
) -> DrawnFigure | None:
    """Draw the arms in each view, with a band of 95 % over seeds; `every_seed` draws each thin too.

    `expert` has the expert's own value of metrics, which is a line across. An arm that never left 0
    (no edits, no learning) is drawn as a level at its last value. Return None where no view has any
    of the arms.
    """
    bands = {view: bands_of(lines, arms, view) for view in views}
    shown = {view: found for view, found in bands.items() if found}
    if not shown:
        return None
    styles = line_styles(arms)
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    figure = new_figure(5.4 if columns == 1 else 8.2, 4.4 if rows == 1 else 2.9 * rows + 1)
    panes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (view, found) in zip(panes, shown.items(), strict=False):
        for band in found:
            _draw_band(axes, band, styles[band.arm], every_seed=every_seed)
        if view.metric in expert:
            draw_expert(axes, expert[view.metric])
        _finish(axes, view)
    for axes in panes[len(shown) :]:
        axes.set_visible(False)
    flat = [band for found in shown.values() for band in found]
    drawn = {band.arm for band in flat}
    words = describe_seeds([len(band.seeds) for band in flat], every_seed=every_seed)
    there = {arm: style for arm, style in styles.items() if arm in drawn}
    add_arms_legend(figure, there, title=words, columns=columns + 1)
    add_title(figure, title)
    levels = {view.metric: expert[view.metric] for view in shown if view.metric in expert}
    return figure, {"curves": [band.record() for band in flat], "expert": levels}


def draw_expert(axes: Axes, level: float) -> None:
    """Draw the expert's own value as a line across, and name it."""
    axes.axhline(level, color=INK, linestyle=(0, (1, 2)), linewidth=1.2)
    axes.annotate(
        "expert",
        (1, level),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        xytext=(-2, 2),
        ha="right",
        color=INK,
        fontsize=8,
    )


def bands_of(lines: Sequence[Line], arms: Sequence[str], view: View) -> list[Band]:
    """Return the bands of the arms that have the metric, each on the stretch of all its seeds."""
    found = curves(lines, view.metric, against=view.against)
    bands = [_band_of(view, arm, found[arm]) for arm in arms if arm in found]
    return [band for band in bands if band.x.size]


def _band_of(view: View, arm: str, seeds: Mapping[int, Curve]) -> Band:
    # A cell of a single point has only begun. It counts where no cell has more.
    kept = with_several_points(seeds) or seeds
    grid, values = aligned(kept.values())
    if not grid.size:
        return Band(view, arm, grid, grid, grid, grid, {})
    mean, low, high = interval_band(values)
    return Band(view, arm, grid, mean, low, high, dict(zip(kept, values, strict=True)))


def _draw_band(axes: Axes, band: Band, style: LineStyle, *, every_seed: bool) -> None:
    colour, pattern = style
    if band.x.size == 1:
        if band.x[0] == 0:
            level = ":" if pattern == "-" else pattern
            axes.axhline(band.mean[0], color=colour, linestyle=level, linewidth=1.6)
            if np.isfinite(band.low[0]):
                axes.axhspan(band.low[0], band.high[0], color=colour, alpha=0.12, linewidth=0)
        else:
            axes.plot(band.x, band.mean, "o", color=colour, markersize=5)
        return
    if every_seed:
        for values in band.seeds.values():
            axes.plot(band.x, values, pattern, color=colour, linewidth=0.7, alpha=0.45)
    if np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(band.x, band.mean, pattern, color=colour, linewidth=2.6 if every_seed else 1.8)


def label_axes(axes: Axes, view: View) -> None:
    """Label both axes: what is drawn, and against what."""
    axes.set_ylabel(METRIC_LABELS[view.metric].label, color=INK, fontsize=9)
    axes.set_xlabel(METRIC_LABELS[view.against].label, color=INK, fontsize=9)


def _finish(axes: Axes, view: View) -> None:
    label_axes(axes, view)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(left=0)
    if METRIC_LABELS[view.metric].is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_ylim(bottom=0)
    style_axes(axes)
    axes.tick_params(labelsize=9)


def describe_seeds(counts: Sequence[int], *, every_seed: bool) -> str:
    """Say what lines and bands are, over how many seeds: `mean and 95 % interval, 3–8 seeds`."""
    low, high = min(counts), max(counts)
    if high == 1:
        return "one seed"
    many = f"{low}–{high} seeds" if low < high else f"{high} seeds"
    thin = "thick: mean; band: its 95 % interval; thin: each of"
    return f"{thin if every_seed else 'mean and 95 % interval,'} {many}"

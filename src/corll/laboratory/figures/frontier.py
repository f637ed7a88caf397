"""The frontier: the held-out reward over the KL to π_0, evaluation by evaluation.

A larger step wins reward with any kind of feedback. At the same KL, kinds of feedback can be
compared whatever their learning rates (as in Gao et al. 2023, *Scaling laws for reward model
overoptimization*).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from corll.laboratory.figures.curves import (
    NO_EXPERT,
    Band,
    DrawnFigure,
    View,
    bands_of,
    draw_expert,
    label_axes,
)
from corll.laboratory.figures.style import (
    LineStyle,
    add_arms_legend,
    add_title,
    label_of,
    line_styles,
    new_figure,
    style_axes,
)
from corll.laboratory.statistics import Line, number

_DISTANCES = {"kl": 1.0, "kl_drawn": 0.1}
"""The two measures of distance, and the nats from which on the scale is logarithmic."""


def draw_frontier(
    lines: Sequence[Line],
    arms: Sequence[str],
    views: Sequence[View],
    *,
    title: str,
    expert: Mapping[str, float] = NO_EXPERT,
) -> DrawnFigure | None:
    """Draw a line for each arm through the means of its evaluations, with small dots for its seeds.

    One pair of axes shows the usual KL, log π/π₀ of the samples; another shows the KL among the
    tokens that can be drawn, of the cells that have it. Return None where no arm has both metrics.
    """
    metric = views[0].metric
    found = {distance: _paths(lines, arms, metric, distance) for distance in _DISTANCES}
    drawn = {distance: paths for distance, paths in found.items() if paths}
    if not drawn:
        return None
    figure = new_figure(5.0 * len(drawn) + 0.4, 4.4)
    styles = line_styles([arm for arm in arms if any(arm in paths for paths in drawn.values())])
    for place, (distance, paths) in enumerate(drawn.items(), start=1):
        axes = figure.add_subplot(1, len(drawn), place)
        for arm, (far, reward) in paths.items():
            _draw_path(axes, far, reward, styles[arm])
        if metric in expert:
            draw_expert(axes, expert[metric])
        axes.set_xscale("symlog", linthresh=_DISTANCES[distance])
        axes.set_xlim(left=0)
        label_axes(axes, View(metric, distance))
        style_axes(axes)
    add_arms_legend(figure, styles, title="mean of each evaluation; dots: its seeds", columns=2)
    add_title(figure, title)
    records = {
        distance: [_record(far, reward, distance) for far, reward in paths.values()]
        for distance, paths in drawn.items()
    }
    return figure, {"metric": metric, "against": list(drawn), "paths": records}


def _paths(
    lines: Sequence[Line], arms: Sequence[str], metric: str, distance: str
) -> dict[str, tuple[Band, Band]]:
    """Return distance and reward by arm, over the cells that have the distance throughout."""
    without = {
        (line["arm"], line["seed"]) for line in lines if not math.isfinite(number(line, distance))
    }
    own = [line for line in lines if (line["arm"], line["seed"]) not in without]
    distances = {band.arm: band for band in bands_of(own, arms, View(distance))}
    rewards = {band.arm: band for band in bands_of(own, arms, View(metric))}
    return {arm: (distances[arm], rewards[arm]) for arm in distances if arm in rewards}


def _draw_path(axes: Axes, distance: Band, reward: Band, style: LineStyle) -> None:
    axes.plot(distance.mean, reward.mean, style.pattern, color=style.colour, linewidth=1.8)
    for seed, kl in distance.seeds.items():
        axes.plot(kl, reward.seeds[seed], "o", color=style.colour, alpha=0.3, markersize=3)


def _record(distance: Band, reward: Band, name: str) -> dict[str, Any]:
    named = {"arm": reward.arm, "label": label_of(reward.arm), "preferences": reward.x}
    means = {name: distance.mean, "reward": reward.mean}
    return {**named, **means, "seeds": {name: distance.seeds, "reward": reward.seeds}}

"""What a reward cost in distance: the held-out reward over the KL to π_0, evaluation by evaluation.

A larger step wins reward with any kind of feedback; at the same KL kinds can be compared whatever
their learning rates (as in Gao et al. 2023, *Scaling laws for reward model overoptimization*).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from corll.laboratory.figures.curves import Band, Drawing, View, bands_of, label_axes
from corll.laboratory.figures.style import (
    Look,
    add_arms_legend,
    add_title,
    label_of,
    looks_of,
    new_figure,
    tidy,
)
from corll.laboratory.statistics import Line


def draw_frontier(
    lines: Sequence[Line], arms: Sequence[str], views: Sequence[View], *, title: str
) -> Drawing | None:
    """A line an arm through the means of its evaluations, and a small dot for each seed of each.

    None where no arm has both metrics.
    """
    distances = {band.arm: band for band in bands_of(lines, arms, View("kl"))}
    metric = views[0].metric
    rewards = {band.arm: band for band in bands_of(lines, arms, View(metric))}
    there = [arm for arm in arms if arm in distances and arm in rewards]
    if not there:
        return None
    figure = new_figure(5.4, 4.4)
    axes = figure.subplots()
    looks = looks_of(there)
    for arm in there:
        _draw_path(axes, distances[arm], rewards[arm], looks[arm])
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    label_axes(axes, View(metric, "kl"))
    tidy(axes)
    add_arms_legend(figure, looks, title="mean of each evaluation; dots: its seeds", columns=2)
    add_title(figure, title)
    paths = [_record(distances[arm], rewards[arm]) for arm in there]
    return figure, {"metric": metric, "against": "kl", "paths": paths}


def _draw_path(axes: Axes, distance: Band, reward: Band, look: Look) -> None:
    axes.plot(distance.mean, reward.mean, look.style, color=look.colour, linewidth=1.8)
    for seed, kl in distance.seeds.items():
        axes.plot(kl, reward.seeds[seed], "o", color=look.colour, alpha=0.3, markersize=3)


def _record(distance: Band, reward: Band) -> dict[str, Any]:
    named = {"arm": reward.arm, "label": label_of(reward.arm), "preferences": reward.x}
    means = {"kl": distance.mean, "reward": reward.mean}
    return {**named, **means, "seeds": {"kl": distance.seeds, "reward": reward.seeds}}

"""The figure of a replay: how much more an arm was surprised than the base, edit by edit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from corll.laboratory.figures.style import (
    INK,
    add_legend,
    add_title,
    new_figure,
    style_axes,
    write_image,
)
from corll.replay.intervals import interval_of_users, mean_of_users
from corll.replay.scores import ReplayArm, ScoredEdit
from corll.replay.summary import differences

_COLOURS: dict[ReplayArm, str] = {
    "memory": "#b7791f",
    "sft": "#2f855a",
    "coactive": "#5e2b97",
    "both": "#e0645c",
}
_POINTS, _RESAMPLES = 40, 1000


def draw_replay(
    scored: Sequence[ScoredEdit], arms: Sequence[ReplayArm], path: Path, *, title: str, seed: int
) -> bool:
    """Draw the mean difference so far with its 95 % bands as a PNG.

    At edit n it is of the first n edits of each user, so that the last point is the report's
    number. Return False where no edit inserted anything and nothing can be shown.
    *Raises*: RunFolderError.
    """
    last = max((edit.number for edit in scored), default=0)
    shown = [arm for arm in arms if arm != "base" and differences(scored, arm)]
    if not shown:
        return False
    marks = sorted({int(mark) for mark in np.linspace(1, last, min(last, _POINTS)).round()})
    figure = new_figure(8, 4.6)
    axes = figure.subplots()
    handles = []
    for arm in shown:
        points = [_point(scored, arm, mark, seed) for mark in marks]
        x = [mark for mark, point in zip(marks, points, strict=True) if point is not None]
        mean, low, high = np.array([point for point in points if point is not None]).T
        handles += axes.plot(x, mean, color=_COLOURS[arm], linewidth=2)
        axes.fill_between(x, low, high, color=_COLOURS[arm], alpha=0.15, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("edits of a user", color=INK)
    axes.set_ylabel("surprisal − base's, so far\n(nats an inserted token)", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_axes(axes)
    add_legend(
        figure, handles, shown, title="mean over users, 95 % bands; below 0 is better", columns=4
    )
    add_title(figure, title)
    write_image(figure, path)
    return True


def _point(
    scored: Sequence[ScoredEdit], arm: ReplayArm, until: int, seed: int
) -> tuple[float, float, float] | None:
    """Return mean and band after so many edits; the band is not a number for too few."""
    users = differences(scored, arm, until=until)
    if not users:
        return None
    interval = interval_of_users(users, seed=seed, resamples=_RESAMPLES)
    return interval or (mean_of_users(users), np.nan, np.nan)

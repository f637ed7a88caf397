"""The learning curve of a run: what the edits cost, and how often none was needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from corll.laboratory.figures.style import INK, PALE, add_title, new_figure, style_axes, write_image

_LINE = "#1f5f8b"
_MIN_WINDOW, _WINDOWS = 4, 8


def draw_curve(metrics: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> bool:
    """Draw the curve as a PNG; return False where no round got feedback and nothing can be shown.

    Both panels show single rounds and the mean of the rounds around them, over an eighth of the
    run.
    """
    answered = [line for line in metrics if "edit_cost" in line]
    if not answered:
        return False
    rounds = np.array([line["round"] for line in answered])
    costs = np.array([line["edit_cost"] for line in answered])
    accepted = np.array([float(line["accepted"]) for line in answered])
    figure = new_figure(8, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_costs(upper, rounds, costs)
    _draw_acceptance(lower, rounds, accepted)
    add_title(figure, title)
    write_image(figure, path)
    return True


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the values up to each, over a window of an eighth of them (at least 4)."""
    window = max(_MIN_WINDOW, len(values) // _WINDOWS)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _draw_costs(axes: Axes, rounds: NDArray[np.int64], costs: NDArray[np.float64]) -> None:
    axes.scatter(rounds, costs, s=14, color=PALE, linewidths=0, label="one round")
    axes.plot(rounds, running_mean(costs), color=_LINE, linewidth=2, label="running mean")
    # A few drafts that were thrown away whole cost many times their edit, and must not flatten the
    # rest of the curve.
    top = max(float(np.quantile(costs, 0.95)) * 1.3, float(running_mean(costs).max()) * 1.1, 0.1)
    axes.set_ylim(-0.03 * top, top)
    above = int((costs > top).sum())
    label = "edit cost" + (f"\n({above} rounds above)" if above else "")
    axes.set_ylabel(label, color=INK)
    axes.legend(frameon=False, loc="upper right", labelcolor=INK)
    style_axes(axes)


def _draw_acceptance(axes: Axes, rounds: NDArray[np.int64], accepted: NDArray[np.float64]) -> None:
    axes.plot(rounds, running_mean(accepted), color=_LINE, linewidth=2)
    axes.plot(rounds, accepted, "|", color=PALE, markersize=5)
    axes.set_ylim(-0.06, 1.06)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_ylabel("accepted as is", color=INK)
    axes.set_xlabel("round", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_axes(axes)

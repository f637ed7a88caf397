"""The figure of the rounds: cumulative cost by round as a ratio to another arm's, an arm a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from check_arms import DEFAULTS
from corll.errors import InputError
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    DUELING_COLOUR,
    INK,
    PALE,
    add_legend,
    add_title,
    new_figure,
    style_axes,
    write_figure,
)
from hierarchical import RESAMPLES
from paired import Array
from round_report import ArmKey, Rounds, seconds

COLOURS: Mapping[str, str] = {
    "base": "#8a8a8a",
    "last": "#63a4e0",
    "nearest": DUELING_COLOUR,
    "weights": to_hex(COACTIVE_COLOURS(0.0)),
    "both": to_hex(COACTIVE_COLOURS(0.6)),
    "auto": INK,
    "auto-nearest": "#b45309",
    "cipher": "#2f855a",
}


def draw_cumulative(
    lines: Iterable[Mapping[str, Any]], path: Path, *, against: str = "base"
) -> list[Path]:
    """Draw the ratio of cumulative seconds to another arm's; return the paths written.

    Bands are 95 % intervals over users, and over seeds within them. Beside the PNG there are an
    SVG, and a JSON with what was drawn. *Raises*: InputError where no other arm has its rounds.
    """
    rounds = Rounds(lines)
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    drawn: dict[str, Any] = {}
    handles: list[Line2D] = []
    for arm in rounds.arms:
        found = None if arm == (against, DEFAULTS) else cumulative_ratio(rounds, arm, against)
        if found is None:
            continue
        value, low, high = found
        numbers = np.arange(1, len(value) + 1)
        colour, pattern = COLOURS[arm[0]], "-" if arm[1] == DEFAULTS else "--"
        handles += axes.plot(numbers, value, color=colour, linestyle=pattern, linewidth=1.5)
        axes.fill_between(numbers, low, high, color=colour, alpha=0.12, linewidth=0)
        drawn[" ".join(arm)] = {"ratio": value, "low": low, "high": high}
    if not drawn:
        raise InputError(f"No arm has rounds in common with {against}: nothing can be drawn.")
    axes.axhline(1.0, color=PALE, linewidth=1)
    style_axes(axes)
    axes.set_ylim(0, None)
    axes.set_xlabel("round", color=INK, fontsize=9)
    axes.set_ylabel(f"cumulative seconds, ratio to {against}", color=INK, fontsize=9)
    add_title(figure, "What writing cost so far, by round")
    names = [name.removesuffix(f" {DEFAULTS}") for name in drawn]
    title = f"{len(rounds.users)} users; bands are 95 % intervals over users"
    add_legend(figure, handles, names, title=title, columns=6)
    return write_figure(figure, {"against": against, "arms": drawn}, path.with_suffix(""))


def cumulative_ratio(
    rounds: Rounds, arm: ArmKey, against: str
) -> tuple[Array, Array, Array] | None:
    """Return the ratio of cumulative seconds after each round, and its band; None without pairs.

    Only rounds that all users have played in both arms count. *Shapes*: T each.
    """
    groups = rounds.beside(arm, against, [seconds])
    if not groups:
        return None
    count = min(len(rows) for user in groups for rows in user)
    paths = [np.cumsum([rows[:count] for rows in user], axis=1) for user in groups]
    rng = np.random.default_rng(0)
    draws = np.empty((RESAMPLES, count))
    for number in range(RESAMPLES):
        chosen = [paths[user] for user in rng.integers(len(paths), size=len(paths))]
        sums = sum(user[rng.integers(len(user), size=len(user))].sum(0) for user in chosen)
        draws[number] = np.divide(*np.transpose(sums))
    whole = np.transpose(sum(user.sum(0) for user in paths))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return whole[0] / whole[1], low, high

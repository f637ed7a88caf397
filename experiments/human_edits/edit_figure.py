"""The figure of a trial: surprisal, R_π and the scorer over the edits learned from, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from corll.evaluation import Interval
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    DUELING_COLOUR,
    INK,
    add_legend,
    add_title,
    new_figure,
    style_axes,
    write_figure,
)
from edit_report import ArmKey, Measure, Measured, difference_of_surprisal, named, right
from edit_trial import ARMS, DEFAULTS

_COLOURS: Mapping[str, str] = {
    "memory": "#b7791f",
    "sft": "#2f855a",
    "dpo": DUELING_COLOUR,
    "coactive": to_hex(COACTIVE_COLOURS(0.0)),
    "distil": "#0f9488",
}
_PATTERNS = ("-", "--", "-.", ":")


class _Panel(NamedTuple):
    """A panel: its title, its measure, and where all arms stand before the first edit.

    With `beside_base` the measure is the difference to the base, paired.
    """

    title: str
    measure: Measure
    beside_base: bool
    at_first: float


_PANELS = (
    _Panel("surprisal − base's\n(nats an inserted token)", difference_of_surprisal, False, 0.0),
    _Panel("share of edits that\nR_π prefers", right, False, 0.5),
    _Panel("scorer of fresh drafts\n− base's", named("score"), True, 0.0),
    _Panel("words kept of the\noriginal − base's (F1)", named("kept"), True, 0.0),
)


def draw_edits(measured: Sequence[Measured], path: Path) -> list[Path]:
    """Draw each arm over the edits that it learned from, with 95 % bands; return the paths written.

    A row of panels is a data set and a model. Beside the PNG there are an SVG, and a JSON with what
    was drawn. *Raises*: RunFolderError.
    """
    figure = new_figure(3.3 * len(_PANELS), 2.6 * len(measured) + 0.8)
    rows = figure.subplots(len(measured), len(_PANELS), squeeze=False)
    labels = list(dict.fromkeys(label for one in measured for _, label in one.arms))
    drawn: dict[str, Any] = {}
    for axes, one in zip(rows, measured, strict=True):
        name = f"{one.data}, {one.model}"
        drawn[name] = {
            panel.title.replace("\n", " "): _draw(place, one, panel, labels)
            for place, panel in zip(axes, _PANELS, strict=True)
        }
        axes[0].set_title(name, color=INK, fontsize=9, loc="left")
    arms = dict.fromkeys(arm for one in measured for arm in one.arms if arm[0] != "base")
    handles = [Line2D([], [], **_style(arm, labels)) for arm in arms]
    add_title(figure, "Edits that people made: what was learned from them, off-policy")
    add_legend(
        figure,
        handles,
        [arm if label == DEFAULTS else f"{arm}, {label}" for arm, label in arms],
        title="means over held-out edits and seeds; bands are 95 % intervals",
        columns=len(ARMS),
    )
    return write_figure(figure, drawn, path.with_suffix(""))


def _draw(axes: Axes, one: Measured, panel: _Panel, labels: Sequence[str]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for arm in one.arms:
        if arm[0] == "base":
            continue
        points = {edits: _point(one, arm, edits, panel) for edits in one.marks(arm)}
        known = {edits: point for edits, point in points.items() if point is not None}
        if not known:
            continue
        first = Interval(panel.at_first, panel.at_first, panel.at_first)
        edits, values = [0, *known], np.array([first, *known.values()])
        style = _style(arm, labels)
        axes.plot(edits, values[:, 0], linewidth=1.5, **style)
        axes.fill_between(
            edits, values[:, 1], values[:, 2], color=style["color"], alpha=0.12, linewidth=0
        )
        drawn[" ".join(arm)] = {"edits": edits, "mean, low, high": values}
    axes.axhline(panel.at_first, color=INK, linewidth=0.7)
    style_axes(axes)
    axes.set_xlabel("edits learned from", color=INK, fontsize=8)
    axes.set_ylabel(panel.title, color=INK, fontsize=8)
    return drawn


def _point(one: Measured, arm: ArmKey, edits: int, panel: _Panel) -> Interval | None:
    if panel.beside_base:
        return one.difference(arm, edits, "base", panel.measure)
    return one.mean(arm, edits, panel.measure)


def _style(arm: ArmKey, labels: Sequence[str]) -> dict[str, Any]:
    pattern = _PATTERNS[min(labels.index(arm[1]), len(_PATTERNS) - 1)]
    return {"color": _COLOURS[arm[0]], "linestyle": pattern}

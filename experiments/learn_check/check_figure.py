"""The figure of a check: seconds to send by edit, an arm a line with its band, a writer a panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from check_arms import DEFAULTS
from check_report import ArmKey, Drafts
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    DUELING_COLOUR,
    INK,
    PALE,
    LineStyle,
    add_legend,
    add_title,
    new_figure,
    style_axes,
    write_figure,
)
from paired import RESAMPLES, Array

WINDOW = 10
"""Edits of a moving mean."""

_COLOURS: Mapping[str, str] = {
    "base": "#8a8a8a",
    "memory": DUELING_COLOUR,
    "weights": to_hex(COACTIVE_COLOURS(0.0)),
    "both": to_hex(COACTIVE_COLOURS(1.0)),
    "auto": INK,
}
_PATTERNS = ("-", "--", "-.", ":")
_COLUMNS = 3


def draw_costs(lines: Iterable[Mapping[str, Any]], path: Path) -> list[Path]:
    """Draw the moving mean of ten edits' seconds over all seeds; return the paths written.

    Bands are 95 % intervals by bootstrap over the drafts of the window. Beside the PNG there are an
    SVG, and a JSON with what was drawn.
    """
    drafts = Drafts(lines)
    columns = min(_COLUMNS, len(drafts.writers))
    rows = -(-len(drafts.writers) // columns)
    figure = new_figure(3.4 * columns, 2.5 * rows + 0.9)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    styles = _styles(drafts.arms)
    drawn = {
        writer: _panel(panel, drafts, writer, styles)
        for panel, writer in zip(panels, drafts.writers, strict=False)
    }
    for panel in panels[len(drafts.writers) :]:
        panel.set_visible(False)
    handles = [Line2D([], [], color=s.colour, linestyle=s.pattern) for s in styles.values()]
    handles.append(Line2D([], [], color=PALE, linestyle="-"))
    names = [arm if label == DEFAULTS else f"{arm}, {label}" for arm, label in styles]
    add_title(figure, "Seconds to send, by edit")
    add_legend(
        figure,
        handles,
        [*names, "writing it oneself"],
        title=f"moving mean of {WINDOW} edits over all seeds; bands are 95 % intervals",
        columns=5,
    )
    return write_figure(figure, {"window": WINDOW, "writers": drawn}, path.with_suffix(""))


def _panel(
    axes: Axes, drafts: Drafts, writer: str, styles: Mapping[ArmKey, LineStyle]
) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    alone: list[float] = []
    for arm, style in styles.items():
        lines = drafts.of(writer, arm)
        if not lines:
            continue
        alone = alone or [line["alone"] for line in lines]
        edits, mean, low, high = _moving(lines)
        axes.plot(edits, mean, color=style.colour, linestyle=style.pattern, linewidth=1.4)
        axes.fill_between(edits, low, high, color=style.colour, alpha=0.12, linewidth=0)
        drawn[" ".join(arm)] = {"edits": edits, "mean": mean, "low": low, "high": high}
    axes.axhline(float(np.mean(alone)), color=PALE, linewidth=1)
    style_axes(axes)
    axes.set_ylim(0, None)
    axes.set_title(writer, color=INK, fontsize=9)
    axes.set_xlabel("edit", color=INK, fontsize=8)
    axes.set_ylabel("seconds", color=INK, fontsize=8)
    return {"alone": float(np.mean(alone)), "arms": drawn}


def _moving(lines: Sequence[Mapping[str, Any]]) -> tuple[Array, Array, Array, Array]:
    """Return the last edits of windows, means, and their bands. *Shapes*: W each."""
    edits = np.array([line["edit"] for line in lines])
    seconds = np.array([line["seconds"] for line in lines], dtype=np.float64)
    width = min(WINDOW, int(edits.max()))
    ends = np.arange(width, edits.max() + 1)
    rng = np.random.default_rng(0)
    found = []
    for end in ends:
        own = seconds[(edits > end - width) & (edits <= end)]
        draws = own[rng.integers(len(own), size=(RESAMPLES, len(own)))].mean(1)
        found.append((own.mean(), *np.quantile(draws, [0.025, 0.975])))
    mean, low, high = np.array(found).T
    return ends.astype(np.float64), mean, low, high


def _styles(arms: Sequence[ArmKey]) -> dict[ArmKey, LineStyle]:
    """Return a colour for each arm, and a pattern for each label."""
    labels = list(dict.fromkeys(label for _, label in arms))
    return {
        (arm, label): LineStyle(
            _COLOURS[arm], _PATTERNS[min(labels.index(label), len(_PATTERNS) - 1)]
        )
        for arm, label in arms
    }

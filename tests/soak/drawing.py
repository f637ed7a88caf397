"""The figure of a soak test: each quantity over time, with what it was judged to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from soak.judging import Judgement, warm_up_s

_HOUR_S = 3600.0


def draw(lines: Sequence[Mapping[str, Any]], judgements: Sequence[Judgement], path: Path) -> None:
    """Draw a panel for each quantity; what is left out as warming up is grey."""
    columns = 2
    figure = Figure(figsize=(11, 2.2 * -(-len(judgements) // columns)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(judgements) // columns), columns, squeeze=False).flat
    hours = [line["at_s"] / _HOUR_S for line in lines]
    warm = hours[0] + warm_up_s(lines[-1]["at_s"] - lines[0]["at_s"]) / _HOUR_S
    for axis, one in zip(panels, judgements, strict=False):
        name = one.quantity.name
        axis.plot(hours, [line[name] for line in lines], color="#2b6cb0", linewidth=0.8)
        axis.axvspan(hours[0], warm, color="#e6e6e6")
        axis.set_title(f"{name}: {one.verdict}, {one.slope:+.3g} an hour", fontsize=9)
        axis.set_xlabel("hours", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(panels):
        axis.set_visible(False)
    figure.savefig(path, dpi=120)

"""The figure of the canary experiment: exposure against how often a secret was in an edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corll.laboratory.arms import LOSSES
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    INK,
    add_legend,
    add_title,
    describe_levels,
    new_figure,
    style_axes,
    write_figure,
)
from corll.laboratory.statistics import interval_band

_TITLES = {
    "edit": "after the edit that held it",
    "prompt": "after that edit's prompt",
    "other": "after other prompts",
}
_BY_CHANCE = 1 / np.log(2)
"""The mean exposure of a secret whose rank is uniform, for many possible secrets."""


def draw_canary(lines: Sequence[Mapping[str, Any]], folder: Path, *, command: str) -> list[Path]:
    """Write `fig-canary`: means over secrets and seeds, with 95 % intervals.

    `lines` have the fields of `canary.Exposure`. *Raises*: RunFolderError.
    """
    figure = new_figure(10.5, 4.2)
    panels = figure.subplots(1, 3, sharey=True)
    counts = sorted({line["repetitions"] for line in lines})
    losses = [loss for loss in LOSSES if any(line["loss"] == loss for line in lines)]
    drawn: dict[str, Any] = {}
    for axes, (context, title) in zip(panels, _TITLES.items(), strict=True):
        for loss, place in zip(losses, np.linspace(0, 0.9, len(losses)), strict=True):
            bands = [interval_band([[v] for v in _group(lines, loss, n, context)]) for n in counts]
            means = [float(mean[0]) for mean, _, _ in bands]
            errors = [float(mean[0] - low[0]) for mean, low, _ in bands]
            axes.errorbar(
                counts,
                means,
                errors,
                color=COACTIVE_COLOURS(place),
                marker="o",
                label=describe_levels(loss),
            )
            drawn[f"{loss}, {title}"] = {
                "repetitions": counts,
                "exposure": means,
                "half_interval": errors,
            }
        axes.axhline(_BY_CHANCE, color=INK, linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("edits that held the secret", color=INK)
        axes.set_title(title, fontsize=10)
        style_axes(axes)
    panels[0].set_ylabel("exposure after learning (bits)", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    note = "mean and 95 % interval over secrets and seeds; dotted: nothing memorised"
    add_legend(figure, handles, labels, title=note, columns=3)
    add_title(figure, "Does learning from edits memorise secrets in them?")
    return write_figure(figure, {"command": command, "lines": drawn}, folder / "fig-canary")


def _group(lines: Sequence[Mapping[str, Any]], loss: str, count: int, context: str) -> list[float]:
    wanted = (loss, count, context)
    return [
        line["after"]
        for line in lines
        if (line["loss"], line["repetitions"], line["context"]) == wanted
    ]

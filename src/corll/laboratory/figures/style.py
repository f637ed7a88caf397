"""The style of figures: the paper's colours, names of arms, axes, files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from corll.errors import RunFolderError
from corll.files.durable import write_text
from corll.laboratory.arms import DUELING, FACTORIAL, FIXED_ARMS, MEMORY_ENDINGS, split_memory

INK, PALE, GRID = "#333333", "#9db4c8", "#e6e6e6"
DUELING_COLOUR = "#2b6cb0"
COACTIVE_COLOURS = LinearSegmentedColormap.from_list(
    "coactive", ("#5e2b97", "#b0418e", "#e0645c", "#f0932b")
)
"""Coactive arms go from purple to orange, and dueling is blue, as in the paper's figures."""

_NUMBERED = re.compile(
    r"(?P<base>coactive-(?:alpha|epsilon|k)|temperature)-(?P<number>\d+(?:\.\d+)?)"
)
_NUMBERED_LABELS = {
    "coactive-alpha": "coactive, α",
    "coactive-epsilon": "coactive, ε",
    "coactive-k": "coactive, k",
    "temperature": "no learning, temperature",
}
_LABELS = {
    "coactive-minimal-drop": "coactive, minimal, noise-free",
    "coactive-minimal-anyway": "coactive, minimal, noisy",
    "coactive-best": "coactive, always the best",
    "coactive-edit": "coactive, edit of the draft",
    "dueling-bradley-terry": "dueling, labels drawn by eq. 7",
    "dueling-best-worst": "dueling, best and worst",
    "mixed": "coactive and dueling",
    "sft-edit": "SFT on the edits",
    "offline": "coactive, drafts of π₀",
    "none": "no learning",
    "memory-last": "no learning, behind the last texts",
    "memory-nearest": "no learning, behind the nearest texts",
    "distil": "self-distillation",
}
_MEMORY_LABELS = dict(
    zip(
        MEMORY_ENDINGS,
        ("behind past texts", "behind the last texts", "behind the nearest texts"),
        strict=True,
    )
)
_FACTORIAL_WORDS = {"dpo": "DPO", "sft": "SFT", "both": "DPO + SFT"}


class LineStyle(NamedTuple):
    """The colour and the pattern of an arm's line."""

    colour: str
    pattern: str


_FIXED_STYLES = {
    DUELING: LineStyle(DUELING_COLOUR, "-"),
    "dueling-bradley-terry": LineStyle("#63a4e0", "-."),
    "dueling-best-worst": LineStyle("#63a4e0", "--"),
    "mixed": LineStyle("#7a7fd0", "-."),
    "sft-edit": LineStyle("#2f855a", "-"),
    "offline": LineStyle("#8c6d46", "--"),
    "none": LineStyle("#8a8a8a", ":"),
    "temperature": LineStyle("#8a8a8a", "--"),
    "memory-last": LineStyle("#b7791f", "-"),
    "memory-nearest": LineStyle("#b7791f", "--"),
    "distil": LineStyle("#0f9488", "-"),
}
_MEMORY_PATTERNS = ("--", "-.", ":", "-")
"""An arm with a memory has the colour of the arm without, and the first patterns that it lacks."""


def label_of(arm: str) -> str:
    """Return what an arm is called in figures and tables; its own name where there is no other."""
    base, ending = split_memory(arm)
    if ending in _MEMORY_LABELS:
        return f"{label_of(base)}, {_MEMORY_LABELS[ending]}"
    if found := _NUMBERED.fullmatch(arm):
        return f"{_NUMBERED_LABELS[found['base']]} = {found['number']}"
    if arm in FACTORIAL:
        return describe_levels(arm)
    return _LABELS.get(arm, arm)


def describe_levels(levels: str) -> str:
    """Describe levels of the factorial, joined by +, in words."""
    return ", ".join(_FACTORIAL_WORDS.get(level, level) for level in levels.split("+"))


def sort_arms(arms: Iterable[str]) -> list[str]:
    """Sort arms in the order of `arms.py`, then by their number; unknown ones come last."""
    return sorted(set(arms), key=_rank)


def line_styles(arms: Iterable[str]) -> dict[str, LineStyle]:
    """Return a line style for each arm; coactive arms share out the gradient in their order.

    Those with a memory have the colour of the arm without.
    """
    ordered = sort_arms(arms)
    bases = dict.fromkeys(split_memory(arm)[0] for arm in ordered)
    kinds = {arm: _base(arm)[0] for arm in bases}
    styles = {arm: _FIXED_STYLES[kind] for arm, kind in kinds.items() if kind in _FIXED_STYLES}
    gradient = [arm for arm in bases if arm not in styles]
    for arm, place in zip(gradient, np.linspace(0, 1, len(gradient)), strict=True):
        pattern = "--" if arm.startswith("redraw+") else "-"
        styles[arm] = LineStyle(to_hex(COACTIVE_COLOURS(place)), pattern)
    return {arm: _behind_memory(styles, arm) for arm in ordered}


def _behind_memory(styles: Mapping[str, LineStyle], arm: str) -> LineStyle:
    """Return the style of an arm from those of the arms without a memory."""
    base, ending = split_memory(arm)
    style = styles[base]
    if ending not in MEMORY_ENDINGS:
        return style
    others = [pattern for pattern in _MEMORY_PATTERNS if pattern != style.pattern]
    return style._replace(pattern=others[MEMORY_ENDINGS.index(ending)])


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of so many inches, without pyplot and its global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_title(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, parse_math=False)


def add_legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, title: str, columns: int
) -> None:
    """Add a legend below the axes; its title says what lines and bands are."""
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(columns, len(labels)),
        frameon=False,
        labelcolor=INK,
        fontsize=8,
        title=title,
        title_fontsize=8,
    )
    legend.get_title().set_color(INK)
    for text in legend.get_texts():
        text.set_parse_math(False)


def add_arms_legend(
    figure: Figure, styles: Mapping[str, LineStyle], *, title: str, columns: int
) -> None:
    """Add a legend with a line for each arm, in its style."""
    lines = [
        Line2D([], [], color=style.colour, linestyle=style.pattern) for style in styles.values()
    ]
    add_legend(figure, lines, [label_of(arm) for arm in styles], title=title, columns=columns)


def style_axes(axes: Axes) -> None:
    """Give axes two spines and a pale grid of heights."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(colors=INK, length=3)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def write_image(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, the same bytes for the same figure.

    *Raises*: RunFolderError where it cannot be written.
    """
    # Text is kept as text: files stay small, and can be searched and read aloud.
    svg = {"svg.hashsalt": "corll", "svg.fonttype": "none"}
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    try:
        with matplotlib.rc_context(svg):
            figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise RunFolderError(f"{path} could not be written: {error.strerror or error}.") from error


def write_figure(figure: Figure, data: Mapping[str, Any], stem: Path) -> list[Path]:
    """Write `stem`.png, .svg and, with the data that was drawn, .json; return their paths.

    *Raises*: RunFolderError where they cannot be written.
    """
    images = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    beside = stem.with_name(f"{stem.name}.json")
    content = json.dumps(_plain(data), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_text(beside, content + "\n")
    except OSError as error:
        raise RunFolderError(
            f"{beside} could not be written: {error.strerror or error}."
        ) from error
    for image in images:
        write_image(figure, image)
    return [*images, beside]


def _rank(arm: str) -> tuple[int, float, str]:
    order = [_base(known)[0] for known in (*FIXED_ARMS, *FACTORIAL)]
    base, number = _base(arm)
    return order.index(base) if base in order else len(order), number, arm


def _base(arm: str) -> tuple[str, float]:
    name, _ = split_memory(arm)
    found = _NUMBERED.fullmatch(name)
    return (found["base"], float(found["number"])) if found else (name, 0.0)


def _plain(value: Any) -> Any:
    """Convert to plain JSON: arrays to lists, numbers to six digits, what is not finite to null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value

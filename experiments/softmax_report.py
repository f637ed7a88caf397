"""What the lines of `softmax_world.py` say: tables, differences paired by seed, seeds needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corll.laboratory.arms import DEFAULT_ARM, DUELING
from corll.laboratory.figures.style import (
    INK,
    add_legend,
    add_title,
    label_of,
    line_styles,
    new_figure,
    style_axes,
    write_figure,
)
from corll.laboratory.statistics import paired_contrast, seeds_needed

Line = Mapping[str, Any]
HELD_OUT = 96
"""Held-out prompts of the real contrast's evaluations (`imdb-mini`), one sample each."""

_BASE, _ONE_WORLD, _TEMPERATURE, _SFT = "base", "one world", "temperature", "sft-edit"
_ANYWAY = "coactive-minimal-anyway"


def scale_of(line: Line) -> float | None:
    """Return the scale of R* in the labels; None for labels without noise."""
    scale: float | None = line.get("play", {}).get("bradley_terry")
    return scale


def name_of(line: Line) -> str:
    """Return the name of an arm with its labels, as tables and figures give it."""
    scale = scale_of(line)
    if line["arm"] == _TEMPERATURE:
        return f"nothing learned, temperature {line['temperature']:g}"
    if scale is None:
        return label_of(line["arm"])
    return f"{label_of(line['arm'])}, eq. 7" + (f" of {scale:g} R*" if scale != 1 else "")


def best_of(lines: Iterable[Line]) -> dict[str, Line]:
    """Return by arm and labels the line of the rate, or temperature, that tuning seeds chose."""
    best: dict[str, Line] = {}
    for line in lines:
        key = _TEMPERATURE if line["arm"] == _TEMPERATURE else name_of(line)
        if key not in best or line["tuning_area"] > best[key]["tuning_area"]:
            best[key] = line
    return best


def common_rate(lines: Iterable[Line]) -> float:
    """Return the rate that is best for the arms of exact labels together, by the tuning seeds."""
    by_rate: dict[float, list[float]] = {}
    for line in lines:
        if line["condition"] == _BASE and "rate" in line and scale_of(line) is None:
            by_rate.setdefault(line["rate"], []).append(line["tuning_area"])
    return max(by_rate, key=lambda rate: float(np.mean(by_rate[rate])))


def report(lines: Sequence[Line]) -> str:
    """Return all tables of lines."""
    shared = common_rate(lines)
    parts: list[str] = []
    for condition in dict.fromkeys(line["condition"] for line in lines):
        own = [line for line in lines if line["condition"] == condition]
        best = best_of(own)
        at_shared = {name_of(line): line for line in own if line.get("rate") == shared}
        parts += [f"## {condition}", "Each arm at its best rate:", _table(best.values())]
        parts += [_differences(best)]
        parts += [f"One rate for all, {shared:g}:", _table(at_shared.values())]
        parts += [_differences(at_shared)]
    base = [line for line in lines if line["condition"] == _BASE]
    parts += ["## Area under J by rate (base)", _by_rate(base)]
    for condition in dict.fromkeys(line["condition"] for line in lines):
        if condition.endswith(_ONE_WORLD):
            own = [line for line in lines if line["condition"] == condition]
            parts += [f"## Seeds that the real contrast needs ({condition})", _power(own)]
    return "\n\n".join(part for part in parts if part)


def _mean(values: Sequence[float | None], form: str = ".3f") -> str:
    found = [value for value in values if value is not None]
    if not found:
        return "–"
    error = f" ± {np.std(found, ddof=1) / math.sqrt(len(found)):{form}}" if len(found) > 1 else ""
    share = f" ({len(found)} of {len(values)})" if len(found) < len(values) else ""
    return f"{np.mean(found):{form}}{error}{share}"


def _rows(header: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {header} |", "|" + " --- |" * (header.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _table(lines: Iterable[Line]) -> str:
    header = (
        "arm | rate | area under J | J at the end | R* | KL | KL to π* over the expert's own | "
        "R* at half the expert's KL | preferences to a quarter | users who agree | wrong way"
    )

    def row(line: Line) -> Iterator[str]:
        yield name_of(line)
        yield f"{line['rate']:g}" if "rate" in line else "–"
        for name in ("area", "last", "reward"):
            yield _mean(line.get(name, []))
        for name in ("kl", "excess"):
            yield _mean(line.get(name, []), ".2f")
        yield _mean(line.get("reward_at", []))
        yield _mean(line.get("quarter", []), ".0f")
        for name in ("agrees", "mislabelled"):
            yield f"{100 * line[name]:.0f} %" if name in line else "–"

    return _rows(header, [list(row(line)) for line in lines])


_DIFFERENCES = ("area", "last", "whole_area", "whole_last", "reward", "reward_at")


def _differences(by_name: Mapping[str, Line]) -> str:
    """Return differences paired by seed for each measure.

    Each arm is held against dueling of the same labels, and arms of exact labels also against
    dueling of eq. 7's users, as B.3 has them.
    """
    duels = {scale_of(line): line for line in by_name.values() if line["arm"] == DUELING}
    rows = []
    for line in by_name.values():
        if "area" not in line:
            continue
        for scale in dict.fromkeys((scale_of(line), 1.0 if scale_of(line) is None else None)):
            other = duels.get(scale)
            is_asked = scale == scale_of(line) or scale is not None
            if other is not None and other is not line and is_asked:
                differences = (difference(line, other, measure) for measure in _DIFFERENCES)
                rows.append([f"{name_of(line)} − {name_of(other)}", *differences])
    header = (
        "difference | area under J | J at the end | area under J of the whole π | "
        "J of the whole π at the end | R* | R* at half the expert's KL"
    )
    return _rows(header, rows) if rows else ""


def paired(first: Line, second: Line, measure: str) -> list[float]:
    """Return the differences of the seeds that have the measure in both lines."""
    both = zip(first[measure], second[measure], strict=True)
    return [one - other for one, other in both if one is not None and other is not None]


def difference(first: Line, second: Line, measure: str) -> str:
    """Return the mean of paired differences with its 95 % interval."""
    found = paired(first, second, measure)
    if not found:
        return "–"
    contrast = paired_contrast(found)
    short = f", {len(found)} seeds" if len(found) < len(first[measure]) else ""
    return f"{contrast.mean:+.3f} ({contrast.low:+.3f} to {contrast.high:+.3f}{short})"


def _by_rate(lines: Sequence[Line]) -> str:
    rates = sorted({line["rate"] for line in lines if "rate" in line})
    rows: dict[str, list[str]] = {}
    for line in lines:
        if "rate" in line:
            rows.setdefault(name_of(line), []).append(f"{np.mean(line['area']):.3f}")
    header = "arm | " + " | ".join(f"{rate:g}" for rate in rates)
    return _rows(header, [[name, *values] for name, values in rows.items()])


def _power(lines: Sequence[Line]) -> str:
    """Say how many seeds show each difference, of seeds that share a world as real ones do.

    To the spread of J between seeds comes that of an estimate by one sample of each held-out
    prompt, of either arm: β spread / √prompts.
    """
    best = best_of(lines)
    edits, duels = label_of(DEFAULT_ARM), label_of(DUELING)
    named = [
        (edits, duels),
        (label_of(_SFT), duels),
        (edits, label_of(_SFT)),
        (duels, f"{duels}, eq. 7"),
    ]
    rows = []
    for first, second in named:
        if first not in best or second not in best:
            continue
        for measure in ("area", "last"):
            found = paired(best[first], best[second], measure)
            mean, own = float(np.mean(found)), float(np.std(found, ddof=1))
            beta = best[first]["world"]["beta"]
            spreads = [np.mean(np.square(best[arm]["spread"])) for arm in (first, second)]
            sampled = beta * math.sqrt(sum(spreads) / HELD_OUT)
            total = math.hypot(own, sampled)
            rows.append(
                [
                    f"{first} − {second}, {measure}",
                    f"{mean:+.3f}",
                    f"{own:.3f}",
                    f"{sampled:.3f}",
                    *(_seeds(part * mean, total) for part in (1.0, 0.5)),
                ]
            )
    header = (
        f"difference | mean | deviation between seeds | of {HELD_OUT} samples | "
        "seeds for a power of 90 % | where the difference is half of it"
    )
    return _rows(header, rows) if rows else ""


def _seeds(mean: float, deviation: float) -> str:
    needed = seeds_needed(mean, deviation)
    return "more than 1,000" if needed is None else str(needed)


_DASHED = {1.0: (0, (4, 2)), None: "-"}


def draw(lines: Sequence[Line], path: Path, *, command: str) -> None:
    """Draw J over preferences and rates, R* over KL, and the area over dimensions.

    Writes `path` as .png, .svg and .json. *Raises*: RunFolderError where it cannot be written.
    """
    base = [
        line
        for line in lines
        if line["condition"] == _BASE and "rate" in line and scale_of(line) in (None, 1.0)
    ]
    exact = [line["arm"] for line in base if scale_of(line) is None]
    shown = [
        line for line in base if scale_of(line) is None or line["arm"] in (DEFAULT_ARM, DUELING)
    ]
    styles = line_styles(exact)
    best = best_of(shown)
    figure = new_figure(11, 8.4)
    (over, rates), (frontier, dimensions) = figure.subplots(2, 2)
    for line in best.values():
        look = {"color": styles[line["arm"]].colour, "linestyle": _DASHED[scale_of(line)]}
        x, y, error = (
            np.array(line[name]) for name in ("preferences", "objective_at", "objective_error_at")
        )
        over.plot(x, y, label=name_of(line), **look)
        over.fill_between(x, y - error, y + error, color=look["color"], alpha=0.15, linewidth=0)
        frontier.plot(line["kl_at_points"], line["reward_at_points"], marker=".", **look)
        own = sorted(
            (other["rate"], float(np.mean(other["area"])))
            for other in shown
            if name_of(other) == name_of(line)
        )
        rates.plot(*zip(*own, strict=True), marker="o", markersize=4, **look)
    _draw_dimensions(dimensions, lines, styles)
    beta = base[0]["world"]["beta"]
    level = -beta * float(np.mean(base[0]["least_expert_kl"]))
    for axes in (over, rates):
        axes.axhline(level, color=INK, linestyle=":", linewidth=1)
    kl = float(np.mean(base[0]["expert_kl"]))
    frontier.plot(kl, level + beta * kl, "*", color=INK, markersize=10)
    labels = (
        (over, "preferences", "J of the sampler, at each arm's best rate"),
        (rates, "learning rate", "area under J"),
        (frontier, "KL(π̃‖π₀), nats a text", "R*, at each arm's best rate"),
        (dimensions, "parameters", "area under J, at each arm's best rate"),
    )
    for axes, x_label, y_label in labels:
        axes.set_xlabel(x_label, color=INK, fontsize=9)
        axes.set_ylabel(y_label, color=INK, fontsize=9)
        style_axes(axes)
    sizes = sorted({line["world"]["dimensions"] for line in lines})
    for axes, ticks in ((rates, sorted({line["rate"] for line in base})), (dimensions, sizes)):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    rates.set_ylim(-0.8, 0)
    seeds = len(base[0]["area"])
    note = f"mean ± standard error, {seeds} seeds; dotted line and star: the expert's own sampler"
    add_legend(figure, *over.get_legend_handles_labels(), title=note, columns=3)
    add_title(figure, "The paper's objective in softmax worlds, exact")
    write_figure(figure, {"command": command, "curves": list(best.values())}, path.with_suffix(""))


def _draw_dimensions(axes: Any, lines: Sequence[Line], styles: Mapping[str, Any]) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    for condition in dict.fromkeys(line["condition"] for line in lines):
        own = [line for line in lines if line["condition"] == condition and "rate" in line]
        if condition != _BASE and not condition.endswith("dimensions"):
            continue
        for line in best_of(line for line in own if scale_of(line) is None).values():
            found.setdefault(line["arm"], {})[line["world"]["dimensions"]] = line["area"]
    for arm, by_dimension in found.items():
        if len(by_dimension) < 2:
            continue
        x = sorted(by_dimension)
        table = np.array([by_dimension[d] for d in x])
        error = table.std(1, ddof=1) / math.sqrt(table.shape[1])
        axes.errorbar(x, table.mean(1), error, color=styles[arm].colour, marker="o", markersize=4)

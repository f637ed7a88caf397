"""The report of a grid: tables of its arms and contrasts, and one HTML page with its figures.

Rows are plain dicts of numbers, and `columns.py` says how they are written. The document's tables
and the page (`report.html`) share both.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment

from corll.errors import InputError, RunFolderError
from corll.files.durable import write_text
from corll.laboratory import file_names
from corll.laboratory.columns import FEEDBACK, LEARNED, Column
from corll.laboratory.contrasts import (
    COSTS,
    OBJECTIVE,
    Row,
    contrast_rows,
    end_contrast_rows,
    equal_cost_contrast_rows,
    quarter_contrast_rows,
)
from corll.laboratory.factorial import effect_rows, equal_cost_rows
from corll.laboratory.figures import PANELS
from corll.laboratory.figures.style import label_of, sort_arms
from corll.laboratory.statistics import (
    Curve,
    Line,
    aligned,
    areas,
    by_rate,
    curves,
    load_evaluations,
    mean_band,
    n_50,
    number,
    until_quarter,
    with_several_points,
)

_AT_THE_END = (
    OBJECTIVE,
    "objective_per_token",
    "kl_to_expert",
    "kl_sampler",
    "reward",
    "reward_argmax",
    "share_to_expert",
    "log_positive",
    "log_positive_independent",
    "kl",
    "kl_drawn",
    "kl_given_memory",
    "reward_alone",
    "kl_alone",
    "memory_texts",
    "memory_tokens",
    "length",
    "finished",
    "distinct_2",
    "prompts",
    "sampled_tokens",
    "edited_characters",
)
_OVER_THE_RUN = (
    "gain",
    "mislabelled",
    "estimated_alpha",
    "left_out",
    "premise_violated",
    "accepted",
    "edit_length",
    "edit_surprisal",
    "share_changed",
    "logps_chosen",
    "logps_rejected",
)
_AREA = "area under J less the expert's"
_OTHER_FIGURES = {
    "regret": (
        "The linear world",
        "Algorithm 2 where everything can be enumerated: exact regret, the identity and the bound "
        "of Theorem 1; regret and the edits' α̂ against the number of candidates of a prompt.",
    )
}


class InlineFigure(NamedTuple):
    """A figure of a results folder, inlined. `made_by` is its command, empty where unknown."""

    title: str
    caption: str
    source: str
    made_by: str


class Section(NamedTuple):
    """The section of the page on one results folder; `tables` are headings and rows of texts."""

    name: str
    tables: list[tuple[str, list[Column], list[tuple[Row, list[str]]]]]
    contrasts: dict[str, list[Row]]
    at_equal_cost: dict[str, list[Row]]
    figures: list[InlineFigure]
    configuration: str


def write_report(folders: Sequence[str | Path], path: str | Path, *, title: str) -> None:
    """Write one HTML page, without other files beside it, from results folders.

    A folder with evaluations gives tables, contrasts, its configuration and figures; a folder
    without them (the linear world's) gives its figures alone.
    *Raises*: InputError where there is nothing to show, or a file of a folder cannot be used;
    RunFolderError where the page cannot be written.
    """
    if not folders:
        raise InputError("A report needs at least one results folder.")
    sections = [_section(Path(folder)) for folder in folders]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["signed"] = signed
    environment.filters["p_value"] = p_value
    template = environment.from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    page = template.render(title=title, sections=sections)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(path), page + "\n")
    except OSError as error:
        raise RunFolderError(f"{path} could not be written: {error.strerror or error}.") from error


def summary_rows(lines: Sequence[Line]) -> list[Row]:
    """Return a row for each arm, in the order of the arms.

    A row has `arm`, `label` and `seeds`; `preferences` and `most_preferences` are those of its
    least and most advanced cell. Metrics of the policy are those of a cell's last evaluation.
    Metrics of the feedback are means over the whole run, weighted by preferences. Each is a mean
    over seeds, with `…_error` its standard error. `area` is the area under `reward` from 0 to
    `area_until`, which all cells reached, and `area_objective` that under J less the expert's.
    `quarter` is the mean of the preferences to a quarter of the first KL to the expert, over the
    `quarter_reached` of `quarter_of` cells that got there. `n_50` is that of the mean
    `share_to_expert` up to `n_50_until`; it is None where half is not reached there.
    """
    until, area_of = areas(curves(lines, "reward"))
    objectives = curves(lines, OBJECTIVE)
    _, objective_of = areas(objectives)
    shares = curves(lines, "share_to_expert")
    rows = []
    for arm in sort_arms(line["arm"] for line in lines):
        cells = _cells(line for line in lines if line["arm"] == arm)
        ends = [cell[-1]["preferences"] for cell in cells]
        row: Row = {"arm": arm, "label": label_of(arm), "seeds": len(cells)}
        row |= {"preferences": min(ends), "most_preferences": max(ends)}
        for metric in _AT_THE_END:
            row |= _mean_of(metric, [number(cell[-1], metric) for cell in cells])
        for metric in _OVER_THE_RUN:
            row |= _mean_of(metric, [_over_the_run(cell, metric) for cell in cells])
        row |= _mean_of("area", list(area_of.get(arm, {}).values()))
        row |= _mean_of("area_objective", list(objective_of.get(arm, {}).values()))
        row |= _quarters(with_several_points(objectives.get(arm, {})).values())
        grid, values = aligned(with_several_points(shares.get(arm, {})).values())
        reached = n_50(grid, values.mean(axis=0), goal=1.0) if grid.size else None
        row |= {"area_until": until, "n_50": reached}
        rows.append(row | {"n_50_until": float(grid[-1]) if grid.size else None})
    return rows


def signed(value: float) -> str:
    """Format a number to three places with its sign; a dash stands for an unknown one."""
    return f"{value:+.3f}".replace("-", "−") if math.isfinite(value) else "—"


def p_value(p: float) -> str:
    """Format a p-value to three places, or say that it is below them."""
    if not math.isfinite(p):
        return "—"
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _cells(lines: Iterable[Line]) -> list[list[Line]]:
    """Return the lines of each seed, by preferences."""
    by_seed: dict[int, list[Line]] = {}
    for line in sorted(lines, key=lambda line: (line["seed"], line["preferences"])):
        by_seed.setdefault(line["seed"], []).append(line)
    return list(by_seed.values())


def _over_the_run(cell: Sequence[Line], metric: str) -> float:
    """Return the mean of a metric over the run, weighted by the preferences since the line before.

    α̂ is weighted by its divisor where the lines have it, which gives the ratio of the whole run.
    """
    weights = np.diff([line["preferences"] for line in cell], prepend=0)
    if metric == "estimated_alpha" and any(line.get("possible_gain") for line in cell):
        weights = np.array([line.get("possible_gain") or 0.0 for line in cell])
    values = np.array([number(line, metric) for line in cell])
    known = np.isfinite(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan


def _mean_of(metric: str, values: Sequence[float]) -> Row:
    known = [[value] for value in values if math.isfinite(value)]
    if not known:
        return {metric: None, f"{metric}_error": None}
    mean, low, _ = mean_band(known)
    error = float(mean[0] - low[0])
    return {metric: float(mean[0]), f"{metric}_error": error if math.isfinite(error) else None}


def _quarters(cells: Iterable[Curve]) -> Row:
    found = [until_quarter(curve) for curve in cells]
    known = [one for one in found if math.isfinite(one)]
    mean = float(np.mean(known)) if known else None
    return {"quarter": mean, "quarter_reached": len(known), "quarter_of": len(found)}


def _section(folder: Path) -> Section:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give results folders, as `plot` leaves them.")
    figures = [_inline_figure(image) for image in _images(folder)]
    if not (folder / file_names.EVALUATIONS).exists():
        if not figures:
            raise InputError(f"{folder} holds neither {file_names.EVALUATIONS} nor figures.")
        return Section(folder.name, [], {}, {}, figures, _configuration(folder))
    lines = load_evaluations(folder)
    rows = summary_rows(lines)
    tables = [
        ("What was learned", *_table(LEARNED, rows)),
        ("What it was learned from", *_table(FEEDBACK, rows)),
    ]
    of = f"{lines[0]['task']}-{lines[0]['size']}"
    name = folder.name if of in folder.name else f"{folder.name} ({of})"
    rates = _json_object(folder / file_names.LEARNING_RATES)
    contrasts = _contrasts(lines, rates)
    if (folder / file_names.TRIALS).exists():
        trials = load_evaluations(folder, file_names.TRIALS)
        tables.append(("Learning rates", *_table(LEARNED, _rate_rows(trials, rates))))
        contrasts |= _contrasts_at_one_rate(trials, rates)
    configuration = _configuration(folder)
    at_equal_cost = {
        heading: rows
        for cost, heading in COSTS.items()
        if (rows := [*equal_cost_contrast_rows(lines, cost), *equal_cost_rows(lines, cost)])
    }
    return Section(name, tables, contrasts, at_equal_cost, figures, configuration)


def _contrasts(lines: Sequence[Line], rates: Mapping[str, float]) -> dict[str, list[Row]]:
    """Return the contrasts by heading, those of J first; without those that have no rows."""
    found = {
        _AREA: contrast_rows(lines, rates, metric=OBJECTIVE),
        "J at the end": end_contrast_rows(lines, rates, metric=OBJECTIVE),
        "preferences to ¼ of the first KL to the expert": quarter_contrast_rows(lines, rates),
        "area under the held-out reward": [*contrast_rows(lines, rates), *effect_rows(lines)],
    }
    return {heading: rows for heading, rows in found.items() if rows}


def _contrasts_at_one_rate(
    trials: Sequence[Line], rates: Mapping[str, float]
) -> dict[str, list[Row]]:
    """Return the contrasts of areas under J between arms at each rate that all were given."""
    found = {
        f"{_AREA}, all at {rate:g}": contrast_rows(lines, rates, metric=OBJECTIVE)
        for rate, lines in by_rate(trials).items()
    }
    return {heading: rows for heading, rows in found.items() if rows}


def _rate_rows(trials: Sequence[Line], rates: Mapping[str, float]) -> list[Row]:
    """Return a row for each arm at each rate that it was given; tuning's choices are marked."""
    rows = []
    for rate, lines in by_rate(trials).items():
        for row in summary_rows(lines):
            chosen = ", chosen" if rates.get(row["arm"]) == rate else ""
            rows.append(row | {"label": f"{row['label']}, at {rate:g}{chosen}"})
    order = sort_arms(row["arm"] for row in rows)
    return sorted(rows, key=lambda row: order.index(row["arm"]))


def _table(
    columns: dict[str, Column], rows: Sequence[Row]
) -> tuple[list[Column], list[tuple[Row, list[str]]]]:
    """Return the columns that are not empty, and what they say of each arm."""
    used = [column for column in columns.values() if any(column.text(row) != "—" for row in rows)]
    return used, [(row, [column.text(row) for column in used]) for row in rows]


def _images(folder: Path) -> list[Path]:
    """Return one image for each figure, as SVG where there is one; panels first, in their order."""
    best = {path.stem: path for kind in ("png", "svg") for path in folder.glob(f"*.{kind}")}
    order = [f"fig-{name}" for name in PANELS]  # those at one rate follow, by name
    return sorted(
        best.values(),
        key=lambda path: (
            order.index(path.stem) if path.stem in order else len(order),
            path.stem,
        ),
    )


def _inline_figure(image: Path) -> InlineFigure:
    about = _json_object(image.with_suffix(".json"))
    title, caption = _OTHER_FIGURES.get(image.stem, (image.stem, ""))
    kind = "image/svg+xml" if image.suffix == ".svg" else "image/png"
    try:
        content = base64.b64encode(image.read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{image} cannot be read: {error.strerror or error}.") from error
    return InlineFigure(
        title=str(about.get("title", title)),
        caption=str(about.get("caption", caption)),
        source=f"data:{kind};base64,{content}",
        made_by=str(about.get("command", "")),
    )


def _configuration(folder: Path) -> str:
    found = _json_object(folder / file_names.EXPERIMENT)
    return json.dumps(found, ensure_ascii=False, indent=2) if found else ""


def _json_object(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file; empty where there is no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): make it anew.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object: make it anew.")
    return found

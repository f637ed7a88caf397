"""Statistics of the curves of a grid: areas, n₅₀, bands over seeds, paired contrasts.

An *evaluation line* is one line of `evaluations.jsonl`: a cell (arm × seed) measured on held-out
prompts after some number of preferences. A curve is one metric of one cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corll.errors import InputError, RecordError
from corll.files.durable import read_lines
from corll.laboratory.file_names import EVALUATIONS
from corll.laboratory.packages import needed_for

LEVEL = 0.95
_NAMES, _COUNTS = ("task", "size", "arm"), ("seed", "preferences")

Line = Mapping[str, Any]
Array = NDArray[np.float64]


class Curve(NamedTuple):
    """A curve: one metric of one cell, in the order of its points.

    *Shapes*: both (points,). *Units*: `preferences` seen, or whatever cost takes their place;
    `values` in the metric's own.
    """

    preferences: Array
    values: Array


class Contrast(NamedTuple):
    """A mean of paired differences, its 95 % interval, p of no difference, pairs, and t.

    With one pair all but the mean is not a number.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    t: float


def load_evaluations(folder: str | Path, name: str = EVALUATIONS) -> list[dict[str, Any]]:
    """Read the evaluation lines of a results folder, which are of one task at one size.

    `name` is that of the file.
    *Raises*: InputError where the folder has none; RecordError for a line of another form.
    """
    path = Path(folder) / name
    try:
        numbered = read_lines(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not numbered:
        raise InputError(f"{folder} holds no evaluations ({name}): run an experiment first.")
    for position, line in numbered:
        _check_line(path, position, line)
        for field in ("task", "size"):
            first = numbered[0][1][field]
            if line[field] != first:
                problem = f"{line[field]!r}, where the lines before it have {first!r}"
                raise RecordError(path, position, problem, field=field)
    return [line for _, line in numbered]


def by_rate(lines: Sequence[Line]) -> dict[float, list[Line]]:
    """Group evaluation lines by their learning rate, the smallest first."""
    rates = sorted({number(line, "learning_rate") for line in lines})
    return {rate: [one for one in lines if one["learning_rate"] == rate] for rate in rates}


def number(line: Line, metric: str) -> float:
    """Return a metric of an evaluation line; not a number where it is null or absent.

    *Raises*: InputError where it is something else.
    """
    value = line.get(metric)
    if value is not None and type(value) not in (int, float):
        cell = f"{line['arm']}, seed {line['seed']}, after {line['preferences']} preferences"
        raise InputError(f"{metric!r} of {cell} is no number but {value!r}: redo that cell.")
    return math.nan if value is None else float(value)


def curves(
    lines: Iterable[Line], metric: str, *, against: str = "preferences"
) -> dict[str, dict[int, Curve]]:
    """Return the curves of a metric by arm and seed, arms in the order of the lines.

    Lines without a finite value are left out, and cells without any. Of several lines of a cell at
    one point the last counts (after a resumption, or where a cost did not grow).
    """
    points: dict[str, dict[int, dict[float, float]]] = {}
    for line in sorted(lines, key=lambda line: float(line["preferences"])):
        where, value = number(line, against), number(line, metric)
        if math.isfinite(where) and math.isfinite(value):
            points.setdefault(line["arm"], {}).setdefault(line["seed"], {})[where] = value
    return {
        arm: {seed: _curve_of(cell) for seed, cell in sorted(seeds.items())}
        for arm, seeds in points.items()
    }


def with_several_points(seeds: Mapping[int, Curve]) -> dict[int, Curve]:
    """Return the cells that have more than a single point."""
    return {seed: curve for seed, curve in seeds.items() if curve.preferences.size > 1}


def common_grid(found: Iterable[Curve]) -> Array:
    """Return every point of the curves within the stretch that all of them cover; may be empty."""
    kept = list(found)
    if not kept:
        return np.array([])
    start = max(float(curve.preferences[0]) for curve in kept)
    end = min(float(curve.preferences[-1]) for curve in kept)
    points = np.unique(np.concatenate([curve.preferences for curve in kept]))
    return points[(points >= start) & (points <= end)]


def aligned(found: Iterable[Curve]) -> tuple[Array, Array]:
    """Align curves on their common grid, linear between their points.

    *Shapes*: the grid (points,), the values (curves, points).
    """
    kept = list(found)
    grid = common_grid(kept)
    values = [np.interp(grid, curve.preferences, curve.values) for curve in kept]
    return grid, np.array(values).reshape(len(kept), grid.size)


def area_under_curve(preferences: ArrayLike, values: ArrayLike, *, grid: ArrayLike) -> float:
    """Return a curve's mean height over a grid that starts at 0: its trapezoid area by its length.

    *Units*: those of the values, so that a constant has its own value.
    *Raises*: InputError where the curve does not cover the grid, or either is malformed.
    """
    curve, marks = _checked(preferences, values), np.asarray(grid, dtype=np.float64)
    if marks.size < 2:
        raise InputError("A grid for areas needs at least two points.")
    if (np.diff(marks) <= 0).any():
        raise InputError("The points of a grid for areas must rise.")
    if marks[0] != 0:
        raise InputError(f"The grid starts at {marks[0]:g}, and areas are counted from 0.")
    start, end = curve.preferences[0], curve.preferences[-1]
    if start > 0:
        raise InputError(f"The curve starts at {start:g}: its evaluation before learning is gone.")
    if end < marks[-1]:
        raise InputError(f"The curve ends at {end:g}, before the grid does at {marks[-1]:g}.")
    heights = np.interp(marks, curve.preferences, curve.values)
    return float(np.trapezoid(heights, marks) / marks[-1])


def areas(
    found: Mapping[str, Mapping[int, Curve]],
) -> tuple[float, dict[str, dict[int, float]]]:
    """Return where the grid ends that is common to all cells, and each cell's area by arm and seed.

    Cells of a single point have no area; where there are no others the grid ends at 0.
    """
    long = {arm: with_several_points(seeds) for arm, seeds in found.items()}
    grid = common_grid(curve for seeds in long.values() for curve in seeds.values())
    if grid.size == 0:
        return 0.0, {}
    return float(grid[-1]), {
        arm: {seed: area_under_curve(*curve, grid=grid) for seed, curve in seeds.items()}
        for arm, seeds in long.items()
        if seeds
    }


def paths(
    lines: Iterable[Line], metric: str, *, against: str
) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """Return by arm and seed what each evaluation cost and brought: pairs of `against` and
    `metric`.

    The pairs are in the order of the evaluations. Unlike a curve's, a path's costs may fall again,
    as a KL does.
    """
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for line in sorted(lines, key=lambda line: float(line["preferences"])):
        point = number(line, against), number(line, metric)
        if all(map(math.isfinite, point)):
            found.setdefault(line["arm"], {}).setdefault(line["seed"], []).append(point)
    return found


def at_new_highs(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of a path whose cost is above that of all points before."""
    found: list[tuple[float, float]] = []
    for point in path:
        if not found or point[0] > found[-1][0]:
            found.append(point)
    return found


def difference_at_equal_cost(
    first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    """Return by how much the first path is above the second where the cheaper one ends, and where.

    Between its points a path is linear. Return None where a path has a single point, or its cost
    does not rise throughout, since it then has no one value at a cost. *Units*: of the values; of
    the cost.
    """
    end = min(first[-1][0], second[-1][0])
    above, below = _value_at(end, first), _value_at(end, second)
    return None if above is None or below is None else (above - below, end)


def isotonic_fit(values: ArrayLike) -> Array:
    """Return the non-decreasing sequence that is nearest in squares.

    *Raises*: InputError where scipy is not installed.
    *Source*: Ayer et al. 1955, all weights equal.
    """
    with needed_for("An isotonic fit"):
        from scipy.optimize import isotonic_regression
    fit: Array = isotonic_regression(np.asarray(values, dtype=np.float64)).x
    return fit


def n_50(preferences: ArrayLike, values: ArrayLike, *, goal: float) -> float | None:
    """Return the preferences where the isotonic fit is half-way from the first value to the goal.

    The fit is linear between its points. Return None where it never gets there.
    *Raises*: InputError where the goal is not above the first value, or the curve is malformed.
    """
    curve = _checked(preferences, values)
    first = float(curve.values[0])
    if not goal > first:
        raise InputError(f"The goal {goal:g} is not above the first value {first:g}.")
    half, fit = (first + goal) / 2, isotonic_fit(curve.values)
    reached = np.flatnonzero(fit >= half)
    if not reached.size:
        return None
    # The fit begins at or below the curve's first value, which is below half.
    after = int(reached[0])
    return float(
        np.interp(half, fit[after - 1 : after + 1], curve.preferences[after - 1 : after + 1])
    )


def at_first_crossing(level: Array, values: Array) -> Array:
    """Return the value where a level first is 0 or more, linear between points.

    It is the first value where the level begins there, and not a number where it never gets there.
    *Shapes*: P × …, both.
    """
    reached = level >= 0
    after = np.maximum(reached.argmax(0), 1)[None]
    low, high = (np.take_along_axis(level, at, 0)[0] for at in (after - 1, after))
    first, second = (np.take_along_axis(values, at, 0)[0] for at in (after - 1, after))
    share = np.divide(-low, high - low, out=np.zeros_like(low), where=high != low)
    found = np.where(reached[0], values[0], first + np.clip(share, 0, 1) * (second - first))
    result: Array = np.where(reached.any(0), found, np.nan)
    return result


def until_quarter(curve: Curve) -> float:
    """Return the preferences after which a curve below 0 first has a quarter of its first value.

    It is not a number where that is never so. *Shapes*: a curve of two points or more.
    """
    return float(at_first_crossing(curve.values - curve.values[0] / 4, curve.preferences))


def interval_band(values: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the mean over seeds, and its 95 % interval by Student's t; nan for one seed.

    *Shapes*: `values` (seeds, points), each result (points,).
    *Raises*: InputError where scipy is not installed.
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    mean, low, _ = mean_band(table)
    if len(table) < 2:
        return mean, low, low
    with needed_for("An interval"):
        from scipy.stats import t as student
    half = (mean - low) * float(student.ppf((1 + LEVEL) / 2, len(table) - 1))
    return mean, mean - half, mean + half


def mean_band(values: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the mean over seeds, and one standard error below and above; nan for one seed.

    *Shapes*: `values` (seeds, points), each result (points,).
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    mean: Array = table.mean(axis=0)
    if len(table) < 2:
        none = np.full_like(mean, np.nan)
        return mean, none, none
    error = table.std(axis=0, ddof=1) / math.sqrt(len(table))
    return mean, mean - error, mean + error


def paired_contrast(differences: ArrayLike) -> Contrast:
    """Return the paired t interval of differences, one a seed (Student 1908), two-sided at 95 %.

    *Raises*: InputError where there are none, one is not finite, or scipy is not installed.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InputError("A contrast needs differences, one a seed, each a finite number.")
    n, mean = values.size, float(values.mean())
    if n < 2:
        return Contrast(mean, math.nan, math.nan, math.nan, n, math.nan)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        t = math.copysign(math.inf, mean) if mean else 0.0
        return Contrast(mean, mean, mean, float(mean == 0), n, t)
    with needed_for("A contrast"):
        from scipy.stats import t as student
    t, half = mean / error, float(student.ppf((1 + LEVEL) / 2, n - 1)) * error
    p = 2 * float(student.sf(abs(t), n - 1))
    return Contrast(mean, mean - half, mean + half, p, n, t)


def seeds_needed(
    mean: float, deviation: float, *, power: float = 0.9, most: int = 1000
) -> int | None:
    """Return how many pairs of seeds show a difference of this mean with the wanted probability.

    The test is `paired_contrast`'s at 95 %, of normal differences with the given standard
    deviation; a difference that points the other way is not counted as shown. Return None where
    `most` do not suffice.
    *Raises*: InputError for a deviation of 0 or less, or where scipy is not installed.
    *Source*: the noncentral t distribution.
    """
    if not deviation > 0:
        raise InputError(
            f"A deviation of {deviation:g} tells no number of seeds: give one above 0."
        )
    with needed_for("A number of seeds"):
        from scipy.stats import nct
        from scipy.stats import t as student
    for n in range(2, most + 1):
        shift = abs(mean) / deviation * math.sqrt(n)
        if float(nct.sf(student.ppf((1 + LEVEL) / 2, n - 1), n - 1, shift)) >= power:
            return n
    return None


def _checked(preferences: ArrayLike, values: ArrayLike) -> Curve:
    curve = Curve(np.asarray(preferences, dtype=np.float64), np.asarray(values, dtype=np.float64))
    if curve.preferences.shape != curve.values.shape:
        sizes = f"{curve.preferences.size} preferences and {curve.values.size} values"
        raise InputError(f"A curve needs as many of each; these are {sizes}.")
    if not curve.values.size:
        raise InputError("The curve has no point.")
    if not (np.isfinite(curve.preferences).all() and np.isfinite(curve.values).all()):
        raise InputError("All points of a curve must be finite.")
    if (np.diff(curve.preferences) <= 0).any():
        raise InputError("The preferences of a curve must rise.")
    return curve


def _value_at(cost: float, path: Sequence[tuple[float, float]]) -> float | None:
    costs, values = np.array(path, dtype=np.float64).T
    rises = len(path) > 1 and bool((np.diff(costs) > 0).all())
    return float(np.interp(cost, costs, values)) if rises else None


def _curve_of(points: Mapping[float, float]) -> Curve:
    where, values = np.array(sorted(points.items()), dtype=np.float64).T
    return Curve(where, values)


def _check_line(path: Path, position: int, line: Line) -> None:
    for field in (*_NAMES, *_COUNTS):
        if field not in line:
            raise RecordError(path, position, "is missing", field=field)
        kind, expected = (str, "a text") if field in _NAMES else (int, "a whole number")
        if type(line[field]) is not kind:
            problem = f"{expected} is expected, not {line[field]!r}"
            raise RecordError(path, position, problem, field=field)

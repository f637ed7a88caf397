"""Whether what a service takes of its machine is flat: a slope, its interval, and a bound.

The first quarter of the time warms up, for half an hour at most, and is left out. What follows is
cut into twelve stretches of as many samples. A line is fitted through their means, so that what a
stretch goes through, such as a journal that fills and is emptied, counts for little. The series is
flat where the slope's interval of 95 % ends below the bound, growing where it begins above it, and
unsure in between: then a longer run tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

WARM_UP_SHARE, LONGEST_WARM_UP_S = 0.25, 1800.0
STRETCHES = 12
SHARE_PER_HOUR = 0.03
"""What a series may grow by in an hour, as a share of its mean."""
_CONFIDENCE = 0.95
_HOUR_S = 3600.0

Verdict = Literal["flat", "growing", "unsure"]


class Quantity(NamedTuple):
    """Something that is to be flat. `least_bound` is allowed an hour, however little there is."""

    name: str
    unit: str
    least_bound: float


@dataclass(frozen=True)
class Judgement:
    """What a series came to; slope, ends of its interval and bound are per hour."""

    quantity: Quantity
    verdict: Verdict
    mean: float
    slope: float
    low: float
    high: float
    bound: float

    def __str__(self) -> str:
        unit = self.quantity.unit
        return (
            f"{self.quantity.name}: {self.verdict}, {self.mean:.4g} {unit}, "
            f"{self.slope:+.3g} an hour ({self.low:+.3g} to {self.high:+.3g}, "
            f"at most {self.bound:.3g})"
        )


def warm_up_s(whole_s: float) -> float:
    """Return how much of a run is left out."""
    return min(WARM_UP_SHARE * whole_s, LONGEST_WARM_UP_S)


def judge(quantity: Quantity, times_s: ArrayLike, values: ArrayLike) -> Judgement:
    """Judge a series. *Raises*: ValueError where it holds fewer than two samples a stretch."""
    times, found = np.asarray(times_s, dtype=float), np.asarray(values, dtype=float)
    times = times - times[0]
    is_warm = times >= warm_up_s(times[-1])
    times, found = times[is_warm] / _HOUR_S, found[is_warm]
    if len(times) < 2 * STRETCHES:
        raise ValueError(f"{len(times)} samples are too few to judge {quantity.name} by")
    x = np.array([stretch.mean() for stretch in np.array_split(times, STRETCHES)])
    y = np.array([stretch.mean() for stretch in np.array_split(found, STRETCHES)])
    slope, half = _slope(x, y)
    mean = float(found.mean())
    bound = max(SHARE_PER_HOUR * mean, quantity.least_bound)
    verdict: Verdict = "unsure"
    if slope + half <= bound:
        verdict = "flat"
    elif slope - half > bound:
        verdict = "growing"
    return Judgement(quantity, verdict, mean, slope, slope - half, slope + half, bound)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope of the line of least squares, and half of its interval's width."""
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    left = y - y.mean() - slope * (x - x.mean())
    freedom = len(x) - 2
    error = float(np.sqrt((left**2).sum() / freedom / spread))
    return slope, float(student.ppf((1 + _CONFIDENCE) / 2, freedom)) * error

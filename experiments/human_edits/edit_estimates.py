"""Means over held-out edits and seeds, with 95 % intervals by a bootstrap over both.

All seeds are measured on the same edits, so these are drawn once for all seeds of a resample, and
seeds are drawn where there are several (the pigeonhole bootstrap, Owen 2007). With one seed an
interval is of the held-out edits alone; with a few it is somewhat too narrow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from corll.evaluation import Interval

RESAMPLES = 2000
LEAST = 8
"""Fewer held-out edits than these give no interval."""

Values = NDArray[np.float64]


def estimate(values: Values, *, seed: int = 0) -> Interval | None:
    """Return the mean of values with its interval; None where no edit has one in all seeds.

    Edits that lack a value in some seed are left out. The interval is not a number for fewer than
    `LEAST` edits. *Shapes*: S seeds × I held-out edits, not a number where there is none.
    """
    whole = values[:, ~np.isnan(values).any(axis=0)]
    seeds, items = whole.shape
    if not seeds or not items:
        return None
    mean = float(whole.mean())
    if items < LEAST:
        return Interval(mean, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    of_items = rng.multinomial(items, np.full(items, 1 / items), size=RESAMPLES)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
    means = np.einsum("rs,si,ri->r", of_seeds, whole, of_items, optimize=True) / (seeds * items)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(mean, float(low), float(high))

"""Paired comparisons of arms: ratios of costs, differences of shares, by a bootstrap.

Pairs are the drafts of one writer, seed and edit in two arms. Edits are drawn again within their
seed, and where there are several seeds these are drawn again too: drafts of one seed share what was
learned before them. With few seeds such intervals are a little too narrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Line = Mapping[str, Any]
Measure = Callable[[Line], float]

RESAMPLES = 2000


class Estimate(NamedTuple):
    """An estimate with its 95 % interval, and what it was in each resample. *Shapes*: draws R."""

    value: float
    low: float
    high: float
    draws: Array

    @classmethod
    def of(cls, value: float, draws: Array) -> Estimate:
        """Return an estimate with the percentile interval of its resamples."""
        low, high = np.nanquantile(draws, [0.025, 0.975])
        return cls(float(value), float(low), float(high), draws)

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"


def ratio(own: Sequence[Line], other: Sequence[Line], measure: Measure) -> Estimate | None:
    """Return the ratio of two arms' sums of a measure over their pairs; None without any."""
    pairs = _pairs(own, other, measure)
    if not pairs:
        return None
    sums = _resampled(pairs, _stream(own))
    whole = np.concatenate(pairs).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate.of(whole[0] / whole[1], sums[:, 0] / sums[:, 1])


def difference(own: Sequence[Line], other: Sequence[Line], measure: Measure) -> Estimate | None:
    """Return by how much the mean of a measure is higher in the first arm; None without pairs."""
    pairs = _pairs(own, other, measure)
    if not pairs:
        return None
    counted = [np.column_stack([one, np.ones(len(one))]) for one in pairs]
    sums = _resampled(counted, _stream(own))
    whole = np.concatenate(pairs).mean(0)
    return Estimate.of(whole[0] - whole[1], (sums[:, 0] - sums[:, 1]) / sums[:, 2])


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of writers' estimates, each of which counts alike."""
    return _over_writers(estimates, np.mean)


def median_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Return the median of writers' estimates."""
    return _over_writers(estimates, np.median)


def _over_writers(estimates: Sequence[Estimate], over: Callable[..., Any]) -> Estimate:
    value = over([one.value for one in estimates])
    return Estimate.of(value, over(np.stack([one.draws for one in estimates]), axis=0))


def _pairs(own: Sequence[Line], other: Sequence[Line], measure: Measure) -> list[Array]:
    """Return the pairs of each seed. *Shapes*: n_s × 2 each."""
    others = {(line["seed"], line["edit"]): line for line in other}
    by_seed: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for line in sorted(own, key=lambda line: (line["seed"], line["edit"])):
        beside = others.get((line["seed"], line["edit"]))
        if beside is not None:
            by_seed[line["seed"]].append((measure(line), measure(beside)))
    return [np.array(pairs, dtype=np.float64) for pairs in by_seed.values()]


def _resampled(groups: Sequence[Array], rng: np.random.Generator) -> Array:
    """Return sums over resamples of the groups and of the rows within each. *Shapes*: R × K."""
    sums = np.zeros((RESAMPLES, groups[0].shape[1]))
    for _ in groups:
        picks = rng.integers(len(groups), size=RESAMPLES)
        for number, rows in enumerate(groups):
            chosen = picks == number
            drawn = rng.integers(len(rows), size=(int(chosen.sum()), len(rows)))
            sums[chosen] += rows[drawn].sum(1)
    return sums


def _stream(lines: Sequence[Line]) -> np.random.Generator:
    """Return a stream of the writer's own: the resamples of writers are independent."""
    return np.random.default_rng(crc32(lines[0]["writer"].encode()))

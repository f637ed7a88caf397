"""Exposure: how near the front a secret comes among all that could stand in its place.

    exposure = log₂ (number of possible secrets) − log₂ (rank of the secret)     (bits)

A secret that nothing was learned of has b bits or more with a chance of 2^−b, 1.4 in the mean.
*Source*: Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232. Where there are too many to be
scored, the rank is that among a sample of them and, ahead of the sample's front, that of a
skew-normal distribution, as there. We fit it by the sample's moments, and they by likelihood. Of a
sample whose long tail is on the unlikely side we take a normal distribution instead: the edge that
the other one has there is uncertain, and would make secrets of what is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FRONT = 10
"""So many of a sample ahead of a secret tell its rank; of fewer the fitted distribution does."""

_MOST_SKEWED = 0.99
_REACH, _PLACES = 40.0, 20_000


def exposure(scores: Sequence[float], planted: int) -> float:
    """Return log₂ N − log₂ rank, where secrets with the same score rank before the planted one.

    *Shapes*: `scores` N, one a possible secret. *Units*: bits.
    """
    rank = sum(score >= scores[planted] for score in scores)
    return math.log2(len(scores)) - math.log2(rank)


def sampled_exposure(score: float, others: Sequence[float], possible: int) -> float:
    """Return the exposure of a secret among `possible` ones, of which a sample has these scores.

    It is exact where the sample is all others, and at most log₂ `possible`. *Units*: bits.
    """
    if len(others) >= possible - 1:
        return exposure([score, *others], 0)
    ahead = sum(other >= score for other in others)
    share = (ahead + 1) / (len(others) + 1)
    if ahead < _FRONT:
        share = min(share, _share_above(score, np.asarray(others, dtype=float)))
    return -math.log2(max(share, 1 / possible))


def _share_above(score: float, sample: NDArray[np.float64]) -> float:
    """Return the chance of a score or more under a skew-normal with a sample's moments."""
    mean, deviation = float(sample.mean()), float(sample.std())
    if deviation == 0.0:
        return 1.0  # All are alike, and nothing tells how far a score is ahead of them.
    centred = (sample - mean) / deviation
    bent = float(np.clip((centred**3).mean(), 0.0, _MOST_SKEWED)) ** (2 / 3)
    delta = math.sqrt(math.pi / 2 * bent / (bent + ((4 - math.pi) / 2) ** (2 / 3)))
    shape = delta / math.sqrt(max(1 - delta**2, 1e-12))
    scale = deviation / math.sqrt(1 - 2 * delta**2 / math.pi)
    start = (score - mean) / scale + delta * math.sqrt(2 / math.pi)
    places = np.linspace(start, start + _REACH, _PLACES)
    normal = np.exp(-(places**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc(-shape * place / math.sqrt(2)) / 2 for place in places])
    return float(np.trapezoid(2 * normal * below, places))

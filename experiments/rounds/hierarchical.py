"""Hierarchical intervals: users are drawn again, then their seeds, then blocks of their rounds.

Users differ most, and rounds that follow each other share what was learned and remembered. So a
resample draws as many users as there are, for each of them as many seeds as they have, and for each
of these blocks of rounds, which go round from the last to the first, until there are as many rounds
as were played.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from paired import Array, Estimate

BLOCK = 5
"""Rounds of a block."""

RESAMPLES = 1000

Groups = Sequence[Sequence[Array]]
"""Rows of rounds in order, by user and seed. *Shapes*: n × K each."""

Statistic = Callable[[Array], float]


def estimates(
    groups: Groups, statistics: Sequence[Statistic], *, block: int = BLOCK, seed: int = 0
) -> list[Estimate]:
    """Return each statistic of all rows with its 95 % interval over the same resamples.

    A statistic is a function of the rows of all users together. *Shapes*: rows N × K.
    """
    whole = np.concatenate([rows for user in groups for rows in user])
    draws = np.empty((RESAMPLES, len(statistics)))
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number in range(RESAMPLES):
            drawn = whole[resampled_rows(groups, rng, block=block)]
            draws[number] = [statistic(drawn) for statistic in statistics]
        values = [statistic(whole) for statistic in statistics]
    return [Estimate.of(value, draws[:, n]) for n, value in enumerate(values)]


def resampled_rows(
    groups: Groups, rng: np.random.Generator, *, block: int = BLOCK
) -> Sequence[int]:
    """Return one resample, as the numbers of rows in the order of the groups."""
    starts, first = list[list[int]](), 0
    for user in groups:
        starts.append([])
        for rows in user:
            starts[-1].append(first)
            first += len(rows)
    found: list[int] = []
    for user in rng.integers(len(groups), size=len(groups)):
        for seed in rng.integers(len(groups[user]), size=len(groups[user])):
            count = len(groups[user][seed])
            begins = rng.integers(count, size=ceil(count / block))
            rounds = (begins[:, None] + np.arange(block)) % count
            found += (starts[user][seed] + rounds.ravel()[:count]).tolist()
    return found


def ratio_of_sums(own: int, other: int) -> Statistic:
    """Return the statistic that is one column's sum over another's."""
    return lambda rows: float(rows[:, own].sum() / rows[:, other].sum())


def difference_of_means(own: int, other: int) -> Statistic:
    """Return the statistic that is one column's mean less another's."""
    return lambda rows: float(rows[:, own].mean() - rows[:, other].mean())


def ratio_of_tails(own: int, other: int, share: float = 0.95) -> Statistic:
    """Return the statistic that is one column's quantile over another's."""
    return lambda rows: float(np.quantile(rows[:, own], share) / np.quantile(rows[:, other], share))

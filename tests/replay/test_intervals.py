"""Intervals of a log: by hand, against plain resampling, and how often they miss the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from corll.replay.intervals import (
    LEAST,
    Values,
    _block_means,
    interval_of_users,
    mean_of_users,
    students_t,
)


def test_each_user_counts_alike() -> None:
    assert mean_of_users([np.array([1.0, 1.0, 1.0]), np.array([3.0])]) == 2.0


def test_fewer_edits_than_are_needed_give_no_interval() -> None:
    values = np.arange(LEAST, dtype=float)
    assert interval_of_users([values[1:]], seed=0) is None
    assert interval_of_users([values], seed=0) is not None
    assert interval_of_users([values[:3], values[3:-1]], seed=0) is None
    assert interval_of_users([values[:3], values[3:]], seed=0) is not None


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 30])
def test_the_quantile_is_student_s(degrees: int) -> None:
    assert students_t(degrees) == pytest.approx(float(student.ppf(0.975, degrees)), rel=0.01)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_a_resample_is_made_of_neighbours_round_a_circle(values: list[float], seed: int) -> None:
    """The same starts, taken value by value."""
    n = len(values)
    length = next(m for m in range(1, n + 1) if m**3 >= n)
    found = _block_means(np.array(values), 5, np.random.default_rng(seed))
    starts = np.random.default_rng(seed).integers(n, size=(5, n // length + 1))
    for row, mean in zip(starts, found, strict=True):
        taken = [values[(start + place) % n] for start in row for place in range(length)][:n]
        assert mean == pytest.approx(float(np.mean(taken)), abs=1e-9)


def test_a_constant_has_an_interval_of_no_width() -> None:
    interval = interval_of_users([np.full(9, 0.25), np.full(4, 0.25)], seed=1)
    assert interval == pytest.approx((0.25, 0.25, 0.25))


def misses(users: int, edits: int, spread: float) -> float:
    """The share of intervals that miss a true mean of 0, of 200 logs."""
    rng = np.random.default_rng(7)

    def log() -> list[Values]:
        return [rng.standard_normal(edits) + spread * rng.standard_normal() for _ in range(users)]

    found = [interval_of_users(log(), seed=n, resamples=400) for n in range(200)]
    return float(np.mean([one is not None and not one.low <= 0 <= one.high for one in found]))


@pytest.mark.parametrize(("users", "edits", "spread"), [(1, 24, 0.0), (3, 20, 0.5), (8, 20, 0.5)])
def test_few_intervals_miss_the_truth(users: int, edits: int, spread: float) -> None:
    """Without the widening 12 %, 20 % and 10 % do."""
    assert misses(users, edits, spread) <= 0.08

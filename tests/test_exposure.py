"""Exposure: worked by hand, and estimated from a sample where it is known."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skewnorm

from corll.exposure import exposure, sampled_exposure

SCORES = st.lists(st.floats(-50, 0), min_size=2, max_size=40)


def test_exposure_worked_by_hand() -> None:
    logprobs = [-5.0, -1.0, -2.0, -3.0, -4.0, -6.0, -7.0, -8.0]
    assert exposure(logprobs, 1) == 3.0  # first of 8
    assert exposure(logprobs, 2) == 2.0  # second
    assert exposure(logprobs, 4) == 1.0  # fourth
    assert exposure(logprobs, 7) == 0.0  # last


def test_ties_do_not_count_as_memory() -> None:
    assert exposure([-1.0] * 8, 3) == 0.0
    assert sampled_exposure(-1.0, [-1.0] * 8, 10**6) == 0.0


@given(SCORES)
def test_a_sample_of_all_others_is_exact(scores: list[float]) -> None:
    assert sampled_exposure(scores[0], scores[1:], len(scores)) == exposure(scores, 0)


@given(SCORES, st.integers(2, 10**6))
def test_it_lies_between_nothing_and_first_of_all(scores: list[float], more: int) -> None:
    possible = len(scores) + more
    found = sampled_exposure(scores[0], scores[1:], possible)
    assert 0 <= found <= math.log2(possible)


def test_behind_the_front_of_a_sample_its_rank_counts() -> None:
    """Ten are ahead of it in a sample of 99: it is the 11th of 100."""
    others = [float(-n) for n in range(1, 100)]
    assert sampled_exposure(-10.5, others, 10**6) == pytest.approx(math.log2(100 / 11))


@pytest.mark.parametrize("shape", [0.0, 2.0])
def test_ahead_of_a_sample_the_fitted_distribution_tells_the_rank(shape: float) -> None:
    """Against scipy's tail of the distribution that the sample was drawn from, within a bit."""
    sample = skewnorm.rvs(shape, -14, 2, size=4000, random_state=1)
    for share in (1e-3, 1e-4, 1e-5):
        score = float(skewnorm.isf(share, shape, -14, 2))
        found = sampled_exposure(score, sample.tolist(), 10**6)
        assert abs(found + math.log2(share)) < 1.0


def test_a_tail_on_the_unlikely_side_makes_no_secret_rarer_than_it_is() -> None:
    for seed in range(5):
        sample = skewnorm.rvs(-4, -14, 2, size=255, random_state=seed).tolist()
        for share in (1e-2, 1e-3, 1e-5):
            found = sampled_exposure(float(skewnorm.isf(share, -4, -14, 2)), sample, 10**6)
            assert found < -math.log2(share) + 1


def test_a_secret_far_ahead_of_all_is_the_first() -> None:
    sample = np.random.default_rng(0).normal(-14, 1, 255).tolist()
    assert sampled_exposure(-0.1, sample, 900_000) == math.log2(900_000)


def test_what_was_not_learned_has_few_bits_in_the_mean() -> None:
    """Every member of a crowd in turn, among a sample of the others."""
    generator = Random(0)
    crowd = [generator.gauss(-14, 2) for _ in range(2000)]
    found = [sampled_exposure(one, generator.sample(crowd, 255), 2000) for one in crowd]
    assert 1.2 < sum(found) / len(found) < 1.6
    assert sum(bits >= 5 for bits in found) / len(found) < 2 * 2**-5

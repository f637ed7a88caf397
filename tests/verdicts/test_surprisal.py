"""Surprisal of inserted tokens, and gains of one arm over another, worked by hand."""

from __future__ import annotations

import math

import pytest

from corll.errors import InputError
from corll.verdicts.surprisal import CLIP, gain, inserted_surprisal


def test_it_is_the_mean_over_the_inserted_tokens_alone() -> None:
    assert inserted_surprisal([-9.0, -1.0, -2.0, -7.0], [False, True, True, False]) == 1.5


def test_kept_tokens_may_be_impossible_and_inserted_ones_certain() -> None:
    assert inserted_surprisal([-math.inf, 0.0], [False, True]) == 0.0


def test_an_edit_that_only_cuts_says_nothing() -> None:
    assert inserted_surprisal([-1.0, -2.0], [False, False]) is None
    assert inserted_surprisal([], []) is None


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 0.001])
def test_what_is_no_log_probability_is_refused(odd: float) -> None:
    with pytest.raises(InputError, match="not a finite number of 0 or less"):
        inserted_surprisal([-1.0, odd], [True, True])


def test_each_token_has_a_mark() -> None:
    with pytest.raises(InputError, match="2 log-probabilities and 1 marks"):
        inserted_surprisal([-1.0, -2.0], [True])


@pytest.mark.parametrize(
    ("arm", "other", "found"),
    [
        (1.0, 1.25, 0.25),  # less surprised: better
        (1.25, 1.0, -0.25),
        (1.0, 2.0, CLIP),
        (1.0, 2.5, CLIP),
        (9.0, 1.0, -CLIP),
        (None, 1.0, None),
        (1.0, None, None),
    ],
)
def test_a_gain_is_what_the_other_was_surprised_more_clipped(
    arm: float | None, other: float | None, found: float | None
) -> None:
    assert gain(arm, other) == found


def test_the_clip_can_be_another() -> None:
    assert gain(0.0, 9.0, clip=2.5) == 2.5
    with pytest.raises(InputError, match="above 0"):
        gain(0.0, 1.0, clip=0.0)

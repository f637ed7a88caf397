"""Which candidate a simulated user gives, on rewards that can be read off."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import ConfigError
from corll.simulation.axes import FeedbackAxes, choose_edit, estimated_alpha

REWARDS = [0.5, -1.0, 2.0, 0.2, 1.0]
"""Of a draft of reward 0: 3, 0, 4, 2 are better, from the least to the best; 1 is worse."""


def chosen(rewards: list[float], draft: float, **axes: object) -> int | None:
    return choose_edit(rewards, draft, FeedbackAxes(**axes), random.Random(0))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"strength": "minimal"}, 3),
        ({"strength": "best"}, 2),
        ({"strength": "best", "alpha": 0.1}, 2),  # α is for `alpha` alone
        ({"strength": "minimal", "alpha": 1.0}, 3),
        ({"strength": "alpha", "alpha": 0.1}, 3),  # 0.1 · 2.0 = 0.2: just enough
        ({"strength": "alpha", "alpha": 0.25}, 0),
        ({"strength": "alpha", "alpha": 0.3}, 4),
        ({"strength": "alpha", "alpha": 0.6}, 2),
        ({"strength": "alpha", "alpha": 1.0}, 2),
    ],
)
def test_strength_says_which_better_one(axes: dict[str, object], expected: int) -> None:
    assert chosen(REWARDS, 0.0, **axes) == expected


def test_alpha_counts_from_the_draft() -> None:
    """From 0.4 to 2.0 half the way is 1.2: neither 0.5 nor 1.0 are enough."""
    assert chosen(REWARDS, 0.4, strength="alpha", alpha=0.5) == 2
    assert chosen(REWARDS, 0.4, strength="alpha", alpha=0.3) == 4


@pytest.mark.parametrize("strength", ["minimal", "alpha", "best"])
def test_where_nothing_is_better(strength: str) -> None:
    assert chosen(REWARDS, 5.0, strength=strength, nothing_better="best_anyway") == 2
    assert chosen(REWARDS, 5.0, strength=strength, nothing_better="drop") is None
    assert chosen(REWARDS, 2.0, strength=strength, nothing_better="drop") is None


def test_a_mislabel_is_the_best_of_the_worse_or_the_worst() -> None:
    assert chosen(REWARDS, 0.7, mislabel_probability=1.0) == 0
    assert chosen(REWARDS, 0.0, mislabel_probability=1.0) == 1
    assert chosen(REWARDS, -2.0, mislabel_probability=1.0) == 1


def test_a_candidate_as_good_as_the_draft_is_neither_better_nor_worse() -> None:
    assert chosen(REWARDS, 0.5, mislabel_probability=1.0) == 3
    assert chosen(REWARDS, 1.0, strength="minimal") == 2


def test_the_best_is_enough_for_any_alpha_whatever_rounding_says() -> None:
    """-0.1 + 1.0 · (0.3 - -0.1) is 0.30000000000000004."""
    assert chosen([0.3, 0.1], -0.1, strength="alpha", alpha=1.0) == 0


class Lowest(random.Random):
    """A generator at the lowest number that it can give."""

    def random(self) -> float:
        return 0.0


def test_a_probability_of_0_never_mislabels() -> None:
    assert choose_edit(REWARDS, 0.0, FeedbackAxes(strength="best"), Lowest()) == 2


def test_the_generator_decides_who_is_mislabelled() -> None:
    axes = FeedbackAxes(strength="best", mislabel_probability=0.5)

    def picks(seed: int) -> list[int | None]:
        generator = random.Random(seed)
        return [choose_edit(REWARDS, 0.0, axes, generator) for _ in range(20)]

    assert picks(1) == picks(1)
    assert picks(1) != picks(2)


def test_the_axes_are_those_of_the_paper_for_imdb() -> None:
    assert FeedbackAxes().model_dump() == {
        "strength": "alpha",
        "alpha": 0.6,
        "nothing_better": "best_anyway",
        "mislabel_probability": 0.0,
    }


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [("alpha", (1e-9, 1.0), (0.0, 1.001)), ("mislabel_probability", (0.0, 1.0), (-0.001, 1.001))],
)
def test_shares_lie_between_0_and_1(
    field: str, allowed: tuple[float, ...], refused: tuple[float, ...]
) -> None:
    for value in allowed:
        assert getattr(FeedbackAxes(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ConfigError, match=field):
            FeedbackAxes(**{field: value})


class TestEstimatedAlpha:
    def test_worked_by_hand(self) -> None:
        """Rounds 1 and 3 could be improved, by 2 and 1; they gained 1 and 0.5."""
        assert estimated_alpha([1.0, 9.0, 0.5, 0.0], [2.0, 0.0, 1.0, 0.0]) == (0.5, 0.5)

    def test_a_small_regret_counts_too(self) -> None:
        alpha, left_out = estimated_alpha([0.01], [0.02])
        assert alpha == pytest.approx(0.5)
        assert left_out == 0

    def test_where_nothing_ever_was_better_it_is_no_number(self) -> None:
        alpha, left_out = estimated_alpha([0.0, 0.0], [0.0, 0.0])
        assert math.isnan(alpha)
        assert left_out == 1

    def test_of_no_rounds_neither_is_a_number(self) -> None:
        assert all(map(math.isnan, estimated_alpha([], [])))


def test_mislabels_come_as_often_as_asked() -> None:
    generator = random.Random(1)
    axes = FeedbackAxes(strength="best", mislabel_probability=0.25)
    picks = [choose_edit(REWARDS, 0.0, axes, generator) for _ in range(4000)]
    assert picks.count(1) / len(picks) == pytest.approx(0.25, abs=0.02)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=8),
    st.floats(-10, 10),
    st.floats(0.01, 1.0),
)
def test_an_alpha_edit_is_informative_and_the_least_of_those(
    rewards: list[float], draft: float, alpha: float
) -> None:
    pick = chosen(rewards, draft, strength="alpha", alpha=alpha, nothing_better="drop")
    if max(rewards) <= draft:
        assert pick is None
        return
    assert pick is not None
    wanted = alpha * (max(rewards) - draft)
    assert rewards[pick] - draft >= wanted - 1e-9
    lower = [r for r in rewards if draft < r < rewards[pick]]
    assert all(r - draft < wanted + 1e-9 for r in lower)

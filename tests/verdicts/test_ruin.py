"""What ruined and good mean where a gate is measured."""

from __future__ import annotations

import numpy as np
import pytest

from corll.errors import InputError
from corll.verdicts.ruin import measured

COSTS = np.random.default_rng(0).uniform(0.5, 1.5, 200)
FINE = [False] * 200


def test_a_version_that_surely_costs_more_is_ruined() -> None:
    found = measured(COSTS + 0.2, COSTS, COSTS + 1, FINE, seed=0)
    assert found.condition == "ruined"
    assert found.excess.mean == pytest.approx(0.2)


def test_a_version_that_surely_costs_no_more_is_good() -> None:
    assert measured(COSTS - 0.2, COSTS, COSTS, FINE, seed=0).condition == "good"
    assert measured(COSTS, COSTS, COSTS, FINE, seed=0).condition == "good"


def test_so_noisy_that_nothing_is_sure_it_is_unclear() -> None:
    noisy = COSTS + np.random.default_rng(1).normal(0, 3, 200)
    assert measured(noisy, COSTS, COSTS, FINE, seed=0).condition == "unclear"


def test_it_is_held_to_the_better_of_parent_and_base() -> None:
    slid = COSTS + 0.5
    assert measured(slid + 0.01, slid, COSTS, FINE, seed=0).condition == "ruined"
    assert measured(slid + 0.01, COSTS, slid, FINE, seed=0).condition == "ruined"


@pytest.mark.parametrize(("unusable", "condition"), [(20, "good"), (21, "ruined")])
def test_more_than_a_tenth_empty_or_looping_is_ruined(unusable: int, condition: str) -> None:
    marks = [n < unusable for n in range(200)]
    assert measured(COSTS - 0.4, COSTS, COSTS, marks, seed=0).condition == condition


def test_costs_and_marks_are_of_the_same_drafts() -> None:
    for version, marks in ((COSTS[:5], FINE), (COSTS, FINE[:5]), (COSTS * np.nan, FINE)):
        with pytest.raises(InputError, match="for each prompt"):
            measured(version, COSTS, COSTS, marks, seed=0)
    with pytest.raises(InputError, match="for each prompt"):
        measured([], [], [], [], seed=0)

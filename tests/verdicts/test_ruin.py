"""What ruined and good mean where a gate is measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from corll.errors import InputError
from corll.verdicts.ruin import Condition, is_unusable, judged_by, measured

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
    assert measured(slid + 0.01, slid, slid, FINE, seed=0).condition == "good"


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


def test_ten_versions_each_a_little_worse_do_not_pass() -> None:
    noise = np.random.default_rng(2)
    chain = [COSTS + 0.03 * n + noise.normal(0, 0.2, 200) for n in range(11)]
    against_parent = [
        measured(own, parent, parent, FINE, seed=0).condition for parent, own in pairwise(chain)
    ]
    found = [
        measured(own, parent, chain[0], FINE, seed=0).condition for parent, own in pairwise(chain)
    ]
    assert against_parent.count("ruined") <= 5
    assert found[5:] == ["ruined"] * 5
    assert "good" in found[:2]


def test_a_cost_by_hand() -> None:
    # Four drafts at 12, 12, 12, 12 against 10: the excess is 2 without any spread.
    found = measured([12.0] * 4, [10.0] * 4, [11.0] * 4, [False] * 4, seed=0)
    assert found == ("ruined", (2.0, 2.0, 2.0))
    # At 11 against 10 it is costlier by a tenth to the penny, and so good; a penny more is ruin.
    tenth = [11.0] * 4
    assert measured(tenth, [10.0] * 4, [11.0] * 4, [False] * 4, seed=0).condition == "good"
    assert measured([11.01] * 4, [10.0] * 4, tenth, [False] * 4, seed=0).condition == "ruined"
    # 9, 13 against 10, 10: from -1 to 3, above a tenth: not known.
    assert measured([9.0, 13.0], [10.0] * 2, [10.0] * 2, [False] * 2, seed=0).condition == "unclear"


@pytest.mark.parametrize(
    ("conditions", "together"),
    [
        (("good", "good"), "good"),
        (("good", "unclear"), "unclear"),
        (("good", "ruined"), "ruined"),
        (("unclear", "ruined"), "ruined"),
    ],
)
def test_it_is_ruined_by_one_cost_and_good_by_all(
    conditions: tuple[Condition, ...], together: str
) -> None:
    assert judged_by(*conditions) == together


def test_without_a_cost_nothing_is_judged() -> None:
    with pytest.raises(InputError, match="at least one cost"):
        judged_by()


@pytest.mark.parametrize(
    ("text", "loops", "unusable"),
    [
        ("ok", False, True),
        ("", False, True),
        ("Hello, Kind regards, Anna", False, True),
        ("Hello Tom, it comes on Friday. Regards, Anna", False, False),
        ("Hello Tom, it comes on Friday. Regards, Anna", True, True),
        ("ok fine", False, False),
    ],
)
def test_empty_and_looping_drafts_are_unusable(text: str, loops: bool, unusable: bool) -> None:
    assert is_unusable(text, loops=loops) is unusable

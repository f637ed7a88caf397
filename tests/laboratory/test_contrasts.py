"""Paired contrasts of arms, on hand-worked lines."""

from __future__ import annotations

import pytest
from evaluation_lines import line, rising

from corll.laboratory.contrasts import contrast_rows, equal_cost_contrast_rows


def test_by_hand() -> None:
    """Areas differ by 1/2, 1, 3/2 over the seeds in common; the fourth has no partner."""
    lines = rising("coactive-alpha-0.6", [2.0, 3.0, 4.0, 9.0]) + rising("dueling", [1.0] * 3)
    (row,) = contrast_rows(lines)
    assert (row["first"], row["second"]) == ("coactive-alpha-0.6", "dueling")
    assert (row["n"], row["until"]) == (3, 100)
    assert row["mean"] == pytest.approx(1)
    assert row["low"] == pytest.approx(1 - 4.302653 * 0.5 / 3**0.5, abs=1e-6)
    assert row["status"] == "exploratory"  # 8 seeds were named


def test_only_two_were_named_and_only_on_imdb_tiny() -> None:
    arms = ("coactive-alpha-0.6", "dueling", "sft-edit")
    tuned = {"learning_rate": 3e-3}
    rates = dict.fromkeys(arms, 3e-3)
    lines = [one for arm in arms for one in rising(arm, [1.0] * 8, **tuned)]
    rows = contrast_rows(lines, rates)
    assert [(row["first"], row["second"], row["status"]) for row in rows] == [
        ("coactive-alpha-0.6", "dueling", "named before it was run"),
        ("sft-edit", "dueling", "named before it was run"),
        ("sft-edit", "coactive-alpha-0.6", "exploratory"),
    ]
    mini = [one | {"size": "mini"} for one in lines]
    assert {row["status"] for row in contrast_rows(mini, rates)} == {"exploratory"}
    assert {row["status"] for row in contrast_rows(lines)} == {"exploratory"}  # never tuned


@pytest.mark.parametrize(("rate", "status"), [(3e-3, "named"), (3e-4, "exploratory")])
def test_at_another_rate_than_the_chosen_one_it_is_another(rate: float, status: str) -> None:
    arms = ("coactive-alpha-0.6", "dueling")
    lines = [one for a in arms for one in rising(a, [1.0] * 8, learning_rate=rate)]
    chosen = {"coactive-alpha-0.6": 3e-3, "dueling": 3e-3}
    assert contrast_rows(lines, chosen)[0]["status"].startswith(status)


def test_at_equal_kl_by_hand() -> None:
    """Dueling gains 2 in 4 nats. After 2 nats, where the other ends with 3, it has half of it;
    with seed 1 the other ends with 5.
    """
    kl = {"coactive-alpha-0.6": 2.0, "dueling": 4.0}
    lines = [
        one | {"kl": kl[arm] * one["preferences"] / 100}
        for arm, rewards in [("coactive-alpha-0.6", [3.0, 5.0]), ("dueling", [2.0, 2.0])]
        for one in rising(arm, rewards)
    ]
    (row,) = equal_cost_contrast_rows(lines, "kl")
    assert (row["first"], row["second"], row["n"]) == ("coactive-alpha-0.6", "dueling", 2)
    assert (row["mean"], row["at"]) == (pytest.approx(3), pytest.approx(2))
    assert row["status"] == "exploratory"


def test_no_seeds_in_common() -> None:
    lines = rising("coactive-alpha-0.6", [1.0]) + [
        line("dueling", 5, preferences, reward=0.0) for preferences in (0, 100)
    ]
    assert contrast_rows(lines) == []
    assert equal_cost_contrast_rows(lines, "kl") == []

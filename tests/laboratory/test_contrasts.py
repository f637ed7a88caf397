"""Paired contrasts of arms, on hand-worked lines."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation_lines import line, rising

from corll.laboratory.contrasts import (
    OBJECTIVE,
    contrast_rows,
    end_contrast_rows,
    equal_cost_contrast_rows,
    quarter_contrast_rows,
)


def test_by_hand() -> None:
    """Areas differ by 1/2, 1, 3/2 over the seeds in common; the fourth has no partner."""
    lines = rising("coactive-alpha-0.6", [2.0, 3.0, 4.0, 9.0]) + rising("dueling", [1.0] * 3)
    (row,) = contrast_rows(lines)
    assert (row["first"], row["second"]) == ("coactive-alpha-0.6", "dueling")
    assert (row["n"], row["until"]) == (3, 100)
    assert row["mean"] == pytest.approx(1)
    assert row["low"] == pytest.approx(1 - 4.302653 * 0.5 / 3**0.5, abs=1e-6)
    assert row["status"] == "exploratory"  # 8 seeds were named


def objectives(arm: str, values: list[tuple[float, ...]], **where: Any) -> list[dict[str, Any]]:
    """A cell for each row of J less the expert's, every 64 preferences."""
    return [
        line(arm, seed, 64 * n, objective_less_expert=value, **where)
        for seed, row in enumerate(values)
        for n, value in enumerate(row)
    ]


def test_of_the_objective_by_hand() -> None:
    lines = objectives("coactive-alpha-0.6", [(-0.8, -0.4, 0.0), (-0.8, -0.2, -0.2)])
    lines += objectives("dueling", [(-0.8, -0.6, -0.1), (-0.8, -0.8, -0.8)])
    (area,) = contrast_rows(lines, metric=OBJECTIVE)
    # Areas −0.4, −0.35 and −0.525, −0.8.
    assert (area["n"], area["until"]) == (2, 128)
    assert area["mean"] == pytest.approx((0.125 + 0.45) / 2)
    (end,) = end_contrast_rows(lines, metric=OBJECTIVE)
    assert end["mean"] == pytest.approx((0.1 + 0.6) / 2)
    # A quarter is −0.2: after 96 and 115.2 preferences; with seed 1 dueling never gets there.
    (quarter,) = quarter_contrast_rows(lines)
    assert (quarter["mean"], quarter["n"], quarter["never"]) == (pytest.approx(-19.2), 1, 1)
    assert {area["status"], end["status"], quarter["status"]} == {"exploratory"}


def test_lines_of_before_have_no_objective() -> None:
    lines = rising("coactive-alpha-0.6", [2.0]) + rising("dueling", [1.0])
    assert contrast_rows(lines, metric=OBJECTIVE) == []
    assert end_contrast_rows(lines, metric=OBJECTIVE) == quarter_contrast_rows(lines) == []
    assert len(contrast_rows(lines)) == 1


def test_where_none_gets_to_a_quarter_there_is_no_contrast() -> None:
    lines = objectives("coactive-alpha-0.6", [(-0.8, -0.7)]) + objectives("dueling", [(-0.8, -0.7)])
    assert quarter_contrast_rows(lines) == []


@pytest.mark.parametrize(
    ("used", "regime"),
    [
        ((3e-3, 3e-4), "each arm's best rate"),
        ((1e-3, 1e-3), "one rate, 0.001"),
        ((3e-4, 3e-3), "other rates"),
        ((None, None), "—"),
    ],
)
def test_at_which_rates(used: tuple[float | None, float | None], regime: str) -> None:
    arms = ("coactive-alpha-0.6", "dueling")
    lines = [
        one
        for arm, rate in zip(arms, used, strict=True)
        for one in rising(arm, [1.0], **({} if rate is None else {"learning_rate": rate}))
    ]
    rates = dict(zip(arms, (3e-3, 3e-4), strict=True))
    assert [row["regime"] for row in contrast_rows(lines, rates)] == [regime]


def test_at_equal_kl_of_the_sampler_it_may_fall_again() -> None:
    """Coactive is at 2 nats with 1, then back at 1 nat; dueling has 3 at 4 nats, so 1.5 at 2."""
    found = {
        "coactive-alpha-0.6": [(0.0, 0.0), (2.0, 1.0), (1.0, 5.0)],
        "dueling": [(0.0, 0.0), (1.0, 0.75), (4.0, 3.0)],
    }
    lines = [
        line(arm, 0, 64 * n, kl_sampler=kl, kl=kl, reward=reward)
        for arm, path in found.items()
        for n, (kl, reward) in enumerate(path)
    ]
    (row,) = equal_cost_contrast_rows(lines, "kl_sampler")
    assert (row["mean"], row["at"]) == (pytest.approx(-0.5), pytest.approx(2))
    assert equal_cost_contrast_rows(lines, "kl") == []


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

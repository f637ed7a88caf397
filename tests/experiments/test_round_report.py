"""Costs of rounds and their hierarchical intervals against numbers that were worked by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hierarchical
import round_figure
from corll.errors import InputError
from hierarchical import (
    difference_of_means,
    estimates,
    ratio_of_sums,
    ratio_of_tails,
    resampled_rows,
)
from round_figure import cumulative_ratio, draw_cumulative
from round_report import Rounds, distance, report

Line = dict[str, Any]
BASE, AUTO = ("base", "defaults"), ("auto", "defaults")


def line(cost: float, number: int, arm: str = "base", *, user: str = "brisk", seed: int = 0,
         **more: Any) -> Line:  # fmt: skip
    return {
        "seed": seed, "writer": user, "arm": arm, "label": "defaults", "edit": number,
        "seconds": cost, "alone": 20.0, "edit_cost": 0.5, "sent": "x" * 40, "typed_share": 0.25,
        "empty": False, "looping": False, "prompt_tokens": 30, **more,
    }  # fmt: skip


def played(costs: list[float], arm: str = "base", **more: Any) -> list[Line]:
    return [line(cost, number, arm, **more) for number, cost in enumerate(costs, 1)]


def test_cumulative_costs_are_sums_so_far_over_those_of_the_other_arm() -> None:
    lines = [
        *played([10, 10, 20]), *played([10, 5, 5], "auto"),
        *played([20, 20, 20], user="clerk"), *played([20, 10, 0], "auto", user="clerk"),
    ]  # fmt: skip
    found = cumulative_ratio(Rounds(lines), AUTO, "base")
    assert found is not None
    value, low, high = found
    # 30 / 30, then 45 / 60, then 50 / 100.
    np.testing.assert_allclose(value, [1.0, 0.75, 0.5])
    # Both users are at 1, 3/4 and 1/2, so whichever are drawn.
    np.testing.assert_allclose(low, [1.0, 0.75, 0.5])
    np.testing.assert_allclose(high, [1.0, 0.75, 0.5])
    assert cumulative_ratio(Rounds(played([1.0])), BASE, "auto") is None


def test_the_band_is_over_users() -> None:
    lines = [*played([10] * 4), *played([5] * 4, "auto")]
    lines += [*played([10] * 4, user="clerk"), *played([10] * 4, "auto", user="clerk")]
    found = cumulative_ratio(Rounds(lines), AUTO, "base")
    assert found is not None
    for curve, value in zip(found, (0.75, 0.5, 1.0), strict=True):
        np.testing.assert_allclose(curve, [value] * 4)


def test_users_are_drawn_first_then_their_seeds_then_blocks() -> None:
    # Two users of two seeds, nothing varies within a seed: 1, 3, and 5, 7 in each of four rounds.
    groups = [[np.full((4, 2), [value, 1.0]) for value in pair] for pair in ((1, 3), (5, 7))]
    (mean,) = estimates(groups, [ratio_of_sums(0, 1)])
    assert mean.value == pytest.approx(4.0)
    # Both draws of a user are the first, and all four of its seeds: (1/2)² · (1/4)².
    assert set(np.round(mean.draws * 4) / 4) <= {value / 2 for value in range(2, 15)}
    assert np.isclose(mean.draws, 1.0).mean() == pytest.approx(1 / 64, abs=0.015)
    assert np.isclose(mean.draws, 7.0).mean() == pytest.approx(1 / 64, abs=0.015)
    # Of one draw: 4 between users of means 2 and 6, 1/2 of two seeds; the mean of two has half.
    assert mean.draws.var() == pytest.approx(2.25, abs=0.3)


def test_blocks_go_round_and_make_as_many_rounds_as_were_played() -> None:
    rng = np.random.default_rng(0)
    groups = [[np.zeros((7, 1))]]
    for _ in range(20):
        rows = list(resampled_rows(groups, rng, block=5))
        assert len(rows) == 7
        assert [(after - before) % 7 for before, after in pairwise(rows[:5])] == [1] * 4
        assert (rows[6] - rows[5]) % 7 == 1
    whole = {tuple(sorted(resampled_rows(groups, rng, block=7))) for _ in range(9)}
    assert whole == {tuple(range(7))}


def test_rows_of_a_later_user_are_theirs() -> None:
    groups = [[np.zeros((2, 1))], [np.zeros((3, 1)), np.zeros((3, 1))]]
    seen: set[int] = set()
    for seed in range(40):
        seen |= set(resampled_rows(groups, np.random.default_rng(seed)))
    assert seen == set(range(8))


def test_statistics_of_rows() -> None:
    rows = np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [6.0, 2.0]])
    assert ratio_of_sums(0, 1)(rows) == pytest.approx(12 / 8)
    assert difference_of_means(0, 1)(rows) == pytest.approx(1.0)
    # The 95th percentile of 1, 2, 3, 6 lies 0.85 of the way from 3 to 6.
    assert ratio_of_tails(0, 1)(rows) == pytest.approx((3 + 0.85 * 3) / 2)


def test_the_report_pairs_rounds_of_the_same_user_and_seed() -> None:
    lines = [*played([10.0] * 30), *played([5.0] * 20 + [20.0] * 10, "auto"),
             *played([99.0] * 30, user="clerk")]  # fmt: skip
    text = report(lines, against="base")
    row = next(row for row in text.splitlines() if row.startswith("| auto | 1 | 30 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3] == "10.0"
    assert cells[4].startswith("1.00 (")
    assert cells[5] == "1.00 (1.00–1.00)"
    assert cells[6:8] == ["0.25", "20"]
    stretches = next(row for row in text.splitlines() if row.startswith("| auto | 0.50 "))
    assert stretches == "| auto | 0.50 (0.50–0.50) | 2.00 (2.00–2.00) | – |"
    assert "| clerk | – |" in text
    assert "| base | 2 | 60 | 54.5 | – |" in text


def test_flawed_drafts_and_words_of_rules_are_counted() -> None:
    lines = played([10.0] * 4)
    lines += played([10.0] * 4, "cipher", empty=True, rule_tokens=200)
    row = next(row for row in report(lines, against="base").splitlines() if "| cipher |" in row)
    assert "100.0% (+100.0%, +100.0% to +100.0%) | 30 | 200 |" in row


def test_edit_distance_is_in_characters() -> None:
    assert distance(line(1, 1)) == 20.0


def test_an_arm_that_was_not_played_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match="cipher was not played; there are rounds of base, auto"):
        report([line(1, 1), line(1, 1, "auto")], against="cipher")
    with pytest.raises(InputError, match="no arm 'memory' of rounds; there are base, last"):
        report([line(1, 1, "memory")], against="base")


def test_the_figure_is_drawn_with_its_data_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_figure, "RESAMPLES", 20)
    lines = [*played([10, 10]), *played([5, 10], "auto")]
    paths = draw_cumulative(lines, tmp_path / "rounds.png")
    assert tmp_path / "rounds.png" in paths
    beside = json.loads((tmp_path / "rounds.json").read_text())
    assert beside["arms"]["auto defaults"]["ratio"] == [0.5, 0.75]
    with pytest.raises(InputError, match="nothing can be drawn"):
        draw_cumulative(played([1.0]), tmp_path / "none.png")


def test_resamples_are_the_same_for_every_arm() -> None:
    groups = [[np.random.default_rng(1).random((6, 2))]]
    first, second = (estimates(groups, [ratio_of_sums(0, 1)])[0] for _ in range(2))
    assert (first.draws == second.draws).all()
    assert len(first.draws) == hierarchical.RESAMPLES

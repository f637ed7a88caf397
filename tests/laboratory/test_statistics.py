"""Areas, n₅₀, bands and paired contrasts, on numbers worked by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corll.errors import InputError, RecordError
from corll.laboratory.statistics import (
    Curve,
    aligned,
    area_under_curve,
    areas,
    at_new_highs,
    common_grid,
    curves,
    interval_band,
    isotonic_fit,
    load_evaluations,
    mean_band,
    n_50,
    paired_contrast,
    seeds_needed,
    until_quarter,
)


def curve(preferences: list[float], values: list[float]) -> Curve:
    return Curve(np.array(preferences, float), np.array(values, float))


def line(arm: str, seed: int, preferences: int, **metrics: Any) -> dict[str, Any]:
    cell = {"task": "imdb", "size": "tiny", "arm": arm, "seed": seed}
    return {**cell, "preferences": preferences, **metrics}


class TestArea:
    def test_by_hand(self) -> None:
        """A rise from 0 to 1 over two preferences (area 1), then 1 for two more (area 2)."""
        assert area_under_curve([0, 2, 4], [0.0, 1.0, 1.0], grid=[0, 2, 4]) == 3 / 4

    def test_values_between_points_lie_on_the_line(self) -> None:
        """0, 1/2, 1 at 0, 1, 3: areas 1/4 and 3/2."""
        found = area_under_curve([0, 2, 4], [0.0, 1.0, 1.0], grid=[0, 1, 3])
        assert found == pytest.approx(1.75 / 3)

    def test_a_constant_has_its_own_value(self) -> None:
        assert area_under_curve([0, 64, 1024], [-0.5] * 3, grid=[0, 512, 1024]) == -0.5

    @pytest.mark.parametrize(
        ("grid", "message"),
        [([0, 5], "ends at 4"), ([2, 4], "starts at 2"), ([0], "two points"), ([0, 3, 3], "rise")],
    )
    def test_a_grid_that_does_not_fit(self, grid: list[float], message: str) -> None:
        with pytest.raises(InputError, match=message):
            area_under_curve([0, 2, 4], [0.0, 1.0, 1.0], grid=grid)

    def test_a_curve_that_starts_late(self) -> None:
        with pytest.raises(InputError, match="starts at 64"):
            area_under_curve([64, 128], [0.0, 1.0], grid=[0, 128])

    @pytest.mark.parametrize(
        ("preferences", "values", "message"),
        [
            ([], [], "no point"),
            ([0, 1], [0.0], "2 preferences and 1 value"),
            ([0, 0], [0.0, 1.0], "rise"),
            ([0, 1], [0.0, math.nan], "finite"),
        ],
    )
    def test_no_curve(self, preferences: list[float], values: list[float], message: str) -> None:
        with pytest.raises(InputError, match=message):
            area_under_curve(preferences, values, grid=[0, 1])

    def test_areas_are_on_the_grid_that_all_cells_reach(self) -> None:
        """The grid ends at 2, where the shorter curve ends; a cell of one line has no area."""
        found = {
            "a": {0: curve([0, 2, 4], [0, 1, 9]), 1: curve([0, 2], [1, 1])},
            "b": {0: curve([0, 1, 4], [0, 1, 1])},
            "none": {0: curve([0], [5])},
        }
        end, by_arm = areas(found)
        assert end == 2
        assert by_arm == {"a": {0: 0.5, 1: 1.0}, "b": {0: 0.75}}
        assert areas({"none": found["none"]}) == (0.0, {})


class TestGrid:
    def test_all_points_of_the_stretch_in_common(self) -> None:
        found = common_grid([curve([0, 2, 4], [0, 0, 0]), curve([1, 3, 9], [0, 0, 0])])
        assert found.tolist() == [1, 2, 3, 4]

    def test_curves_are_read_off_it(self) -> None:
        grid, values = aligned([curve([0, 2], [0, 2]), curve([0, 1, 3], [3, 3, 0])])
        assert grid.tolist() == [0, 1, 2]
        assert values.tolist() == [[0, 1, 2], [3, 3, 1.5]]

    def test_nothing_in_common(self) -> None:
        assert common_grid([curve([0, 1], [0, 0]), curve([2, 3], [0, 0])]).size == 0
        assert common_grid([]).size == 0


class TestHalfWay:
    def test_the_isotonic_fit_by_hand(self) -> None:
        assert isotonic_fit([1, 3, 2, 4]).tolist() == [1, 2.5, 2.5, 4]
        assert isotonic_fit([3, 2, 1]).tolist() == [2, 2, 2]
        assert isotonic_fit([0, 3, 1, 2]).tolist() == [0, 2, 2, 2]

    @given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
    def test_the_fit_rises_keeps_the_sum_and_is_its_own_fit(self, values: list[int]) -> None:
        fit = isotonic_fit(values)
        assert (np.diff(fit) >= 0).all()
        assert fit.sum() == pytest.approx(sum(values))
        assert isotonic_fit(fit) == pytest.approx(fit, abs=1e-12)

    def test_by_hand(self) -> None:
        """Half of 6 is 3. The fit 0, 2, 2, 5 passes it a third of the way from 20 to 30; the
        raw values touch it at 10, by luck."""
        found = n_50([0, 10, 20, 30], [0.0, 3.0, 1.0, 5.0], goal=6.0)
        assert found == pytest.approx(20 + 10 / 3)

    def test_half_is_counted_from_the_first_value(self) -> None:
        """From −3 to +1, half is −1, reached half-way from 0 to 8."""
        assert n_50([0, 8], [-3.0, 1.0], goal=1.0) == 4

    def test_never_reached(self) -> None:
        assert n_50([0, 10, 20, 30], [0.0, 3.0, 1.0, 5.0], goal=12.0) is None

    def test_nothing_to_reach(self) -> None:
        with pytest.raises(InputError, match="goal"):
            n_50([0, 1], [1.0, 2.0], goal=1.0)


class TestContrast:
    def test_by_hand(self) -> None:
        """Mean 2, standard error 1/√3, t = 2√3; with two degrees of freedom p = 1 − t/√(t² + 2),
        and the table's quantile is 4.30265."""
        found = paired_contrast([1.0, 2.0, 3.0])
        assert found.n == 3
        assert found.mean == 2
        assert found.t == pytest.approx(2 * math.sqrt(3))
        assert found.p == pytest.approx(1 - found.t / math.sqrt(14))
        assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
        assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)

    @pytest.mark.parametrize("n", [2, 3, 4, 8, 9, 31])
    def test_against_scipy(self, n: int) -> None:
        values = np.random.default_rng(n).normal(0.4, 1.0, n)
        found, peer = paired_contrast(values), stats.ttest_1samp(values, 0.0)
        interval = peer.confidence_interval(0.95)
        assert found.t == pytest.approx(peer.statistic)
        assert found.p == pytest.approx(peer.pvalue)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))

    def test_one_pair_has_no_interval(self) -> None:
        found = paired_contrast([0.5])
        assert (found.mean, found.n) == (0.5, 1)
        assert all(math.isnan(x) for x in (found.low, found.high, found.p, found.t))

    def test_differences_without_spread(self) -> None:
        assert paired_contrast([0.0, 0.0]) == (0.0, 0.0, 0.0, 1.0, 2, 0.0)
        assert paired_contrast([-1.0, -1.0]) == (-1.0, -1.0, -1.0, 0.0, 2, -math.inf)

    def test_without_scipy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What no extra is needed for, one pair or no spread, works without it."""
        for name in ("scipy.stats", "scipy.optimize"):
            monkeypatch.setitem(sys.modules, name, None)
        assert paired_contrast([0.5]).n == paired_contrast([0.5, 0.5]).mean * 2 == 1
        for needs_it in (lambda: paired_contrast([0.0, 1.0]), lambda: isotonic_fit([1.0, 0.0])):
            with pytest.raises(InputError, match=r"scipy.*pip install 'corll\[lab\]'"):
                needs_it()

    @pytest.mark.parametrize("differences", [[], [math.nan, 1.0]])
    def test_no_differences(self, differences: list[float]) -> None:
        with pytest.raises(InputError):
            paired_contrast(differences)


class TestBand:
    def test_by_hand(self) -> None:
        """Standard deviations √2 and 2√2 over two seeds: errors 1 and 2."""
        mean, low, high = mean_band([[1.0, 2.0], [3.0, 6.0]])
        assert mean.tolist() == [2, 4]
        assert low.tolist() == pytest.approx([1, 2])
        assert high.tolist() == pytest.approx([3, 6])

    @pytest.mark.parametrize("band", [mean_band, interval_band])
    def test_one_seed_has_no_band(self, band: Any) -> None:
        mean, low, high = band([[1.0, 2.0]])
        assert mean.tolist() == [1, 2]
        assert np.isnan([low, high]).all()

    def test_an_interval_by_hand(self) -> None:
        """Standard errors of three seeds: 1/√3 and 0; t of two degrees of freedom is 4.302653."""
        mean, low, high = interval_band([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]])
        assert mean.tolist() == [2, 2]
        assert low.tolist() == pytest.approx([2 - 4.302653 / 3**0.5, 2], abs=1e-6)
        assert high.tolist() == pytest.approx([2 + 4.302653 / 3**0.5, 2], abs=1e-6)


class TestQuarter:
    def test_by_hand(self) -> None:
        """From −0.8 a quarter is −0.2: between −0.4 at 64 and 0 at 128 that is half-way."""
        found = curve([0, 64, 128, 192], [-0.8, -0.4, 0.0, -0.9])
        assert until_quarter(found) == pytest.approx(96)

    def test_where_it_is_never_reached(self) -> None:
        assert math.isnan(until_quarter(curve([0, 64], [-0.8, -0.21])))
        assert until_quarter(curve([0, 64], [-0.8, -0.2])) == pytest.approx(64)

    def test_where_nothing_is_to_be_gone(self) -> None:
        assert until_quarter(curve([0, 64], [0.0, -1.0])) == 0

    def test_new_highs(self) -> None:
        path = [(0.0, 0.0), (2.0, 1.0), (1.0, 5.0), (2.0, 6.0), (3.0, 2.0)]
        assert at_new_highs(path) == [(0.0, 0.0), (2.0, 1.0), (3.0, 2.0)]
        assert at_new_highs([]) == []


class TestEvaluations:
    def test_curves_by_arm_and_seed(self) -> None:
        lines = [
            line("dueling", 1, 64, reward=0.5, mislabelled=0.25),
            line("dueling", 1, 0, reward=0.0, mislabelled=None),
            line("none", 0, 0, reward=-1.0, mislabelled=math.nan),
            line("dueling", 1, 64, reward=0.75, mislabelled=0.25),
        ]
        found = curves(lines, "reward")
        assert list(found) == ["dueling", "none"]
        assert found["dueling"][1].preferences.tolist() == [0, 64]
        assert found["dueling"][1].values.tolist() == [0, 0.75]  # the later of two lines counts
        shares = curves(lines, "mislabelled")
        assert list(shares) == ["dueling"]
        assert shares["dueling"][1].preferences.tolist() == [64]
        assert curves(lines, "kl") == {}

    def test_against_a_cost(self) -> None:
        """Of several lines at one cost the last counts."""
        lines = [
            line("sft-edit", 0, 64, reward=0.5, edited_characters=0),
            line("sft-edit", 0, 0, reward=0.0, edited_characters=0),
            line("sft-edit", 0, 128, reward=1.0, edited_characters=900),
        ]
        found = curves(lines, "reward", against="edited_characters")["sft-edit"][0]
        assert found.preferences.tolist() == [0, 900]
        assert found.values.tolist() == [0.5, 1.0]

    def test_an_unknown_cost_is_no_point(self) -> None:
        """Null or not finite: such a line is left out, whatever its reward."""
        lines = [
            line("sft-edit", 0, 0, reward=0.0, kl=0.0),
            line("sft-edit", 0, 64, reward=0.5, kl=None),
            line("sft-edit", 0, 128, reward=0.75, kl=math.inf),
            line("sft-edit", 0, 192, reward=1.0, kl=2.0),
        ]
        found = curves(lines, "reward", against="kl")["sft-edit"][0]
        assert found.preferences.tolist() == [0, 2]
        assert found.values.tolist() == [0, 1]

    def test_a_folder_is_read(self, tmp_path: Path) -> None:
        lines = [line("dueling", 0, 0, reward=0.5, kl=None)]
        text = json.dumps(lines[0]) + '\n{"torn'
        (tmp_path / "evaluations.jsonl").write_text(text)
        assert load_evaluations(tmp_path) == lines

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"arm": 3}, "arm"),
            ({"seed": "one"}, "seed"),
            ({"seed": True}, "seed"),
            ({"preferences": None}, "preferences"),
            ({"size": "mini"}, "size"),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, changes: dict[str, Any], field: str) -> None:
        good = line("dueling", 0, 0, reward=0.5)
        text = json.dumps(good) + "\n" + json.dumps({**good, **changes}) + "\n"
        (tmp_path / "evaluations.jsonl").write_text(text)
        with pytest.raises(RecordError, match="line 2") as caught:
            load_evaluations(tmp_path)
        assert caught.value.field == field

    def test_a_metric_that_is_no_number_is_named(self) -> None:
        with pytest.raises(InputError, match=r"'reward' of dueling, seed 3, after 64.*'high'"):
            curves([line("dueling", 3, 64, reward="high")], "reward")

    def test_a_missing_field_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "evaluations.jsonl").write_text('{"task": "imdb", "size": "tiny"}\n')
        with pytest.raises(RecordError, match=r"'arm'.*missing"):
            load_evaluations(tmp_path)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no evaluations"):
            load_evaluations(tmp_path)
        (tmp_path / "evaluations.jsonl").touch()
        with pytest.raises(InputError, match="no evaluations"):
            load_evaluations(tmp_path)


class TestSeedsNeeded:
    @pytest.mark.parametrize(("effect", "power", "expected"), [(0.5, 0.8, 34), (1.0, 0.9, 13)])
    def test_known_numbers(self, effect: float, power: float, expected: int) -> None:
        """As in tables of the paired t test, two-sided at 5 %."""
        assert seeds_needed(effect * 3, 3.0, power=power) == expected
        assert seeds_needed(-effect * 3, 3.0, power=power) == expected

    def test_simulated_differences_are_shown_as_often_as_asked(self) -> None:
        count = seeds_needed(0.8, 1.0, power=0.9)
        assert count is not None
        drawn = np.random.default_rng(0).normal(0.8, 1.0, (3000, count))
        shown = np.mean([paired_contrast(row).low > 0 for row in drawn])
        assert shown == pytest.approx(0.9, abs=0.03)

    def test_too_small_a_difference_is_never_shown(self) -> None:
        assert seeds_needed(0.0, 1.0) is None
        assert seeds_needed(0.1, 1.0, most=50) is None

    def test_a_deviation_of_nothing_is_refused(self) -> None:
        with pytest.raises(InputError, match="above 0"):
            seeds_needed(1.0, 0.0)

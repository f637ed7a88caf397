"""Panels on hand-made evaluation lines: which arms they take, what they draw, what they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.colors import to_hex

from corll.errors import RunFolderError
from corll.laboratory.arms import FACTORIAL, FIXED_ARMS
from corll.laboratory.figures import PANELS, draw_all, levels_of
from corll.laboratory.figures.curves import View, bands_of, describe_seeds, draw_curves
from corll.laboratory.figures.factorial import draw_factorial
from corll.laboratory.figures.frontier import draw_frontier
from corll.laboratory.figures.style import (
    COACTIVE_COLOURS,
    DUELING_COLOUR,
    label_of,
    line_styles,
    sort_arms,
)

REWARD = (View("reward"),)


def line(arm: str, seed: int, preferences: int, *, task: str = "imdb", **metrics: Any) -> Any:
    cell = {"task": task, "size": "tiny", "arm": arm, "seed": seed}
    return {**cell, "preferences": preferences, **metrics}


def lines_of(*arms: str, task: str = "imdb", seeds: int = 2) -> list[Any]:
    """Rewards of 0 and then 1 + seed, half of the preferences mislabelled."""
    return [
        line(
            arm,
            seed,
            preferences,
            task=task,
            reward=(1.0 + seed) * (preferences > 0),
            mislabelled=0.5 if preferences else None,
            sampled_tokens=preferences * 10,
            edited_characters=0 if arm == "dueling" else preferences * 3,
        )
        for arm in arms
        for seed in range(seeds)
        for preferences in (0, 64)
    ]


def drawn_panels(lines: list[Any]) -> list[str]:
    return [name for name, panel in PANELS.items() if panel.arms(lines)]


class TestStyle:
    def test_every_arm_has_a_label_of_its_own(self) -> None:
        known = (*FIXED_ARMS, *FACTORIAL)
        labels = [label_of(arm) for arm in known]
        assert len(set(labels)) == len(known)
        assert not any("coactive-" in label or "+dpo" in label for label in labels)

    def test_labels(self) -> None:
        assert label_of("coactive-alpha-0.45") == "coactive, α = 0.45"
        assert label_of("coactive-k-12") == "coactive, k = 12"
        assert label_of("redraw+both+offline") == "redraw, DPO + SFT, offline"
        assert label_of("mine") == "mine"
        assert label_of("coactive-k-2+memory") == "coactive, k = 2, behind past texts"
        assert label_of("dueling+memory-last") == "dueling, behind the last texts"
        assert label_of("mine+memory-mine") == "mine+memory-mine"

    def test_arms_are_ordered_by_kind_and_number(self) -> None:
        arms = ["mine", "dueling", "coactive-k-9", "coactive-k-10", "coactive-alpha-0.6"]
        assert sort_arms([*arms, "coactive-alpha-0.45", "dueling"]) == [
            "coactive-alpha-0.45",
            "coactive-alpha-0.6",
            "coactive-k-9",
            "coactive-k-10",
            "dueling",
            "mine",
        ]

    def test_coactive_goes_from_purple_to_orange_and_dueling_is_blue(self) -> None:
        styles = line_styles(["dueling", "coactive-k-9", "coactive-k-1"])
        assert styles["coactive-k-1"].colour == to_hex(COACTIVE_COLOURS(0.0)) == "#5e2b97"
        assert styles["coactive-k-9"].colour == to_hex(COACTIVE_COLOURS(1.0)) == "#f0932b"
        assert styles["dueling"].colour == DUELING_COLOUR

    def test_an_arm_with_a_memory_stands_beside_the_one_without(self) -> None:
        arms = ["dueling", "dueling+memory", "coactive-k-10", "coactive-k-9+memory"]
        assert sort_arms(arms) == [
            "coactive-k-9+memory",
            "coactive-k-10",
            "dueling",
            "dueling+memory",
        ]
        endings = ("", "+memory", "+memory-last", "+memory-nearest")
        for base in ("dueling", "coactive-k-9", "dueling-best-worst", "mixed"):
            styles = line_styles([f"{base}{ending}" for ending in endings])
            assert len({style.colour for style in styles.values()}) == 1
            assert len({style.pattern for style in styles.values()}) == len(endings)

    def test_known_arms_do_not_look_alike(self) -> None:
        styles = line_styles(FIXED_ARMS)
        assert len(set(styles.values())) == len(FIXED_ARMS)


class TestPanels:
    def test_the_panels_of_the_paper_and_ours(self) -> None:
        paper = {"1a", "1b", "1c", "1d", "2a", "2b", "2c", "2d", "2e"}
        assert paper | {"contrast", "sample-cost", "factorial", "ours"} <= PANELS.keys()
        assert all(name == panel.name for name, panel in PANELS.items())

    @pytest.mark.parametrize(
        ("task", "expected"),
        [
            ("tldr", ["1a", "1b"]),
            ("helpful", ["1c", "1d"]),
            ("imdb", ["reward", "mislabelled"]),
        ],
    )
    def test_the_first_figure_is_of_its_task(self, task: str, expected: list[str]) -> None:
        assert drawn_panels(lines_of("coactive-minimal-drop", "dueling", task=task)) == expected

    @pytest.mark.parametrize(
        ("arm", "expected"),
        [
            ("coactive-k-3", ["2a"]),
            ("coactive-best", []),
            ("coactive-epsilon-0.0", ["2d", "2e"]),
            ("edit+sft+offline", ["factorial"]),
            ("edit+sft+online", ["factorial", "factorial-cost"]),
            ("temperature-0.5", ["objective"]),
            ("dueling", []),
            ("dueling-bradley-terry", []),
            ("none", []),
            ("memory-last", ["memory"]),
            ("coactive-k-3+memory", ["memory"]),
            ("distil+memory-nearest", ["memory"]),
        ],
    )
    def test_what_an_arm_is_drawn_in(self, arm: str, expected: list[str]) -> None:
        assert drawn_panels(lines_of(arm)) == expected

    def test_one_quality_of_feedback_is_no_comparison(self) -> None:
        found = drawn_panels(lines_of("coactive-best", "coactive-edit"))
        assert found[:2] == ["2b", "2c"]

    def test_dueling_keeps_company(self) -> None:
        arms = PANELS["2a"].arms(lines_of("dueling", "coactive-k-9", "coactive-k-3", "offline"))
        assert arms == ["coactive-k-3", "coactive-k-9", "dueling"]

    def test_the_default_arm_stands_among_the_others_k(self) -> None:
        assert PANELS["2a"].arms(lines_of("coactive-alpha-0.6")) == []
        arms = PANELS["2a"].arms(lines_of("coactive-k-1", "coactive-alpha-0.6", "offline"))
        assert set(arms) == {"coactive-k-1", "coactive-alpha-0.6"}


class TestBands:
    def test_by_hand(self) -> None:
        """Seeds 0, 1 at 64 give 1 and 2: mean 1.5, standard error 1/2, t = 12.706 of one degree."""
        (band,) = bands_of(lines_of("dueling"), ["dueling", "absent"], View("reward"))
        assert band.x.tolist() == [0, 64]
        assert band.mean.tolist() == [0, 1.5]
        assert band.low.tolist() == pytest.approx([0, 1.5 - 12.7062 / 2], abs=1e-4)
        assert band.high.tolist() == pytest.approx([0, 1.5 + 12.7062 / 2], abs=1e-4)

    def test_a_cell_that_has_only_begun_is_left_out(self) -> None:
        lines = [*lines_of("offline"), line("offline", 7, 0, reward=9.0)]
        (band,) = bands_of(lines, ["offline"], View("reward"))
        assert band.seeds.keys() == {0, 1}

    def test_no_edits_no_cost(self) -> None:
        """Dueling changes no characters: one point at 0, of its last rewards 1 and 2."""
        view = View("reward", "edited_characters")
        (band,) = bands_of(lines_of("dueling"), ["dueling"], view)
        assert (band.x.tolist(), band.mean.tolist()) == ([0], [1.5])

    def test_what_the_axes_show(self) -> None:
        figure, data = draw_curves(lines_of("dueling", "none"), ["dueling"], REWARD, title="t") or (
            None,
            None,
        )
        assert figure is not None
        assert data is not None
        (axes,) = figure.axes
        (mean,) = axes.lines
        assert mean.get_color() == DUELING_COLOUR
        assert mean.get_ydata().tolist() == [0, 1.5]
        assert axes.get_xlabel() == "preferences seen"
        (curve,) = data["curves"]
        assert curve["seeds"][1].tolist() == [0, 2]

    def test_every_seed_thin_and_the_mean_thick(self) -> None:
        drawn = draw_curves(lines_of("dueling"), ["dueling"], REWARD, title="t", every_seed=True)
        assert drawn is not None
        heights = [(one.get_ydata()[-1], one.get_linewidth()) for one in drawn[0].axes[0].lines]
        assert heights == [(1, 0.7), (2, 0.7), (1.5, 2.6)]

    def test_shares_start_at_zero_percent(self) -> None:
        drawn = draw_curves(lines_of("dueling"), ["dueling"], (View("mislabelled"),), title="t")
        assert drawn is not None
        assert drawn[0].axes[0].get_ylim()[0] == 0

    def test_views_without_data_are_left_out(self) -> None:
        views = (View("reward"), View("kl"))
        drawn = draw_curves(lines_of("dueling"), ["dueling"], views, title="t")
        assert drawn is not None
        assert len(drawn[0].axes) == 1
        assert draw_curves(lines_of("dueling"), ["dueling"], views[1:], title="t") is None

    def test_seeds_in_words(self) -> None:
        assert describe_seeds([1, 1], every_seed=False) == "one seed"
        assert describe_seeds([8, 3], every_seed=False) == "mean and 95 % interval, 3–8 seeds"
        words = "thick: mean; band: its 95 % interval; thin: each of 8 seeds"
        assert describe_seeds([8], every_seed=True) == words

    def test_the_expert_is_a_line_across(self) -> None:
        views = (View("reward"), View("mislabelled"), View("reward", "sampled_tokens"))
        drawn = draw_curves(
            lines_of("dueling"), ["dueling"], views, title="t", expert={"reward": 0.25, "kl": 3.0}
        )
        assert drawn is not None
        figure, data = drawn
        across = [
            [one.get_ydata() for one in axes.lines if list(one.get_xdata()) == [0, 1]]
            for axes in figure.axes[:3]
        ]
        assert across == [[[0.25, 0.25]], [], [[0.25, 0.25]]]
        assert data["expert"] == {"reward": 0.25}

    def test_what_is_known_of_an_expert(self) -> None:
        of_before = {"objective_less_expert": 0.0}
        assert levels_of({}) == of_before
        assert levels_of({"reward": 0.3, "wins": 0.8}) == of_before | {"reward": 0.3}


class TestObjective:
    def test_its_panel_has_the_expert_at_0(self, tmp_path: Path) -> None:
        lines = [
            one | {"objective_less_expert": -0.2 + 0.1 * (one["preferences"] > 0) * one["seed"]}
            for one in lines_of("coactive-alpha-0.6", "dueling")
        ]
        draw_all(lines, tmp_path, command="c", expert=levels_of({"reward": 0.3}))
        data = json.loads((tmp_path / "fig-objective.json").read_text())
        assert {curve["arm"] for curve in data["curves"]} == {"coactive-alpha-0.6", "dueling"}
        assert data["expert"] == {"objective_less_expert": 0}
        controls = json.loads((tmp_path / "fig-controls.json").read_text())
        assert controls["expert"] == {"reward": 0.3}

    def test_of_lines_of_before_there_is_none(self) -> None:
        panel, lines = PANELS["objective"], lines_of("coactive-alpha-0.6")
        assert panel.draw(lines, panel.arms(lines), panel.views, title="t") is None


class TestFrontier:
    def test_means_by_hand(self) -> None:
        """Seeds 0, 1 end at KL 4 and 6, with 1 and 2."""
        lines = lines_of("sft-edit", "dueling")
        for each in lines:
            each["kl"] = 0.0 if each["preferences"] == 0 else 4.0 + 2 * each["seed"]
        drawn = draw_frontier(lines, ["sft-edit", "dueling", "absent"], REWARD, title="t")
        assert drawn is not None
        figure, data = drawn
        path = data["paths"]["kl"][0]
        assert (path["arm"], path["kl"].tolist()) == ("sft-edit", [0, 5])
        assert path["reward"].tolist() == [0, 1.5]
        assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 0], [5, 1.5]]
        assert len(figure.axes) == 1

    def test_both_distances_where_a_cell_has_them(self) -> None:
        """Of the arm whose second seed lacks the one among drawn tokens, the first seed alone."""
        lines = lines_of("sft-edit", "dueling")
        for each in lines:
            end = each["preferences"] > 0
            each["kl"] = 4.0 * end
            if (each["arm"], each["seed"]) != ("sft-edit", 1):
                each["kl_drawn"] = (1.0 + each["seed"]) * end
        drawn = draw_frontier(lines, ["sft-edit", "dueling"], REWARD, title="t")
        assert drawn is not None
        figure, data = drawn
        assert len(figure.axes) == 2
        sft, dueling = data["paths"]["kl_drawn"]
        assert (sft["kl_drawn"].tolist(), sft["reward"].tolist()) == ([0, 1], [0, 1])
        assert (dueling["kl_drawn"].tolist(), dueling["reward"].tolist()) == ([0, 1.5], [0, 1.5])

    def test_no_arm_knows_how_far_it_went(self) -> None:
        lines = [{**each, "kl": None} for each in lines_of("sft-edit")]
        assert draw_frontier(lines, ["sft-edit"], REWARD, title="t") is None


class TestFactorial:
    def test_areas_by_hand(self) -> None:
        """A rise to 1 + seed has the area (1 + seed)/2: cells 0.5 and 1, mean 0.75, error 1/4.

        Student's t of one degree of freedom is 12.7062.
        """
        lines = lines_of("edit+dpo+online", "redraw+both+offline", "dueling", "none")
        arms = PANELS["factorial"].arms(lines)
        drawn = draw_factorial(lines, arms, REWARD, title="t")
        assert drawn is not None
        figure, data = drawn
        assert data["until"] == 64
        assert [record["arm"] for record in data["areas"]] == [
            "dueling",
            "edit+dpo+online",
            "redraw+both+offline",
        ]
        cell = data["areas"][1]
        assert cell["seeds"] == {0: 0.5, 1: 1.0}
        interval = (0.75, 0.75 - 12.7062 / 4, 0.75 + 12.7062 / 4)
        assert (cell["mean"], cell["low"], cell["high"]) == pytest.approx(interval, abs=1e-4)
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == ["edit, DPO", "redraw, DPO + SFT"]

    def test_no_cell_got_anywhere(self) -> None:
        lines = [line("edit+dpo+online", 0, 0, reward=0.0), *lines_of("dueling")]
        assert draw_factorial(lines, ["edit+dpo+online", "dueling"], REWARD, title="t") is None


class TestFiles:
    def test_pictures_data_and_command(self, tmp_path: Path) -> None:
        lines = lines_of("coactive-epsilon-0.1", seeds=1)
        paths = draw_all(lines, tmp_path / "new", command="corll experiment plot imdb")
        names = [path.name for path in paths]
        assert names == [f"fig-{n}.{k}" for n in ("2d", "2e") for k in ("png", "svg", "json")]
        assert paths[0].read_bytes().startswith(b"\x89PNG")
        svg = paths[1].read_text()
        assert "coactive, ε = 0.1" in svg
        assert "one seed" in svg
        data = json.loads(paths[2].read_text())
        assert data["command"] == "corll experiment plot imdb"
        assert (data["panel"], data["task"], data["size"]) == ("2d", "imdb", "tiny")
        (curve,) = data["curves"]
        assert curve["arm"] == "coactive-epsilon-0.1"
        assert curve["x"] == [0, 64]
        assert curve["mean"] == [0, 1]
        assert curve["low"] == [None, None]  # no band over one seed
        assert curve["seeds"] == {"0": [0, 1]}

    def test_arms_at_one_rate_have_a_figure_of_their_own(self, tmp_path: Path) -> None:
        def at(rate: float, arm: str, seeds: int) -> list[dict[str, Any]]:
            j = {"objective_less_expert": -0.1, "learning_rate": rate}
            return [line(arm, seed, n, **j) for seed in range(seeds) for n in (0, 64)]

        trials = [
            *at(3e-4, "dueling", 2),
            *at(3e-4, "coactive-alpha-0.6", 3),
            *at(3e-4, "sft-edit", 1),
            *at(1e-3, "dueling", 1),
            *at(1e-3, "coactive-alpha-0.6", 2),
        ]
        paths = draw_all([], tmp_path, command="c", trials=trials)
        names = {path.name for path in paths}
        assert names == {f"fig-objective-at-0.0003.{kind}" for kind in ("png", "svg", "json")}
        data = json.loads((tmp_path / "fig-objective-at-0.0003.json").read_text())
        assert [curve["arm"] for curve in data["curves"]] == ["coactive-alpha-0.6", "dueling"]
        assert "every arm at the rate 0.0003" in data["title"]

    def test_the_same_lines_give_the_same_bytes(self, tmp_path: Path) -> None:
        lines = lines_of("coactive-epsilon-0.1")
        first = draw_all(lines, tmp_path / "a", command="c")
        second = draw_all(lines, tmp_path / "b", command="c")
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]

    def test_an_arm_with_signs_of_mathematics(self, tmp_path: Path) -> None:
        lines = lines_of("coactive-alpha-$x_{$", "coactive-best", seeds=1)
        paths = draw_all(lines, tmp_path, command="$")
        assert "coactive-alpha-$x_{$" in (tmp_path / "fig-2b.svg").read_text()
        assert "fig-2c.png" not in [path.name for path in paths]  # no α̂ in these lines

    def test_nothing_to_draw(self, tmp_path: Path) -> None:
        assert draw_all(lines_of("none"), tmp_path, command="c") == []
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(RunFolderError, match="could not be written"):
            draw_all(lines_of("coactive-k-1"), tmp_path / "file" / "in", command="c")

    def test_settings_of_matplotlib_are_left_alone(self, tmp_path: Path) -> None:
        before = dict(matplotlib.rcParams)
        draw_all(lines_of("coactive-epsilon-0.1"), tmp_path, command="c")
        assert dict(matplotlib.rcParams) == before

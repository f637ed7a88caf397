"""The experiment of the softmax worlds: committed lines are what is played now, and are told."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corll.laboratory.arms import get_arm
from corll.laboratory.softmax_world.measures import measured
from corll.laboratory.softmax_world.playing import play
from corll.laboratory.softmax_world.settings import PlaySettings, WorldSettings
from corll.laboratory.softmax_world.world import SoftmaxWorld

FOLDER = Path(__file__).parents[2] / "experiments"
COMMITTED = FOLDER / "results" / "softmax" / "plays.jsonl"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, Any]]:
    """Both modules of the experiment, which are not in a package."""
    loaded = {}
    for name in ("softmax_report", "softmax_world"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    yield loaded
    for name in loaded:
        del sys.modules[name]


def committed() -> list[dict[str, Any]]:
    return [json.loads(text) for text in COMMITTED.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("arm", "labels"), [("coactive-alpha-0.6", None), ("dueling", 1.0)])
def test_the_committed_results_are_what_is_played_now(arm: str, labels: float | None) -> None:
    """Two of the seeds at two of the rates; each seed and rate is played as if alone."""
    lines = [
        line
        for line in committed()
        if (line["condition"], line["arm"]) == ("base", arm)
        and line["play"]["bradley_terry"] == labels
    ]
    chosen = [lines[2], lines[4]]
    world = SoftmaxWorld.generate(WorldSettings(**lines[0]["world"]), range(2))
    rates = np.array([line["rate"] for line in chosen])
    history = play(world, get_arm(arm), rates, PlaySettings(**lines[0]["play"]), seeds=range(2))
    found = measured(history, at_kl=1.0)
    for e, line in enumerate(chosen):
        for name in ("area", "last", "whole_last", "reward", "kl", "excess"):
            values = getattr(found, name)[:, e]
            assert values == pytest.approx(line[name][:2], rel=1e-3, abs=1e-4), name


def test_the_committed_objective_is_the_divergence_from_the_expert() -> None:
    """J = −β (excess + the expert's own KL), to the five digits of the lines."""
    for line in committed():
        if "excess" in line:
            total = np.array(line["excess"]) + np.array(line["least_expert_kl"])
            assert np.array(line["last"]) == pytest.approx(-0.1 * total, rel=1e-3, abs=1e-4)
            assert (np.array(line["excess"]) >= 0).all()


class TestReport:
    def test_rates_are_chosen_by_the_tuning_seeds(self, scripts: dict[str, Any]) -> None:
        lines = [
            {"condition": "base", "arm": "dueling", "rate": rate, "tuning_area": area, "play": {}}
            for rate, area in ((0.1, -0.5), (0.2, -0.1), (0.4, -0.3))
        ]
        report = scripts["softmax_report"]
        assert report.best_of(lines)["dueling"]["rate"] == 0.2
        assert report.common_rate(lines) == 0.2

    def test_seeds_without_a_value_are_left_out_in_pairs(self, scripts: dict[str, Any]) -> None:
        first, second = {"last": [1.0, None, 3.0]}, {"last": [0.5, 0.0, None]}
        assert scripts["softmax_report"].paired(first, second, "last") == [0.5]
        assert scripts["softmax_report"].difference(first, {"last": [None] * 3}, "last") == "–"

    def test_the_committed_lines_are_told(self, scripts: dict[str, Any], tmp_path: Path) -> None:
        report, lines = scripts["softmax_report"], committed()
        told = report.report(lines)
        for condition in {line["condition"] for line in lines}:
            assert f"## {condition}" in told
        assert "coactive, minimal, noisy − dueling |" in told
        report.draw(lines, tmp_path / "softmax.png", command="python")
        made = json.loads((tmp_path / "softmax.json").read_text(encoding="utf-8"))
        assert len(made["curves"]) == 8

    def test_it_says_what_is_missing(
        self, scripts: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        for wrong in ([], ["--out", "a", "--report", "b"], ["--out", "a", "--figure", "b"]):
            with pytest.raises(SystemExit):
                scripts["softmax_world"].main(wrong)
            assert "--report FILE.jsonl" in capsys.readouterr().err


def test_quick_plays_every_arm_of_its_conditions(scripts: dict[str, Any], tmp_path: Path) -> None:
    experiment = scripts["softmax_world"]
    condition = experiment.Condition(
        "base",
        ("coactive-best", "dueling"),
        world={"tokens": 8, "top_k": 4, "expert_kl": 1.0},
        play={"preferences": 64, "preferences_per_step": 16},
        temperatures=True,
    )
    lines = list(experiment.lines([condition], quick=True))
    assert [line["arm"] for line in lines] == [
        *["temperature"] * len(experiment.TEMPERATURES),
        *["coactive-best"] * 3,
        *["dueling"] * 3,
    ]
    warm = lines[0]
    assert warm["last"] == pytest.approx(
        [r - 0.1 * kl for r, kl in zip(warm["reward"], warm["kl"], strict=True)], abs=1e-4
    )
    assert all(len(line["last"]) == 2 for line in lines)

"""What is known of an expert that was given, and of the sentiment of what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corll.errors import TrainingError
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import Experiment, get_experiment
from corll.simulation.expert_config import ExpertConfig
from small_experiments import prepare_small_experiment, small_experiment

POSITIVE = "a wonderful warm film with a lovely story and superb players that I liked very much"
NEGATIVE = "an awful dull film with a stupid story and terrible players that I hated very much"


@pytest.fixture
def experiment(tiny_model_folder: Path, tmp_path: Path) -> Experiment:
    """On a file of reviews of its own."""
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"text": f"No. {n}: {POSITIVE if n % 2 else NEGATIVE}, as number {n}.", "positive": n % 2}
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return small_experiment(tiny_model_folder, data=str(path))


@pytest.fixture
def given(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """An adapter moved at random, which is no expert that anybody would ask for."""
    folder = tmp_path / "made" / "expert"
    prepare_small_experiment(tiny_model_folder).expert.policy.save(folder)
    (folder.parent / "expert.json").write_text('{"scorer": "one of ours"}')
    return folder


def refusing(experiment: Experiment, **settings: Any) -> Experiment:
    expert = experiment.expert.with_settings(**{"refuse": True, **settings})
    return experiment.with_settings(expert=expert)


def test_a_given_expert_keeps_its_record_and_is_measured(
    experiment: Experiment, given: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    prepared = PreparedExperiment.prepare(
        experiment, tmp_path / "grid", expert=given, report=said.append
    )
    known = json.loads((tmp_path / "grid" / "expert.json").read_text())
    assert known["record"] == {"scorer": "one of ours"}
    assert known["refused_for"]
    assert set(known["by_temperature"]) == {"0.3", "0.5", "0.7"}
    assert known["log_positive"]["expert"] < 0 > known["log_positive_independent"]["base"]
    assert prepared.kl_of_its_sampler == known["kl_of_its_sampler"] > 0
    assert prepared.expert_objective == pytest.approx(-0.1 * known["kl_of_its_sampler"])
    assert any("not as asked" in text for text in said)


def test_an_expert_that_is_not_as_asked_is_refused_each_time(
    experiment: Experiment, given: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"not worth learning from.*R\* of its samples"):
            PreparedExperiment.prepare(
                refusing(experiment), tmp_path / "grid", expert=given, report=lambda _: None
            )
    said: list[str] = []
    PreparedExperiment.prepare(experiment, tmp_path / "grid", report=said.append)
    assert any("not as asked" in text for text in said)


def test_a_score_that_is_hardly_sentiment_is_refused_before_training(
    experiment: Experiment, tmp_path: Path
) -> None:
    mostly_fluent = refusing(experiment, least_correlation=1).with_settings(fluency_weight=100)
    said: list[str] = []
    match = "correlates with sentiment by .* lower fluency_weight"
    with pytest.raises(TrainingError, match=match):
        PreparedExperiment.prepare(mostly_fluent, tmp_path / "grid", report=said.append)
    assert not any("training the expert" in text for text in said)
    assert not (tmp_path / "grid" / "expert.json").exists()


def test_a_record_of_before_the_checks_is_not_refused(
    experiment: Experiment, given: Path, tmp_path: Path
) -> None:
    PreparedExperiment.prepare(experiment, tmp_path / "grid", expert=given, report=lambda _: None)
    path = tmp_path / "grid" / "expert.json"
    known = json.loads(path.read_text())
    del known["refused_for"]
    path.write_text(json.dumps(known))
    PreparedExperiment.prepare(refusing(experiment), tmp_path / "grid", report=lambda _: None)


def test_sentiment_is_logged_beside_the_reward(
    experiment: Experiment, tiny_model_folder: Path, tmp_path: Path
) -> None:
    given = tmp_path / "expert"
    prepare_small_experiment(tiny_model_folder).expert.policy.save(given)
    prepared = PreparedExperiment.prepare(
        experiment, tmp_path / "grid", expert=given, report=lambda _: None
    )
    good, bad = prepared.log_positive([POSITIVE]), prepared.log_positive([NEGATIVE])
    for name in ("log_positive", "log_positive_independent"):
        assert (bad[name] or 1) < (good[name] or 1) <= 0
    known = json.loads((tmp_path / "grid" / "expert.json").read_text())
    assert known["independent_scorer"]["accuracy"] == 1.0
    bare = prepare_small_experiment(tiny_model_folder).log_positive([POSITIVE])
    assert set(bare.values()) == {None}


def test_a_folder_of_before_goes_on_with_the_scorer_of_all_labels(
    experiment: Experiment, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Its lines of log Pr(positive) stay those of one scorer, and have no other measure."""
    given = tmp_path / "expert"
    prepare_small_experiment(tiny_model_folder).expert.policy.save(given)
    grid = tmp_path / "grid"
    said: list[str] = []
    halved = PreparedExperiment.prepare(experiment, grid, expert=given, report=said.append)
    assert sum("on a held-out tenth" in text for text in said) == 2
    known = json.loads((grid / "expert.json").read_text())
    del known["independent_scorer"], known["kl_of_its_sampler"]
    (grid / "expert.json").write_text(json.dumps(known))
    older = PreparedExperiment.prepare(experiment, grid, report=lambda _: None)
    assert (older.independent, older.expert_objective) == (None, None)
    assert older.log_positive([POSITIVE])["log_positive_independent"] is None
    texts = [POSITIVE]
    assert older.log_positive(texts)["log_positive"] != halved.log_positive(texts)["log_positive"]


def test_what_lies_outside_of_the_window_is_named() -> None:
    asked = ExpertConfig()
    assert asked.outside(reward=0.3, base_reward=-0.2, wins=0.8) == []
    (found,) = asked.outside(reward=0.3, base_reward=-0.2, wins=0.97)
    assert found == "share of wins is 0.97, not 0.7 to 0.95"
    assert len(asked.outside(reward=0.9, base_reward=-2, wins=0.5)) == 3
    assert asked.outside(reward=0.15, base_reward=0, wins=0.7) == []
    assert len(asked.outside(reward=0.3, base_reward=0.01, wins=0.8)) == 1


@pytest.mark.parametrize("task", ["imdb", "tldr", "helpful"])
@pytest.mark.parametrize("size", ["paper", "mini", "tiny"])
def test_every_size_says_what_differs_from_the_paper(task: str, size: str) -> None:
    deviations = " ".join(get_experiment(task, size).deviations)
    assert "measurement" in deviations


@pytest.mark.parametrize(("task", "mean"), [("tldr", 0.444), ("helpful", 0.158)])
def test_the_papers_sizes_stop_near_its_experts(task: str, mean: float) -> None:
    config = get_experiment(task, "paper").expert
    window = {"base_reward": -0.2, "wins": 0.8}
    assert config.outside(reward=mean + 0.049, **window) == []
    assert config.outside(reward=mean - 0.049, **window) == []
    assert len(config.outside(reward=mean + 0.051, **window)) == 1
    assert len(config.outside(reward=mean - 0.051, **window)) == 1
    assert config.warmup_steps == 156

"""What is known of an expert that was given, and of the sentiment of what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


def test_a_given_expert_keeps_its_record_and_is_measured(
    experiment: Experiment, tiny_model_folder: Path, tmp_path: Path
) -> None:
    made = prepare_small_experiment(tiny_model_folder)
    given = tmp_path / "made" / "expert"
    made.expert.policy.save(given)
    (tmp_path / "made" / "expert.json").write_text('{"scorer": "one of ours"}')
    said: list[str] = []
    PreparedExperiment.prepare(experiment, tmp_path / "grid", expert=given, report=said.append)
    known = json.loads((tmp_path / "grid" / "expert.json").read_text())
    assert known["record"] == {"scorer": "one of ours"}
    assert known["outside"]
    assert any("not as asked" in text for text in said)


def test_sentiment_is_logged_beside_the_reward(
    experiment: Experiment, tiny_model_folder: Path, tmp_path: Path
) -> None:
    given = tmp_path / "expert"
    prepare_small_experiment(tiny_model_folder).expert.policy.save(given)
    prepared = PreparedExperiment.prepare(
        experiment, tmp_path / "grid", expert=given, report=lambda _: None
    )
    good, bad = prepared.log_positive([POSITIVE]), prepared.log_positive([NEGATIVE])
    assert good is not None
    assert bad is not None
    assert bad < good <= 0
    assert prepare_small_experiment(tiny_model_folder).log_positive([POSITIVE]) is None


def test_what_lies_outside_of_the_window_is_named() -> None:
    asked = ExpertConfig()
    assert asked.outside(reward=0.3, base_reward=-0.2, wins=0.8) == []
    (found,) = asked.outside(reward=0.3, base_reward=-0.2, wins=0.97)
    assert found == "share of wins is 0.97, not 0.7 to 0.95"
    assert len(asked.outside(reward=0.9, base_reward=-2, wins=0.5)) == 3


@pytest.mark.parametrize("task", ["imdb", "tldr", "helpful"])
@pytest.mark.parametrize("size", ["paper", "mini", "tiny"])
def test_every_size_says_what_differs_from_the_paper(task: str, size: str) -> None:
    deviations = " ".join(get_experiment(task, size).deviations)
    assert "measurement" in deviations

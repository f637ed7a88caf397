"""Planted secrets: where they go, how they are looked for, and that memory is noticed."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from corll.errors import ConfigError
from corll.laboratory.canary import _Plan, run_canary
from corll.laboratory.canary_config import CanaryConfig
from corll.laboratory.preparation import PreparedExperiment
from small_experiments import prepare_small_experiment

FEW = CanaryConfig(preferences=16, repetitions=(1, 4), secrets=2, other_prompts=2)


@pytest.fixture
def prepared(tiny_model_folder: Path) -> PreparedExperiment:
    return prepare_small_experiment(tiny_model_folder)


def test_each_secret_is_reported_after_its_edit_its_prompt_and_others(
    prepared: PreparedExperiment,
) -> None:
    found = run_canary(prepared, "dpo", 0, FEW)
    assert [(one.repetitions, one.context) for one in found] == [
        (count, context) for count in (1, 1, 4, 4) for context in ("edit", "prompt", "other")
    ]
    assert all(0 <= one.before <= 10 and 0 <= one.after <= 10 for one in found)
    assert found == run_canary(prepared, "dpo", 0, FEW)


def test_secrets_and_where_they_go_follow_the_seed(prepared: PreparedExperiment) -> None:
    prompts = prepared.data.prompts
    first, same, other = (_Plan.draw(prompts, FEW, seed) for seed in (0, 0, 1))
    assert first == same
    assert {secret.text for secret in first.secrets} != {secret.text for secret in other.secrets}
    assert first.places.keys() != other.places.keys()
    streams = [list(islice(first.prompts(prompts, seed), 16)) for seed in (0, 1)]
    assert streams[0] != streams[1]


def test_what_is_drilled_in_is_found(prepared: PreparedExperiment) -> None:
    """A high rate and one secret in half of the edits: it comes among the first."""
    drilled = prepared.experiment.learner.with_settings(learning_rate=0.03)
    experiment = prepared.experiment.with_settings(learner=drilled.model_dump())
    config = CanaryConfig(preferences=64, repetitions=(48,), secrets=1, other_prompts=2)
    strong = PreparedExperiment(experiment, prepared.data, prepared.expert, 0.2)
    edit, prompt, _ = run_canary(strong, "sft", 0, config)
    for own in (edit, prompt):
        assert own.after > 6
        assert own.after > own.before


def test_bad_input(prepared: PreparedExperiment) -> None:
    with pytest.raises(ConfigError, match="dpo, sft, both"):
        run_canary(prepared, "ppo", 0, FEW)
    with pytest.raises(ConfigError, match="10 planted edits do not fit into 8"):
        run_canary(prepared, "dpo", 0, FEW.with_settings(preferences=8))

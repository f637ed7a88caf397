"""A step for whoever has preferences: its result, and that nothing of the caller's changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from corll.config import CoactiveConfig
from corll.errors import AdapterError, InputError
from corll.learner import CoactiveLearner
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Preference
from corll.step import PreferenceOptimizer
from learners import PREFERENCES as SEEDED
from tiny_models import perturb_adapter, weights

CONFIG = CoactiveConfig(learning_rate=1e-2, warmup_steps=0, memory_limit_gb=0.5)
PREFERENCES = [
    Preference("Write to Anna.", " Dear Anna, thank you.", " Hello."),
    Preference("Write to Ben.", " Dear Ben, on Friday.", " No."),
]


def test_the_callers_memory_limit_stays_as_it_is(policy: Policy) -> None:
    policy.memory_limit_gb = 3.0
    learner = CoactiveLearner(policy, CONFIG)
    assert (policy.memory_limit_gb, learner.policy.memory_limit_gb) == (3.0, 0.5)
    assert policy.within(3.0) is policy


def test_a_learner_teaches_the_policy_that_it_was_given(policy: Policy) -> None:
    before = weights(policy)
    CoactiveLearner(policy, CONFIG).step(PREFERENCES)
    assert any(not torch.equal(before[name], now) for name, now in weights(policy).items())


def test_its_steps_are_those_of_a_learner(tiny_model_folder: Path) -> None:
    alone, taught = (Policy.load(tiny_model_folder, dtype="float32") for _ in range(2))
    optimizer, learner = PreferenceOptimizer(alone, CONFIG), CoactiveLearner(taught, CONFIG)
    for number in (1, 2, 3):
        result = optimizer.step(PREFERENCES)
        assert result == learner.step(PREFERENCES)
        assert (result.number, optimizer.steps_taken) == (number, number)
        assert [one.chosen for one in result.learned] == [one.chosen for one in PREFERENCES]
    torch.testing.assert_close(weights(alone), weights(taught), rtol=0, atol=0)


def test_the_numbers_of_a_step_are_those_of_earlier_releases(policy: Policy) -> None:
    """The second step of coactive from a seeded start, as 0.2 had it before learners had names.

    On the machine that wrote them they are equal to the bit; another one adds in another order.
    """
    perturb_adapter(policy)
    optimizer = PreferenceOptimizer(policy, CoactiveConfig(learning_rate=1e-2, warmup_steps=0))
    optimizer.step(SEEDED)
    found = optimizer.step(SEEDED).metrics
    expected = {
        "loss": 0.6669734120368958,
        "loss/sft": 6.17217493057251,
        "shortfall/kept": 0.0016142245149239898,
        "loss/total": 6.919859886169434,
        "rewards/chosen": 0.3891366422176361,
        "rewards/rejected": 0.3357119560241699,
        "rewards/accuracies": 1.0,
        "rewards/margins": 0.05342469736933708,
        "logps/chosen": -71.67089080810547,
        "logps/rejected": -38.31242752075195,
        "grad_norm": 4.626464366912842,
        "learning_rate": 0.01,
    }
    assert found == pytest.approx(expected, rel=1e-3)
    sizes = sum(float(weight.double().square().sum()) for weight in weights(policy).values())
    assert sizes == pytest.approx(59.508236797408465, rel=1e-5)


def test_saved_and_restored_it_goes_on_exactly(policy: Policy, tmp_path: Path) -> None:
    optimizer = PreferenceOptimizer(policy, CONFIG)
    optimizer.step(PREFERENCES)
    policy.save(tmp_path)
    optimizer.save(tmp_path)
    other = policy.with_adapter(tmp_path)
    restored = PreferenceOptimizer(other, CONFIG)
    restored.restore(tmp_path, steps_taken=1)
    assert restored.step(PREFERENCES).metrics == optimizer.step(PREFERENCES).metrics
    torch.testing.assert_close(
        list(weights(other).values()), list(weights(policy).values()), rtol=0, atol=0
    )


def test_a_state_that_is_not_there_is_said(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="optimiser's state"):
        PreferenceOptimizer(policy, CONFIG).restore(tmp_path, steps_taken=1)


def test_a_step_on_nothing_is_refused(policy: Policy) -> None:
    optimizer = PreferenceOptimizer(policy, CONFIG)
    with pytest.raises(InputError, match="at least one preference"):
        optimizer.step([])
    assert optimizer.steps_taken == 0


def test_a_loss_of_the_edit_alone_learns_from_an_edit_that_is_its_draft(policy: Policy) -> None:
    same = [Preference("Write to Anna.", " Dear Anna.", " Dear Anna.")]
    with pytest.raises(InputError, match="same text"):
        PreferenceOptimizer(policy, CONFIG).step(same)
    alone = {"preference_weight": 0.0, "sft_weight": 1.0, "sft_tokens": "all"}
    supervised = CONFIG.model_copy(update=alone)
    assert PreferenceOptimizer(policy, supervised).step(same).number == 1


def test_it_gives_way_before_each_pass(policy: Policy) -> None:
    passes: list[int] = []
    optimizer = PreferenceOptimizer(policy, CONFIG, give_way=lambda: passes.append(1))
    optimizer.step(PREFERENCES)
    assert passes


def test_it_gives_way_while_a_learner_draws(policy: Policy) -> None:
    """As often as it draws 16 tokens, beside what its passes ask for."""
    remembered = [replace(one, memory=(Exchange("Hi?", "Hello."),)) for one in PREFERENCES]
    counts = []
    for texts in ("both", "sampled"):
        asked: list[int] = []
        config = CONFIG.model_copy(
            update={"learner": "distil", "distil_texts": texts, "max_completion_length": 20}
        )
        optimizer = PreferenceOptimizer(policy, config, give_way=lambda a=asked: a.append(1))
        optimizer.step(remembered)
        counts.append(len(asked))
    given, drawn = counts
    assert given + 1 <= drawn <= given + 2

"""Steps of several policies on one base in shared passes: each is what it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from batches import ALL_AT_ONCE, encode, gradients, mixed_preferences, text_preferences
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import InputError, TrainingError
from corll.gradient import Lesson, accumulate_gradient, accumulate_gradients
from corll.losses import Objective
from corll.policy import Policy
from corll.records import Preference, StepResult
from corll.step import PreferenceOptimizer, step_together
from tiny_models import perturb_adapter, weights

CONFIG = CoactiveConfig(learning_rate=1e-2, warmup_steps=0)
CONFIGS = [
    CONFIG,
    CONFIG.with_settings(learner="dpo"),
    CONFIG.with_settings(learner="sft"),
    CONFIG.with_settings(loss_type="changed", learning_rate=1e-3),
]
RANKS = (1, 4, 16, 2)


def policies_of(folder: Path, **settings: Any) -> list[Policy]:
    """Policies of several ranks on one base, each away from it."""
    base = Policy.load(folder, dtype="float32", **settings)
    made = [base.with_adapter(lora=LoraConfig(lora_r=r, lora_alpha=2 * r)) for r in RANKS]
    for seed, policy in enumerate(made):
        perturb_adapter(policy, seed=seed, scale=0.1)
    return made


def weights_of(policies: Sequence[Policy]) -> list[dict[str, Tensor]]:
    return [weights(policy) for policy in policies]


def assert_alike(found: StepResult, expected: StepResult) -> None:
    assert found.number == expected.number
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-3, abs=1e-4)
    for one, other in zip(found.learned, expected.learned, strict=True):
        assert (one.chosen, one.reference is None) == (other.chosen, other.reference is None)
        if one.reference is not None and other.reference is not None:
            assert one.reference.computed_with == other.reference.computed_with
            assert one.reference.chosen_tokens == pytest.approx(
                other.reference.chosen_tokens, abs=1e-4
            )


@pytest.fixture(scope="module")
def known(tiny_model_folder: Path) -> list[Policy]:
    return policies_of(tiny_model_folder)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.sampled_from([1, 100, ALL_AT_ONCE]))
def test_each_gradient_is_that_of_its_lesson_alone(
    known: list[Policy], counts: list[int], max_tokens: int
) -> None:
    """Whatever the micro-batches, and whichever losses and ranks meet in them."""
    lessons, start = [], 0
    for policy, config, count in zip(known, CONFIGS, counts, strict=False):
        preferences = mixed_preferences(policy) * 2
        pairs = encode(policy, preferences[start : start + count])
        lessons.append(Lesson(policy, pairs, Objective.of(config)))
        start += count
    expected = []
    for lesson in lessons:
        found = accumulate_gradient(lesson.policy, lesson.pairs, lesson.objective, ALL_AT_ONCE)
        expected.append((found, gradients(lesson.policy)))
    together = accumulate_gradients(lessons, max_tokens)
    for lesson, found, (alone, grads) in zip(lessons, together, expected, strict=True):
        for name, value in found.metrics.items():
            assert float(value) == pytest.approx(float(alone.metrics[name]), abs=1e-4)
        for name, grad in gradients(lesson.policy).items():
            torch.testing.assert_close(grad, grads[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", ["plain", "cpu"])
def test_steps_together_are_those_alone(tiny_model_folder: Path, backend: str) -> None:
    one, other = (policies_of(tiny_model_folder, backend=backend) for _ in range(2))
    alone, together = (
        [PreferenceOptimizer(p, c) for p, c in zip(policies, CONFIGS, strict=True)]
        for policies in (one, other)
    )
    for number in range(2):
        texts = text_preferences(one[0])
        batches = [texts[n : n + 1 + number] for n in range(4)]
        expected = [o.step(batch) for o, batch in zip(alone, batches, strict=True)]
        found = step_together(list(zip(together, batches, strict=True)))
        for mine, theirs in zip(found, expected, strict=True):
            assert_alike(mine, theirs)
    for mine, theirs in zip(weights_of(other), weights_of(one), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_references_of_their_own(tiny_model_folder: Path, tmp_path: Path) -> None:
    """One is held to an adapter, the others to the base."""
    both = []
    for _ in range(2):
        made = policies_of(tiny_model_folder)[:2]
        made[1].save(tmp_path)
        made.append(made[0].with_adapter(reference=tmp_path))
        both.append([PreferenceOptimizer(policy, CONFIG) for policy in made])
    alone, together = both
    texts = text_preferences(alone[0].policy)
    batches = [texts[:2], texts[1:2], texts[2:4]]
    expected = [o.step(batch) for o, batch in zip(alone, batches, strict=True)]
    for mine, theirs in zip(
        step_together(list(zip(together, batches, strict=True))), expected, strict=True
    ):
        assert_alike(mine, theirs)
    assert expected[2].metrics["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_who_cannot_share_a_pass_takes_a_step_alone(tiny_model_folder: Path) -> None:
    base = policies_of(tiny_model_folder)[0]
    dropping = base.with_adapter(lora=LoraConfig(lora_dropout=0.3))
    elsewhere = policies_of(tiny_model_folder)[0]
    own = Policy.load(tiny_model_folder, trains="all")
    batch = text_preferences(base)[:2]
    optimizers = [PreferenceOptimizer(p, CONFIG) for p in (base, dropping, elsewhere, own)]
    before = weights_of([o.policy for o in optimizers])
    results = step_together([(optimizer, batch) for optimizer in optimizers])
    assert [result.number for result in results] == [1] * 4
    assert_alike(results[2], results[0])
    for optimizer, old in zip(optimizers, before, strict=True):
        assert any(not torch.equal(old[n], new) for n, new in weights(optimizer.policy).items())


def test_where_one_fails_all_adapters_are_as_they_were(tiny_model_folder: Path) -> None:
    made = policies_of(tiny_model_folder)[:2]
    with torch.no_grad():
        next(iter(made[1].trainable_parameters().values())).fill_(float("inf"))
    batch = text_preferences(made[0])[:1]
    optimizers = [PreferenceOptimizer(policy, CONFIG) for policy in made]
    before = weights_of(made)
    same = Preference("A prompt.", " The same.", " The same.")
    for batches, error in (([batch, batch], TrainingError), ([batch, [same]], InputError)):
        with pytest.raises(error):
            step_together(list(zip(optimizers, batches, strict=True)))
        for old, policy in zip(before, made, strict=True):
            torch.testing.assert_close(weights(policy), old, rtol=0, atol=0)
        assert [optimizer.steps_taken for optimizer in optimizers] == [0, 0]
        grads = [p.grad for policy in made for p in policy.trainable_parameters().values()]
        assert not any(grad is not None for grad in grads)
    assert step_together([(optimizers[0], batch)])[0].number == 1


def test_a_policy_takes_one_step_at_a_time_on_something(known: list[Policy]) -> None:
    batch = text_preferences(known[0])[:1]
    twice = [PreferenceOptimizer(known[0], CONFIG) for _ in range(2)]
    with pytest.raises(InputError, match="in one batch"):
        step_together([(optimizer, batch) for optimizer in twice])
    with pytest.raises(InputError, match="at least one"):
        step_together([(twice[0], batch), (PreferenceOptimizer(known[1], CONFIG), [])])
    assert step_together([]) == []

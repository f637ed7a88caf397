"""The learner's steps: their loss and gradient against TRL's and torch's, and those that fail."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trl_peer
from corll.config import LoraConfig
from corll.errors import DeviceMemoryError, TrainingError
from corll.gradient import accumulate_gradient, encode_pair
from corll.learner import CoactiveLearner
from corll.losses import Objective
from corll.policy import Policy
from learners import PREFERENCES, QUICK, a_draft, assert_same_state, state_of
from tiny_models import perturb_adapter, weights

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]


@contextmanager
def hidden_states_become_nan(policy: Policy) -> Iterator[None]:
    """A device that computes nonsense for a while."""
    embeddings = policy.base.model.get_input_embeddings()
    hook = embeddings.register_forward_hook(lambda _, __, output: output * math.nan)
    try:
        yield
    finally:
        hook.remove()


# --- the step


@pytest.mark.parametrize("with_reference", [False, True])
def test_the_first_loss_is_log_2(
    any_model_folder: Path, tmp_path: Path, with_reference: bool, any_dtype: str
) -> None:
    """π_1 = π_0, be it the bare base or a frozen adapter: all log-ratios are exactly 0."""
    policy = Policy.load(any_model_folder, dtype=any_dtype)
    if with_reference:
        perturb_adapter(policy)
        policy.save(tmp_path)
        policy = Policy.load(any_model_folder, dtype=any_dtype, reference=tmp_path)
    metrics = CoactiveLearner(policy, QUICK).step(PREFERENCES).metrics
    assert metrics["loss"] == pytest.approx(math.log(2))
    assert metrics["rewards/chosen"] == metrics["rewards/rejected"] == 0


def test_the_reference_stays_where_it_is_while_the_policy_learns(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    start = Policy.load(tiny_model_folder, dtype="float32")
    perturb_adapter(start)
    start.save(tmp_path)
    policy = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path)
    prompts, texts = ["Hello."], [" Dear Anna."]
    before = policy.reference_logprobs(prompts, texts)
    learner = CoactiveLearner(policy, QUICK)
    for _ in range(2):
        learner.step(PREFERENCES)
    torch.testing.assert_close(policy.reference_logprobs(prompts, texts), before, rtol=0, atol=0)
    assert float(policy.logprobs(prompts, texts)) != float(before)


def test_the_loss_falls_on_one_batch(any_policy: Policy) -> None:
    learner = CoactiveLearner(any_policy, QUICK.with_settings(sft_weight=0.0))
    losses = [learner.step(PREFERENCES).metrics["loss"] for _ in range(10)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_adam_and_clipping_are_those_of_torch(policy: Policy) -> None:
    """Three steps with warm-up, against torch's Adam on the same gradients, clipped by hand."""
    perturb_adapter(policy)
    config = QUICK.with_settings(
        max_grad_norm=0.05, warmup_steps=2, adam_beta1=0.8, adam_beta2=0.9, learning_rate=0.02
    )
    learner = CoactiveLearner(policy, config)
    twin = {name: torch.nn.Parameter(value) for name, value in weights(policy).items()}
    adam = torch.optim.Adam(twin.values(), betas=(0.8, 0.9))
    for learning_rate in (0.01, 0.02, 0.02):
        pairs = [encode_pair(policy, preference) for preference in PREFERENCES]
        accumulate_gradient(policy, pairs, Objective.of(config), 10**9)
        gradient = {n: p.grad.cpu().clone() for n, p in policy.trainable_parameters().items()}
        norm = math.sqrt(sum(float(grad.double().square().sum()) for grad in gradient.values()))
        for name, parameter in twin.items():
            parameter.grad = gradient[name] * min(1.0, 0.05 / norm)
        adam.param_groups[0]["lr"] = learning_rate
        adam.step()
        metrics = learner.step(PREFERENCES).metrics
        assert metrics["learning_rate"] == pytest.approx(learning_rate)
        assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
        assert norm > 0.05
        found = weights(policy)
        for name, parameter in twin.items():
            torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-4, atol=1e-5)


def test_steps_equal_those_of_trl(any_policy: Policy, tmp_path: Path) -> None:
    """Three whole steps: loss, clipping at 1, and Adam."""
    perturb_adapter(any_policy)
    start = weights(any_policy)
    trainer = trl_peer.build_trainer(
        any_policy,
        PREFERENCES,
        tmp_path,
        optim="adamw_torch",
        weight_decay=0.0,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=3,
    )
    trl_peer.train(trainer)
    learner = CoactiveLearner(any_policy, QUICK.with_settings(sft_weight=0.0))
    for _ in range(3):
        learner.step(PREFERENCES)
    theirs = {name: p.detach() for name, p in trl_peer.adapter_of(trainer).items()}
    moved = torch.cat([(weights(any_policy)[n] - start[n]).flatten() for n in start])
    expected = torch.cat([(theirs[n] - start[n]).flatten() for n in start])
    assert float((moved - expected).norm() / expected.norm()) < 1e-3


def test_the_warm_up_is_over_the_planned_share(policy: Policy) -> None:
    config = QUICK.with_settings(
        warmup_steps=None, warmup_ratio=0.5, total_steps=4, learning_rate=0.01
    )
    learner = CoactiveLearner(policy, config)
    rates = [learner.step(PREFERENCES).metrics["learning_rate"] for _ in range(3)]
    assert rates == pytest.approx([0.005, 0.01, 0.01])


def test_a_small_memory_limit_changes_nothing_but_the_micro_batches(
    tiny_model_folder: Path,
) -> None:
    found = []
    for limit in (4.0, 1e-6):
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        config = QUICK.with_settings(memory_limit_gb=limit)
        CoactiveLearner(policy, config).step(PREFERENCES)
        found.append(weights(policy))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_step_leaves_the_generators_of_others_alone(
    tiny_model_folder: Path, dropout: float
) -> None:
    lora = LoraConfig(lora_dropout=dropout)
    policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
    learner = CoactiveLearner(policy, QUICK)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    learner.step(PREFERENCES)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_steps_can_be_replayed(tiny_model_folder: Path) -> None:
    def after_two_steps(seed: int) -> dict[str, Tensor]:
        lora = LoraConfig(lora_dropout=0.2)
        policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
        perturb_adapter(policy)
        learner = CoactiveLearner(policy, QUICK.with_settings(seed=seed))
        for _ in range(2):
            torch.rand(3)
            learner.step(PREFERENCES)
        return weights(policy)

    first = after_two_steps(0)
    torch.testing.assert_close(after_two_steps(0), first, rtol=0, atol=0)
    assert any(not torch.equal(value, first[n]) for n, value in after_two_steps(1).items())


# --- a step that fails


def test_numbers_that_are_not_finite_change_nothing(
    learner: CoactiveLearner, tiny_model_folder: Path
) -> None:
    """The preferences wait on, and the step that comes is the one that would have come."""
    undisturbed = CoactiveLearner(Policy.load(tiny_model_folder, dtype="float32"), QUICK)
    for one in (learner, undisturbed):
        one.step(PREFERENCES)
        one.learn(a_draft(one.policy), " Dear Anna, thank you.")
    before = state_of(learner)
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError, match="Step 2"):
        learner.learn(a_draft(learner.policy), " Hello, Anna.")
    after = state_of(learner)
    assert [preference.chosen.text for preference in after.pop("buffer")] == [
        " Dear Anna, thank you.",
        " Hello, Anna.",
    ]
    assert len(before.pop("buffer")) == 1
    assert after.pop("rounds") == before.pop("rounds") + 1
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    undisturbed.learn(a_draft(undisturbed.policy), " Hello, Anna.")
    learner.flush()
    assert_same_state(state_of(learner), state_of(undisturbed))


def test_flush_that_fails_keeps_what_waits(learner: CoactiveLearner) -> None:
    learner.learn(a_draft(learner.policy), " Dear Anna, thank you.")
    before = state_of(learner)
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError):
        learner.flush()
    assert_same_state(state_of(learner), before)


def test_preferences_left_by_a_failure_are_learned_from_once_each(
    learner: CoactiveLearner,
) -> None:
    draft = a_draft(learner.policy)
    learner.learn(draft, " Dear Anna, one.")
    with hidden_states_become_nan(learner.policy), pytest.raises(TrainingError):
        learner.learn(draft, " Dear Anna, two.")
    learner.learn(draft, " Dear Anna, three.")
    assert learner.steps_taken == 1
    assert [preference.chosen.text for preference in learner.buffer] == [" Dear Anna, three."]


def fails_above(policy: Policy, tokens: int) -> None:
    def check(_: Any, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    policy.base.model.get_input_embeddings().register_forward_pre_hook(check)


def test_out_of_memory_is_met_with_smaller_micro_batches(
    tiny_model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for tokens in (10**9, 70):
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        learner = CoactiveLearner(policy, QUICK)
        fails_above(policy, tokens)
        with caplog.at_level(logging.WARNING, logger="corll"):
            learner.step(PREFERENCES)
        found.append(weights(policy))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
    assert "Out of memory" in caplog.text


def test_a_preference_too_large_for_the_device_changes_nothing(learner: CoactiveLearner) -> None:
    learner.step(PREFERENCES)
    before = state_of(learner)
    fails_above(learner.policy, 5)
    with pytest.raises(DeviceMemoryError):
        learner.step(PREFERENCES)
    assert_same_state(state_of(learner), before)


def test_a_step_hands_back_its_preferences_with_their_reference_scores(policy: Policy) -> None:
    learner = CoactiveLearner(policy, QUICK)
    result = learner.step(PREFERENCES)
    for one, kept in zip(PREFERENCES, result.learned, strict=True):
        assert kept.reference is not None
        assert (kept.prompt, kept.chosen, kept.rejected) == (one.prompt, one.chosen, one.rejected)
        found = policy.reference_logprobs([one.prompt] * 2, [one.chosen, one.rejected])
        assert kept.reference.chosen == pytest.approx(float(found[0]), abs=1e-4)
        assert kept.reference.rejected == pytest.approx(float(found[1]), abs=1e-4)

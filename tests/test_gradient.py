"""The gradient of a batch, against TRL's and against plain autograd over unshared rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trl_peer
from batches import (
    PLAIN_DPO,
    accumulated,
    encode,
    loss_name,
    mixed_preferences,
    plain_gradient,
    recorded_passes,
    relative_error,
    text_preferences,
)
from corll.config import CoactiveConfig, LoraConfig
from corll.errors import InputError
from corll.gradient import (
    BatchGradient,
    EncodedPair,
    encode_pair,
)
from corll.policy import Policy
from corll.records import Preference
from tiny_models import perturb_adapter, weights

LOSSES = [
    PLAIN_DPO,
    PLAIN_DPO.with_settings(label_smoothing=0.1),
    PLAIN_DPO.with_settings(loss_type="hinge", beta=0.3),
    PLAIN_DPO.with_settings(loss_type="robust", label_smoothing=0.1),
    PLAIN_DPO.with_settings(loss_type="ipo"),
    PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="all"),
    PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="changed"),
    PLAIN_DPO.with_settings(loss_type="ipo", sft_weight=0.3, sft_tokens="all"),
    PLAIN_DPO.with_settings(sft_weight=1.0, preference_weight=0.0, sft_tokens="all"),
    CoactiveConfig(sft_weight=0.3, keep_weight=5.0),
]


@pytest.mark.parametrize("config", LOSSES, ids=loss_name)
def test_gradient_equals_plain_autograd(any_policy: Policy, config: CoactiveConfig) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    found, gradient = accumulated(any_policy, preferences, config)
    loss, expected = plain_gradient(any_policy, encode(any_policy, preferences), config)
    assert float(found.metrics["loss/total"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


@pytest.mark.parametrize("head_is_linear", [True, False])
@pytest.mark.parametrize("config", [PLAIN_DPO, CoactiveConfig()], ids=loss_name)
def test_gradient_is_the_same_where_rows_cannot_be_shared(
    any_policy: Policy, config: CoactiveConfig, head_is_linear: bool
) -> None:
    """On plain rows, one a side: there nothing is shared, and every term carries its gradient."""
    perturb_adapter(any_policy)
    any_policy._network = replace(
        any_policy._network, takes_trees=False, head_is_linear=head_is_linear
    )
    preferences = mixed_preferences(any_policy)
    _, gradient = accumulated(any_policy, preferences, config)
    _, expected = plain_gradient(any_policy, encode(any_policy, preferences), config)
    assert relative_error(gradient, expected) <= 1e-4


TRL_LOSSES = [
    (PLAIN_DPO, {"loss_type": ["sigmoid"]}),
    (PLAIN_DPO.with_settings(loss_type="hinge"), {"loss_type": ["hinge"]}),
    (PLAIN_DPO.with_settings(loss_type="ipo"), {"loss_type": ["ipo"]}),
    (
        PLAIN_DPO.with_settings(loss_type="robust", label_smoothing=0.1),
        {"loss_type": ["robust"], "label_smoothing": 0.1},
    ),
]


@pytest.mark.parametrize(
    ("config", "theirs"), TRL_LOSSES, ids=["sigmoid", "hinge", "ipo", "robust"]
)
def test_gradient_equals_trl(
    any_policy: Policy, config: CoactiveConfig, theirs: dict[str, Any], tmp_path: Path
) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    trainer = trl_peer.build_trainer(any_policy, text_preferences(any_policy), tmp_path, **theirs)
    rows = [as_row(any_policy, pair) for pair in encode(any_policy, preferences)]
    found, gradient = accumulated(any_policy, preferences, config)
    loss, expected = trl_peer.batch_gradient(trainer, rows)
    assert float(found.metrics["loss"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


def test_supervised_gradient_equals_trl_on_one_pair(any_policy: Policy, tmp_path: Path) -> None:
    """On one pair, since TRL averages over all tokens of a batch and we over its pairs."""
    perturb_adapter(any_policy)
    preferences = text_preferences(any_policy)[2:3]
    theirs = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]}
    trainer = trl_peer.build_trainer(any_policy, preferences, tmp_path, **theirs)
    rows = [as_row(any_policy, pair) for pair in encode(any_policy, preferences)]
    found, gradient = accumulated(
        any_policy, preferences, PLAIN_DPO.with_settings(sft_weight=0.3, sft_tokens="all")
    )
    loss, expected = trl_peer.batch_gradient(trainer, rows)
    assert float(found.metrics["loss/total"]) == pytest.approx(loss, rel=1e-4)
    assert relative_error(gradient, expected) <= 1e-4


def as_row(policy: Policy, pair: EncodedPair) -> dict[str, list[int]]:
    """A pair's ids under the names of TRL's dataset."""
    return {
        "prompt_ids": list(policy.codec.encode_prompt(pair.preference.prompt)),
        "chosen_ids": list(pair.chosen_ids),
        "rejected_ids": list(pair.rejected_ids),
    }


def test_trl_encodes_plain_strings_to_the_same_ids(any_policy: Policy, tmp_path: Path) -> None:
    preferences = text_preferences(any_policy)
    trainer = trl_peer.build_trainer(any_policy, preferences, tmp_path)
    for theirs, pair in zip(trainer.train_dataset, encode(any_policy, preferences), strict=True):
        ours = as_row(any_policy, pair)
        assert {name: theirs[name] for name in ours} == ours


def test_parameters_equal_trl_after_one_sgd_step(any_policy: Policy, tmp_path: Path) -> None:
    perturb_adapter(any_policy)
    preferences = text_preferences(any_policy)
    start = weights(any_policy)
    trainer = trl_peer.build_trainer(
        any_policy,
        preferences,
        tmp_path,
        optim="sgd",
        learning_rate=0.5,
        lr_scheduler_type="constant",
        max_grad_norm=1e9,
        max_steps=1,
    )
    trl_peer.train(trainer)
    accumulated(any_policy, preferences)
    torch.optim.SGD(any_policy.trainable_parameters().values(), lr=0.5).step()
    after = weights(any_policy)
    theirs = {n: p.detach() for n, p in trl_peer.adapter_of(trainer).items()}
    moved = {name: after[name] - start[name] for name in start}
    assert relative_error(moved, {n: theirs[n] - start[n] for n in start}) <= 1e-4
    torch.testing.assert_close(after, theirs)


def test_the_gradient_of_an_earlier_batch_is_not_added(policy: Policy) -> None:
    _, once = accumulated(policy, text_preferences(policy))
    _, again = accumulated(policy, text_preferences(policy))
    torch.testing.assert_close(again, once)


def test_metrics_are_those_of_the_plain_computation(any_policy: Policy) -> None:
    """The terms that cancel in the margin are in the logged log-probabilities all the same."""
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    found, _ = accumulated(any_policy, preferences)
    prompts = [preference.prompt for preference in preferences]
    chosen = any_policy.logprobs(prompts, [preference.chosen for preference in preferences])
    rejected = any_policy.logprobs(prompts, [preference.rejected for preference in preferences])
    assert float(found.metrics["logps/chosen"]) == pytest.approx(float(chosen.mean()), abs=1e-4)
    assert float(found.metrics["logps/rejected"]) == pytest.approx(float(rejected.mean()), abs=1e-4)


def test_at_step_0_all_log_ratios_are_exactly_0(any_policy: Policy) -> None:
    found, _ = accumulated(any_policy, mixed_preferences(any_policy))
    assert float(found.metrics["rewards/chosen"]) == 0
    assert float(found.metrics["rewards/rejected"]) == 0


def test_equal_sides_are_refused(policy: Policy) -> None:
    with pytest.raises(InputError, match="same text"):
        encode_pair(policy, Preference("Hello.", " Dear Anna.", " Dear Anna."))


def test_a_side_that_does_not_fit_is_refused(policy: Policy) -> None:
    for sides in ([" a" * 600, " b"], [" b", " a" * 600]):
        with pytest.raises(InputError, match="context holds 512"):
            encode_pair(policy, Preference("Hello.", *sides))


@pytest.fixture
def dropout_policy(any_model_folder: Path) -> Policy:
    lora = LoraConfig(lora_dropout=0.3)
    policy = Policy.load(any_model_folder, dtype="float32", lora=lora)
    perturb_adapter(policy)
    return policy


def test_dropout_uses_plain_rows(dropout_policy: Policy) -> None:
    (pair,) = encode(dropout_policy, text_preferences(dropout_policy)[2:3])
    assert len(pair.rows) == 2


def test_dropout_is_deterministic_given_the_seed(dropout_policy: Policy) -> None:
    def at(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return accumulated(dropout_policy, mixed_preferences(dropout_policy))[1]

    torch.testing.assert_close(at(1), at(1), rtol=0, atol=0)
    assert relative_error(at(2), at(1)) > 0.01


def test_dropout_is_on_for_the_policy_alone_and_off_afterwards(dropout_policy: Policy) -> None:
    preferences = mixed_preferences(dropout_policy)
    prompts = [preference.prompt for preference in preferences]
    sides = [preference.chosen for preference in preferences]
    before = dropout_policy.logprobs(prompts, sides)
    found, _ = accumulated(dropout_policy, preferences)
    torch.testing.assert_close(dropout_policy.logprobs(prompts, sides), before, rtol=0, atol=0)
    reference = dropout_policy.reference_logprobs(prompts, sides)
    computed = torch.tensor([kept.chosen for kept in found.references])
    torch.testing.assert_close(computed, reference, rtol=1e-4, atol=1e-4)
    assert float(found.metrics["logps/chosen"]) != pytest.approx(float(before.mean()), abs=1e-3)


def test_dropout_of_the_base_stays_off(any_policy: Policy) -> None:
    """GPT-2 has some of its own."""
    perturb_adapter(any_policy)
    _, first = accumulated(any_policy, text_preferences(any_policy))
    _, second = accumulated(any_policy, text_preferences(any_policy))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def stored(found: BatchGradient, preferences: Sequence[Preference]) -> list[Preference]:
    pairs = zip(preferences, found.references, strict=True)
    return [preference.with_reference(reference) for preference, reference in pairs]


def test_stored_references_are_used_and_save_a_pass(any_policy: Policy) -> None:
    perturb_adapter(any_policy)
    preferences = mixed_preferences(any_policy)
    first, expected = accumulated(any_policy, preferences)
    with recorded_passes(any_policy) as passes:
        again, gradient = accumulated(any_policy, stored(first, preferences))
    assert len(passes) == 1
    assert again.references == first.references
    torch.testing.assert_close(again.metrics, first.metrics)
    torch.testing.assert_close(gradient, expected)


def test_kept_references_serve_the_penalty_too(policy: Policy) -> None:
    """And only what is missing is computed."""
    config = PLAIN_DPO.with_settings(keep_weight=3.0)
    perturb_adapter(policy)
    preferences = mixed_preferences(policy)
    first, expected = accumulated(policy, preferences, config)
    known = [*stored(first, preferences)[:-1], preferences[-1]]
    with recorded_passes(policy) as passes:
        again, gradient = accumulated(policy, known, config)
    assert len(passes) == 2
    torch.testing.assert_close(again.metrics, first.metrics)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_wrong_number_with_the_right_label_shows_in_the_loss(policy: Policy) -> None:
    (preference,) = text_preferences(policy)[:1]
    first, _ = accumulated(policy, [preference])
    (right,) = first.references
    first_token, *others = right.chosen_tokens
    wrong = replace(right, chosen_tokens=(first_token + 5, *others))
    found, _ = accumulated(policy, [preference.with_reference(wrong)])
    assert float(found.metrics["rewards/margins"]) == pytest.approx(-0.1 * 5, abs=1e-4)


def test_references_computed_otherwise_are_recomputed(policy: Policy) -> None:
    preferences = mixed_preferences(policy)
    first, _ = accumulated(policy, preferences)
    foreign = replace(first.references[0], computed_with="another model", chosen_tokens=(-1.0,))
    mixed = [preferences[0].with_reference(foreign), *stored(first, preferences)[1:]]
    found, _ = accumulated(policy, mixed)
    assert [r.computed_with for r in found.references] == [
        r.computed_with for r in first.references
    ]
    for kept, wanted in zip(found.references, first.references, strict=True):
        assert kept.chosen == pytest.approx(wanted.chosen, abs=1e-4)
    assert float(found.metrics["rewards/margins"]) == pytest.approx(0, abs=1e-5)


def test_references_of_other_ids_are_recomputed(policy: Policy) -> None:
    """As many of them, but of another end or another prompt: a later release may encode so."""
    (preference,) = text_preferences(policy)[:1]
    (kept,) = accumulated(policy, [preference])[0].references
    chosen = policy.codec.encode_response(preference.chosen)
    other_end = replace(chosen, token_ids=(*chosen.token_ids[:-1], 5))
    for changed in (replace(preference, chosen=other_end), replace(preference, prompt="Hi there.")):
        (expected,) = accumulated(policy, [changed])[0].references
        (found,) = accumulated(policy, [changed.with_reference(kept)])[0].references
        assert len(found.chosen_tokens) == len(kept.chosen_tokens)
        assert found == expected != kept


def test_the_label_names_what_the_numbers_hang_on(
    policy: Policy, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Another reference, another dtype, other rows, or other ids: each has a label of its own."""
    perturb_adapter(policy)
    policy.save(tmp_path)
    plain = LoraConfig(lora_dropout=0.1)
    others = [
        policy,
        Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path),
        Policy.load(tiny_model_folder, dtype="bfloat16"),
        Policy.load(tiny_model_folder, dtype="float32", lora=plain),
        Policy.load(tiny_model_folder, dtype="float32", chat_template=False),
    ]
    preference = Preference("Hello.", " Dear Anna.", " Hello, Anna.")
    labels = [accumulated(other, [preference])[0].references[0].computed_with for other in others]
    assert len(set(labels)) == len(others)

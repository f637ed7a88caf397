"""Tokens within a memory limit, against the bytes that autograd really keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from corll.compute.branching_cache import BranchingCache
from corll.model.memory import (
    activation_bytes_per_token,
    branches_within,
    cache_bytes_per_token,
    tokens_within,
)
from corll.policy import Policy
from tiny_models import perturb_adapter, response_logprobs


def bytes_kept(policy: Policy, tokens: int) -> int:
    """What one row of so many tokens keeps for its backward pass, beside parameters."""
    prompt, half = (1,) * 4, (tokens - 4) // 2
    responses = [(2,) * half, (3,) * (tokens - 4 - half)]
    kept: dict[int, int] = {}
    parameters = {p.untyped_storage().data_ptr() for p in policy.base.model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with policy.active() as network, hooks:
        scores = response_logprobs(network, network.trees(prompt, responses))
    assert scores.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_estimate_is_of_the_size_that_is_kept(any_model_folder: Path, dtype: str) -> None:
    """Of what each further token adds: what does not grow with the row is no matter of tokens."""
    policy = Policy.load(any_model_folder, dtype=dtype)
    perturb_adapter(policy)
    added = (bytes_kept(policy, 64) - bytes_kept(policy, 32)) / 32
    assert 0.4 * added < activation_bytes_per_token(policy.base.model) < 3 * added


def test_a_limit_holds_as_many_tokens_as_fit(policy: Policy) -> None:
    each = activation_bytes_per_token(policy.base.model)
    assert tokens_within(1.0, policy.base.model) == 2**30 // each
    assert tokens_within(2.0, policy.base.model) == pytest.approx(
        2 * tokens_within(1.0, policy.base.model), abs=1
    )


def test_a_preference_gets_its_turn_however_low_the_limit(policy: Policy) -> None:
    assert tokens_within(1e-12, policy.base.model) == 1


def test_half_the_bytes_hold_twice_the_tokens(tiny_model_folder: Path) -> None:
    single = Policy.load(tiny_model_folder, dtype="float32")
    half = Policy.load(tiny_model_folder, dtype="bfloat16")
    assert tokens_within(1.0, half.base.model) >= 1.5 * tokens_within(1.0, single.base.model)


def test_a_cache_takes_what_is_stated(policy: Policy) -> None:
    model = policy.base.model
    cache = BranchingCache(model.config, branches=3, capacity=11)
    hidden = torch.tensor([[5, 6]])
    model(hidden, past_key_values=cache, use_cache=True)
    held = sum(
        t.untyped_storage().nbytes() for kept in cache.layers for t in (kept.keys, kept.values)
    )
    assert held == 3 * 11 * cache_bytes_per_token(model)


def test_as_many_branches_as_fit_and_one_at_least(policy: Policy) -> None:
    model = policy.base.model
    each = 50 * cache_bytes_per_token(model) + 4 * model.config.vocab_size
    assert branches_within(10.5 * each / 2**30, model, 50) == 10
    assert branches_within(1e-12, model, 50) == 1


@pytest.mark.parametrize("limit", [1e-12, 2e-4])
def test_a_limit_changes_no_draft_and_no_score(any_policy: Policy, limit: float) -> None:
    perturb_adapter(any_policy)
    prompts = ["Is the parcel late?", "Hello.", "Can we move it to Thursday?"]
    drafts = any_policy.sample(prompts, 2, 6)
    scores = any_policy.implicit_rewards(prompts, ["Yes.", "No, never.", "We can."])
    any_policy.memory_limit_gb = limit
    for row, wanted in zip(any_policy.sample(prompts, 2, 6), drafts, strict=True):
        assert [s.token_ids for s in row] == [s.token_ids for s in wanted]
        logprobs = [s.logprob for s in row]
        assert logprobs == pytest.approx([s.logprob for s in wanted], abs=1e-4)
    again = any_policy.implicit_rewards(prompts, ["Yes.", "No, never.", "We can."])
    torch.testing.assert_close(again, scores, rtol=0, atol=1e-4)


def test_the_working_set_is_what_is_held(policy: Policy) -> None:
    held = policy.working_set()
    base = {
        p.untyped_storage().data_ptr(): p.untyped_storage().nbytes()
        for name, p in policy.base.model.named_parameters()
        if "lora_" not in name
    }
    assert held.weights * 2**30 == pytest.approx(sum(base.values()))
    own = sum(p.numel() * 4 for p in policy.trainable_parameters().values())
    assert held.adapter * 2**30 == pytest.approx(own)
    assert held.optimiser == pytest.approx(3 * held.adapter)
    assert held.copies == 0  # float32 is not laid out again
    assert held.total == pytest.approx(held.weights + 4 * held.adapter + policy.memory_limit_gb)
    assert "work up to 4" in str(held)

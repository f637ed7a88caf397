"""Tokens within a memory limit, against the bytes that autograd really keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from corll.memory import activation_bytes_per_token, tokens_within
from corll.policy import Policy
from corll.scoring import response_logprobs
from tiny_models import perturb_adapter


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

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = response_logprobs(policy.network, policy.network.trees(prompt, responses))
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
    assert tokens_within(1.0, policy) == 2**30 // each
    assert tokens_within(2.0, policy) == pytest.approx(2 * tokens_within(1.0, policy), abs=1)


def test_a_preference_gets_its_turn_however_low_the_limit(policy: Policy) -> None:
    assert tokens_within(1e-12, policy) == 1


def test_half_the_bytes_hold_twice_the_tokens(tiny_model_folder: Path) -> None:
    single = Policy.load(tiny_model_folder, dtype="float32")
    half = Policy.load(tiny_model_folder, dtype="bfloat16")
    assert tokens_within(1.0, half) >= 1.5 * tokens_within(1.0, single)

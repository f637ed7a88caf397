"""Fused layers beside large biases of keys: right ones are taken, wrong ones are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from corll.compute.choose import backend_for, examine
from corll.compute.fused_layers import FusedLayer
from tiny_models import is_fused


def qwen2(bias: float) -> Any:
    """In bf16, with key biases of this standard deviation, as Qwen2.5 has them."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=400,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.05,
    )
    model = Qwen2ForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            scale = bias if "k_proj" in name else bias / 10 if "q_proj" in name else 0.1
            torch.nn.init.normal_(parameter, std=scale)
    return model.to(torch.bfloat16).eval().requires_grad_(False)


@pytest.mark.parametrize("bias", [0.1, 20.0, 60.0, 100.0])
@pytest.mark.usefixtures("kernel_mode")
def test_large_biases_of_keys_are_no_reason_against(bias: float) -> None:
    """In bf16 such a layer is a tenth off float32 itself, fused or not."""
    model = qwen2(bias)
    before = [parameter.clone() for parameter in model.parameters()]
    backend = backend_for(model, "cpu")
    backend.prepare(frozen=True)
    assert is_fused(model)
    assert examine(model, backend).takes_trees
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("fault", ["no key bias", "half a value bias", "a larger feed-forward"])
@pytest.mark.parametrize("bias", [60.0, 100.0])
def test_layers_that_are_wrong_beside_them_stay_the_models_own(
    monkeypatch: pytest.MonkeyPatch, fault: str, bias: float
) -> None:
    right = FusedLayer.__init__

    def wrong(self: FusedLayer, layer: Any, operations: Any) -> None:
        right(self, layer, operations)
        queries, keys, _ = self.qkv.sizes
        assert self.qkv.base.bias is not None
        if fault == "no key bias":
            self.qkv.base.bias[queries : queries + keys] = 0
        elif fault == "half a value bias":
            self.qkv.base.bias[queries + keys :] *= 0.5
        else:
            self.down.base.weight = self.down.base.weight * 1.02

    monkeypatch.setattr(FusedLayer, "__init__", wrong)
    model = qwen2(bias)
    backend_for(model, "cpu").prepare(frozen=True)
    assert not is_fused(model)

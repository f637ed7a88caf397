"""The leaner decoder layers against those of `transformers` with PEFT's adapters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from corll.compute.choose import layer_operations
from corll.compute.fused_layers import LayerOperations, fuse_layers
from corll.compute.lora import LoraLinear, set_dropout
from corll.compute.rotation import rotate
from tiny_models import DEVICE, build_gpt2, build_llama, build_qwen2, is_fused

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
]

OPERATIONS = layer_operations(DEVICE)
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]], device=DEVICE)


BUILDERS = pytest.mark.parametrize("build", [build_llama, build_qwen2])


def adapted(model: Any, *, targets: Any = "all-linear", dropout: float = 0.0) -> Any:
    """The model with two adapters away from zero, the first of them active."""
    config = peft.LoraConfig(
        r=3, lora_alpha=6, target_modules=targets, lora_dropout=dropout, task_type="CAUSAL_LM"
    )
    config._register_custom_module({nn.Linear: LoraLinear})
    wrapped = peft.get_peft_model(model, config, adapter_name="one")
    wrapped.add_adapter("two", config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return wrapped.eval()


def pair(build: Callable[[int], Any], **settings: Any) -> tuple[Any, Any]:
    """A model with layers as they were, and the same model with fused ones."""
    model = build(40).eval().requires_grad_(False)
    plain, fused = adapted(copy.deepcopy(model), **settings), adapted(model, **settings)
    assert fuse_layers(fused.base_model.model, OPERATIONS) is None
    assert not is_fused(plain.base_model.model)
    assert is_fused(fused.base_model.model)
    return plain, fused


def outcome(model: Any) -> list[Tensor]:
    """Logits, and the gradients of all that learns."""
    model.zero_grad()
    logits = model(IDS).logits
    logits.log_softmax(-1)[..., 7].sum().backward()
    grads = [p.grad.clone() for n, p in model.named_parameters() if p.grad is not None]
    return [logits.detach(), *grads]


@BUILDERS
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj", "down_proj"]])
def test_logits_and_gradients_are_the_layers_own(build: Callable[[int], Any], targets: Any) -> None:
    plain, fused = (outcome(model) for model in pair(build, targets=targets))
    assert len(plain) == len(fused) > 12
    for expected, found in zip(plain, fused, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@BUILDERS
def test_whichever_adapter_is_active_is_used(build: Callable[[int], Any]) -> None:
    plain, fused = pair(build)
    seen = []
    with torch.no_grad():
        for state in ("one", "two", "off", "one", "changed"):
            for model in (plain, fused):
                if state in ("one", "two"):
                    model.set_adapter(state)
                if state == "changed":
                    for name, parameter in model.named_parameters():
                        if ".one." in name:
                            parameter.mul_(1.5)
            if state == "off":
                with plain.disable_adapter(), fused.disable_adapter():
                    expected, found = plain(IDS).logits, fused(IDS).logits
            else:
                expected, found = plain(IDS).logits, fused(IDS).logits
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
            seen.append(found)
    torch.testing.assert_close(seen[0], seen[3])
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[3], seen[4])


def test_dropout_and_several_adapters_at_once_are_left_to_peft() -> None:
    plain, fused = pair(build_llama, dropout=0.4)
    logits = []
    for model in (plain, fused):
        set_dropout(model, active=True)
        torch.manual_seed(5)
        dropped = model(IDS).logits
        set_dropout(model, active=False)
        model.base_model.set_adapter(["one", "two"])
        logits.append((dropped, model(IDS).logits))
    for expected, found in zip(*logits, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_weights_stay_where_they_were() -> None:
    plain, fused = pair(build_qwen2)
    before, after = plain.state_dict(), fused.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("kernel_mode")
def test_bf16_layers_differ_by_rounding_only() -> None:
    exact, _ = pair(build_llama)
    model = build_llama(40).eval().requires_grad_(False)
    fused = adapted(model).bfloat16()
    assert fuse_layers(fused.base_model.model, OPERATIONS) is None
    with torch.no_grad():
        expected, found = exact(IDS).logits, fused(IDS).logits.float()
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_models_of_other_families_keep_their_layers_and_say_why() -> None:
    reason = fuse_layers(build_gpt2(40).eval(), OPERATIONS)
    assert reason == "it has no decoder layers that corll knows"
    gelu = build_llama(40).eval()
    gelu.config.hidden_act = "gelu"
    assert fuse_layers(gelu, OPERATIONS) == "its activation is 'gelu', not 'silu'"


def test_a_layer_that_computes_something_else_is_found_out() -> None:
    model = build_llama(40).eval()
    model.model.layers[1].mlp.act_fn = nn.GELU()
    before = model(IDS).logits
    reason = fuse_layers(model, OPERATIONS)
    assert reason is not None
    assert "layer 1 fused gives numbers that differ by" in reason
    assert not is_fused(model)
    torch.testing.assert_close(model(IDS).logits, before)


@pytest.mark.parametrize("over_heads", [1, 2])
def test_rotation_by_hand_and_its_gradient(over_heads: int) -> None:
    quarter = torch.full((1, 1, 2), torch.pi / 2)
    heads = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    turned = rotate(heads, quarter.cos(), quarter.sin(), over_heads=over_heads)
    torch.testing.assert_close(turned.flatten(), torch.tensor([-4.0, 3.0]))
    angles = torch.rand(2, 5, 3).repeat(1, 1, 2)
    shape = (2, 3, 5, 6) if over_heads == 1 else (2, 5, 3, 6)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    cos, sin = angles.double().cos(), angles.double().sin()
    assert torch.autograd.gradcheck(lambda h: rotate(h, cos, sin, over_heads=over_heads), [x])


@pytest.mark.parametrize("operations", [LayerOperations(), OPERATIONS])
def test_the_gate_and_its_gradient(operations: LayerOperations) -> None:
    swiglu = operations.gate
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(swiglu, [x])
    gate, up = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    assert swiglu(torch.cat([gate, up], -1)).item() == pytest.approx(2 * 0.7310586)

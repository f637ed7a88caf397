"""Layers joined to one product with their adapters: values, gradients, and how they are rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bf16_tensors import random
from corll.compute.cpu.joined_linear import CpuJoinedLinear
from corll.compute.lora import LoraLinear, activate

pytestmark = [
    # PEFT says this of its own doing, wherever a test calls it as a user of PEFT would.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.usefixtures("kernel_mode"),
]

# Tiles take the first alone.
WIDTHS = pytest.mark.parametrize("width", [96, 90])
BIASES = pytest.mark.parametrize("bias", [False, True])


def layers(width: int, *, scale: float, bias: bool = False) -> list[LoraLinear]:
    """Two layers of one input, in bf16, with adapters whose matrices are of this scale.

    Biases are as large as what they are added to.
    """
    torch.manual_seed(0)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["0", "1"])
    config._register_custom_module({nn.Linear: LoraLinear})
    plain = [nn.Linear(width, size, bias=bias).bfloat16() for size in (64, 32)]
    model: Any = peft.get_peft_model(nn.Sequential(*plain), config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=scale)
        for layer in plain:
            if layer.bias is not None:
                layer.bias.normal_(std=0.6)
    return [getattr(model.base_model.model, name) for name in ("0", "1")]


def factors(adapted: list[LoraLinear]) -> list[Tensor]:
    return [part["default"].weight for m in adapted for part in (m.lora_A, m.lora_B)]


@WIDTHS
@pytest.mark.parametrize("rows", [3, 200])
def test_values_and_gradients_are_those_of_float32(width: int, rows: int) -> None:
    adapted = layers(width, scale=0.3)
    x, grad = random(rows, width).requires_grad_(), random(rows, 96, seed=1)
    residual = random(rows, 96, seed=2).requires_grad_()
    out = CpuJoinedLinear(adapted, prepacks=True)(x, residual)
    found = [out, *torch.autograd.grad(out, [x, residual, *factors(adapted)], grad)]

    exact = [p.detach().float().requires_grad_() for p in (x, residual, *factors(adapted))]
    parts = [
        linear(exact[0], m.base_layer.weight.float()) + exact[0] @ A.t() @ B.t() * 2
        for m, A, B in zip(adapted, exact[2::2], exact[3::2], strict=True)
    ]
    expected = torch.cat(parts, dim=-1) + exact[1]
    wanted = [expected, *torch.autograd.grad(expected, exact, grad.float())]
    for one, other in zip(found, wanted, strict=True):
        error = (one.detach().float() - other.detach()).norm() / other.detach().norm()
        assert error <= 0.01


@WIDTHS
def test_an_adapter_that_changes(width: int) -> None:
    """What was laid out for a product is laid out anew."""
    adapted, x = layers(width, scale=0.3), random(4, width)
    joined = CpuJoinedLinear(adapted, prepacks=True)
    with torch.no_grad():
        before = joined(x, decoding=True)
        assert torch.equal(joined(x, decoding=True), before)
        for layer in adapted:
            layer.lora_B["default"].weight.zero_()
        plain = torch.cat([layer.base_layer(x) for layer in adapted], dim=-1)
        torch.testing.assert_close(joined(x, decoding=True), plain, rtol=0.01, atol=0.01)
        assert not torch.allclose(before, plain, rtol=0.01, atol=0.01)


def in_one_go(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    with torch.no_grad():
        return joined(x, residual, decoding=True)


def a_few_rows_at_a_time(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    with torch.no_grad():
        parts = [slice(start, start + 8) for start in range(0, len(x), 8)]
        rows = [None if residual is None else residual[part] for part in parts]
        return torch.cat(
            [joined(x[p], own, decoding=True) for p, own in zip(parts, rows, strict=True)]
        )


def scoring(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    with torch.no_grad():
        return joined(x, residual)


def learning(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    return joined(x, residual).detach()


def with_dropout(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    for module in joined.modules:
        if isinstance(module, LoraLinear):
            module.lora_dropout["default"] = nn.Dropout(0.5).train()
    return joined(x.requires_grad_(), residual).detach()


def layer_by_layer(joined: CpuJoinedLinear, x: Tensor, residual: Tensor | None) -> Tensor:
    out = torch.cat([module(x) for module in joined.modules], dim=-1).detach()
    return out if residual is None else residual + out


@WIDTHS
@BIASES
@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize("way", [in_one_go, a_few_rows_at_a_time, learning, layer_by_layer])
def test_a_small_adapter_is_not_rounded_away(
    way: Callable[[CpuJoinedLinear, Tensor, Tensor | None], Tensor],
    has_residual: bool,
    bias: bool,
    width: int,
) -> None:
    """Its share is a twentieth of the outputs' last digits, and shows in their mean."""
    adapted, x = layers(width, scale=0.0017, bias=bias), random(1024, width)
    residual = random(1024, 96, seed=2) if has_residual else None
    joined = CpuJoinedLinear(adapted, prepacks=True)
    parts = zip(factors(adapted)[::2], factors(adapted)[1::2], strict=True)
    wide = x.double()
    share = torch.cat(
        [wide @ A.double().t() @ B.double().t() * 2 for A, B in parts], dim=-1
    ).detach()
    with_adapter = way(joined, x, residual)
    with torch.no_grad():
        for weight in factors(adapted):
            weight.zero_()
    difference = with_adapter.double() - way(joined, x, residual).double()
    last_digit = with_adapter.double().abs().mean() * 2**-8
    assert share.abs().mean() < last_digit / 10
    assert float((difference * share).sum() / share.square().sum()) == pytest.approx(1, abs=0.25)


@WIDTHS
@BIASES
@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize(
    ("way", "rows"),
    [
        (in_one_go, 1024),
        (a_few_rows_at_a_time, 1024),
        (scoring, 1024),
        (scoring, 40),
        (layer_by_layer, 1024),
        (layer_by_layer, 40),
        (with_dropout, 1024),
        (with_dropout, 40),
    ],
)
def test_an_adapter_that_is_0_changes_no_digit(
    way: Callable[[CpuJoinedLinear, Tensor, Tensor | None], Tensor],
    rows: int,
    has_residual: bool,
    bias: bool,
    width: int,
) -> None:
    """So that a new policy's log-ratios are exactly 0, whether it learns or drafts."""
    adapted, x = layers(width, scale=0.3, bias=bias), random(rows, width)
    residual = random(rows, 96, seed=2) if has_residual else None
    joined = CpuJoinedLinear(adapted, prepacks=True)
    with torch.no_grad():
        for layer in adapted:
            layer.lora_B["default"].weight.zero_()
    found = [way(joined, x, residual)]
    if way is scoring:
        found += [learning(joined, x, residual), learning(joined, x.requires_grad_(), residual)]
    activate(adapted, None)
    for with_adapter in found:
        assert torch.equal(with_adapter, way(joined, x, residual))


@WIDTHS
def test_layers_without_adapters_pass_gradients_on(width: int) -> None:
    """Their outputs are those of a pass that wants none."""
    adapted, x, grad = layers(width, scale=0.3), random(200, width), random(200, 96, seed=1)
    residual = random(200, 96, seed=2)
    activate(adapted, None)
    joined = CpuJoinedLinear(adapted, prepacks=True)
    plain = scoring(joined, x, residual)
    out = joined(x.requires_grad_(), residual.requires_grad_())
    assert torch.equal(out, plain)
    by_x, by_residual = torch.autograd.grad(out, [x, residual], grad)
    weights = torch.cat([layer.base_layer.weight for layer in adapted])
    torch.testing.assert_close(by_x.float(), grad.float() @ weights.float(), rtol=0.01, atol=0.01)
    assert torch.equal(by_residual, grad)

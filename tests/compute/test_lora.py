"""The lean LoRA layer against PEFT's own, with the same weights."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from corll.compute.lora import LoraLinear, activate, set_dropout
from tiny_models import build_llama

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


class OneLayer(nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 5, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


def adapted(
    *, lean: bool, bias: bool = False, dtype: torch.dtype = torch.float32, **settings: Any
) -> tuple[Any, Any]:
    """A model of one adapted layer, the adapter away from zero, and the layer."""
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["layer"], **settings)
    if lean:
        config._register_custom_module({nn.Linear: LoraLinear})
    model = peft.get_peft_model(OneLayer(bias=bias).to(dtype), config)
    layer = model.base_model.model.layer
    assert isinstance(layer, LoraLinear) == lean
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval(), layer


def gradients(layer: Any, x: Tensor) -> list[Tensor]:
    weights = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    return list(torch.autograd.grad(layer(x).double().square().sum(), [x, *weights]))


def some_input(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    return x.requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 6)])
def test_values_and_gradients_are_pefts(bias: bool, shape: tuple[int, ...]) -> None:
    """In float64, where the order in which processors sum products does not show."""
    (_, lean), (_, theirs) = (
        adapted(lean=lean, bias=bias, dtype=torch.float64) for lean in (True, False)
    )
    x = some_input(*shape, dtype=torch.float64)
    torch.testing.assert_close(lean(x), theirs(x))
    assert not torch.allclose(lean(x), lean.base_layer(x))
    torch.testing.assert_close(gradients(lean, x), gradients(theirs, x))
    with torch.no_grad():
        torch.testing.assert_close(lean(x), theirs(x))


def test_an_adapter_of_a_bfloat16_base_learns_in_float32() -> None:
    _, layer = adapted(lean=True, dtype=torch.bfloat16)
    x = some_input(3, 6, dtype=torch.bfloat16)
    assert layer(x).dtype == torch.bfloat16
    assert [grad.dtype for grad in gradients(layer, x)[1:]] == [torch.float32] * 2
    _, exact = adapted(lean=True)
    torch.testing.assert_close(layer(x).float(), exact(x.float()), rtol=0.02, atol=0.1)


@BOTH
def test_a_step_shows_at_once(dtype: torch.dtype) -> None:
    """The weights that were cast for one version are not used for the next."""
    _, layer = adapted(lean=True, dtype=dtype)
    x = some_input(3, 6, dtype=dtype)
    weight = layer.lora_B["default"].weight
    with torch.no_grad():
        before = layer(x).clone()
        assert torch.equal(layer(x), before)
        optimizer = torch.optim.Adam([weight], lr=1.0)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        after = layer(x)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(layer(x).detach(), after)  # with a gradient, nothing is kept


def test_switching_the_adapter_off_leaves_the_base_exactly() -> None:
    model, layer = adapted(lean=True, bias=True)
    x = some_input(3, 6)
    with model.disable_adapter():
        assert torch.equal(layer(x), layer.base_layer(x))
    assert not torch.equal(layer(x), layer.base_layer(x))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_one_that_is_0_or_on_other_layers_changes_no_digit_in_bf16(dropout: float) -> None:
    model, layer = adapted(lean=True, bias=True, dtype=torch.bfloat16, lora_dropout=dropout)
    set_dropout(model, active=True)
    x = some_input(50, 6, dtype=torch.bfloat16)
    with model.disable_adapter():
        off = layer(x)
    with torch.no_grad():
        layer.lora_B["default"].weight.zero_()
    assert torch.equal(layer(x), off)
    activate([layer], "an adapter that this layer has not")
    assert torch.equal(layer(x), off)


def test_the_adapter_that_is_active_is_the_one_used() -> None:
    model, layer = adapted(lean=True)
    x = some_input(3, 6)
    first = layer(x).detach()
    second = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["layer"])
    second._register_custom_module({nn.Linear: LoraLinear})
    model.add_adapter("second", second)
    model.set_adapter("second")
    with torch.no_grad():
        assert torch.equal(layer(x), layer.base_layer(x))
        layer.lora_B["second"].weight.fill_(1.0)
        assert not torch.allclose(layer(x), layer.base_layer(x))
        model.set_adapter("default")
        torch.testing.assert_close(layer(x), first)


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_bias": True}])
def test_what_is_not_plain_lora_is_left_to_peft(settings: dict[str, bool]) -> None:
    torch.manual_seed(0)
    (_, lean), (_, theirs) = (adapted(lean=lean, bias=True, **settings) for lean in (True, False))
    x = some_input(3, 6)
    theirs.load_state_dict(lean.state_dict())
    torch.testing.assert_close(lean(x), theirs(x))


def test_a_merged_adapter_is_not_added_twice() -> None:
    _, layer = adapted(lean=True)
    x = some_input(3, 6)
    before = layer(x).detach()
    layer.merge()
    torch.testing.assert_close(layer(x).detach(), before)


class TestDropout:
    def test_it_acts_only_when_switched_on(self) -> None:
        model, layer = adapted(lean=True, lora_dropout=0.5)
        x = some_input(50, 6)
        once = layer(x)
        assert torch.equal(layer(x), once)
        set_dropout(model, active=True)
        assert not torch.equal(layer(x), once)
        assert not torch.equal(layer(x), layer(x))
        set_dropout(model, active=False)
        assert torch.equal(layer(x), once)

    def test_it_is_pefts(self) -> None:
        (one, lean), (other, theirs) = (adapted(lean=b, lora_dropout=0.5) for b in (True, False))
        x = some_input(50, 6)
        results = []
        for model, layer in ((one, lean), (other, theirs)):
            set_dropout(model, active=True)
            torch.manual_seed(3)
            results.append(layer(x))
        torch.testing.assert_close(*results)

    def test_the_base_stays_in_evaluation_mode(self) -> None:
        config = peft.LoraConfig(r=2, lora_dropout=0.5, target_modules="all-linear")
        model = peft.get_peft_model(build_llama(64), config).eval()
        set_dropout(model, active=True)
        training = {name for name, module in model.named_modules() if module.training}
        assert training
        assert all("lora_dropout" in name for name in training)

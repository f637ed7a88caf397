"""Rows of one pass with adapters of their own: each gives what it gives alone."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bf16_tensors import random
from corll.compute.cpu.joined_linear import CpuJoinedLinear
from corll.compute.joined_linear import JoinedLinear
from corll.compute.lora import LoraLinear
from corll.compute.row_adapters import RowAdapters

# PEFT says this of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

RANKS = {"anna": 1, "ben": 3, "cara": 8}
"""Each adapter's rank; `cara` is on the first of both layers alone."""


def layers(dtype: torch.dtype = torch.float32, width: int = 32) -> list[LoraLinear]:
    """Two layers of one input with three adapters."""
    torch.manual_seed(0)
    plain = [nn.Linear(width, size, bias=False).to(dtype) for size in (32, 64)]
    model: Any = nn.Sequential(*plain)
    for name, rank in RANKS.items():
        targets = ["0"] if name == "cara" else ["0", "1"]
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
        config._register_custom_module({nn.Linear: LoraLinear})
        if isinstance(model, peft.PeftModel):
            model.add_adapter(name, config)
        else:
            model = peft.get_peft_model(model, config, adapter_name=name)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
            parameter.requires_grad_("lora_" in name)
    return [getattr(model.base_model.model, name) for name in ("0", "1")]


def expected_of(adapted: list[LoraLinear], x: Tensor, names: list[str | None]) -> Tensor:
    """By the formula, row by row, in float32."""
    rows = []
    for row, name in zip(x.float(), names, strict=True):
        parts = []
        for layer in adapted:
            out = layer.base_layer.weight.float() @ row
            if name in layer.lora_A:
                A, B = layer.lora_A[name].weight, layer.lora_B[name].weight
                out = out + 2 * (B @ (A @ row))
            parts.append(out)
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def test_groups_are_rows_next_to_each_other_and_grow_with_their_tokens() -> None:
    adapters = RowAdapters(["anna", "anna", None, "ben"])
    assert list(adapters.groups(4)) == [
        ("anna", slice(0, 2)),
        (None, slice(2, 3)),
        ("ben", slice(3, 4)),
    ]
    assert [group.rows for group in adapters.groups(12)] == [
        slice(0, 6),
        slice(6, 9),
        slice(9, 12),
    ]
    flat = RowAdapters(["anna", None, None], sizes=[5, 1, 2])
    assert list(flat.groups(8)) == [("anna", slice(0, 5)), (None, slice(5, 8))]


def test_a_product_by_hand() -> None:
    """W = 1, and adapters that add 2 · 3 · x and 2 · 5 · x."""
    layer = layers(width=1)[0]
    with torch.no_grad():
        layer.base_layer.weight.fill_(1)
        for name, factor in (("anna", 3.0), ("cara", 5.0)):
            layer.lora_A[name].weight.zero_()[0] = 1.0
            layer.lora_B[name].weight.fill_(factor)
        x = torch.tensor([[1.0], [2.0], [3.0]])
        found = JoinedLinear([layer])(x, row_adapters=RowAdapters(["anna", None, "cara"]))
    assert found[:, 0].tolist() == [1 + 6, 2, 3 + 30]


mixes = st.lists(st.sampled_from(["anna", "ben", "cara", None]), min_size=1, max_size=12)


@settings(max_examples=25)
@given(mixes, st.integers(1, 3), st.booleans())
def test_rows_are_those_of_the_formula_and_so_are_gradients(
    names: list[str | None], tokens: int, decoding: bool
) -> None:
    adapted = layers()
    x = random(len(names) * tokens, 32).float().requires_grad_()
    residual = random(len(x), 96, seed=1).float().requires_grad_()
    grad = random(len(x), 96, seed=2).float()
    of_tokens = [name for name in names for _ in range(tokens)]
    expected = expected_of(adapted, x, of_tokens) + residual
    matrices = [
        part[name].weight for m in adapted for part in (m.lora_A, m.lora_B) for name in part
    ]
    wanted = torch.autograd.grad(expected, [x, residual, *matrices], grad, allow_unused=True)
    for joined in (JoinedLinear(adapted), CpuJoinedLinear(adapted, prepacks=True)):
        adapters = RowAdapters(names)
        with torch.no_grad():
            drawn = joined(x, residual.clone(), row_adapters=adapters, decoding=decoding)
        torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
        found = joined(x, residual, row_adapters=adapters)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        grads = torch.autograd.grad(found, [x, residual, *matrices], grad, allow_unused=True)
        for one, other in zip(grads, wanted, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("kernel_mode")
@pytest.mark.parametrize("rows", [2, 150])
def test_in_bf16_rows_are_those_of_float32_up_to_rounding(rows: int) -> None:
    adapted = layers(torch.bfloat16)
    names = ["anna", "ben", None, "cara"]
    x = random(4 * rows, 32)
    of_rows = [name for name in names for _ in range(rows)]
    joined = CpuJoinedLinear(adapted, prepacks=True)
    settled: dict[Any, Any] = {}
    adapters = RowAdapters(of_rows)
    with torch.no_grad():
        expected = expected_of(adapted, x, of_rows)
        for _ in range(2):
            found = joined(x, row_adapters=adapters, decoding=True, settled=settled).float()
            assert (found - expected).norm() / expected.norm() <= 0.01


def test_what_is_not_a_number_stays_in_its_own_rows() -> None:
    adapted, x = layers(), random(4, 32).float()
    with torch.no_grad():
        for layer in adapted:
            layer.lora_B["ben"].weight.fill_(float("nan"))
        names = ["anna", "ben", "anna", None]
        found = CpuJoinedLinear(adapted, prepacks=True)(x, row_adapters=RowAdapters(names))
    assert found.isnan().all(-1).tolist() == [False, True, False, False]
    assert not found[[0, 2, 3]].isnan().any()

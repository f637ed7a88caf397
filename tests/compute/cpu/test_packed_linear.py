"""Products with the second, prepacked copy of a weight against plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from corll.compute.cpu.packed_linear import PackedLinear, can_prepack


def tensors(rows: int, *, bias: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    x, weight, b = (
        torch.randn(s, generator=generator).to(dtype) for s in ((rows, 64), (32, 64), (32,))
    )
    return x, weight, b if bias else None


@pytest.mark.parametrize("rows", [1, 8, 128, 129])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_the_plain_one(rows: int, bias: bool, any_dtype: str) -> None:
    dtype = getattr(torch, any_dtype)
    x, weight, b = tensors(rows, bias=bias, dtype=dtype)
    residual = torch.randn(rows, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    layer = PackedLinear(weight, b, prepacks=True)
    expected = linear(x.float(), weight.float(), None if b is None else b.float())
    tolerance = {"rtol": 0.01, "atol": 0.05} if dtype == torch.bfloat16 else {}
    with torch.no_grad():
        for _ in range(2):  # the first call makes the copy
            torch.testing.assert_close(layer(x, decoding=True).float(), expected, **tolerance)
            torch.testing.assert_close(
                layer(x, residual, decoding=True).float(), expected + residual.float(), **tolerance
            )


def test_only_bf16_weights_on_a_cpu_get_a_second_copy() -> None:
    _, weight, _ = tensors(1, bias=False, dtype=torch.float32)
    assert not can_prepack(weight)
    assert can_prepack(weight.bfloat16()) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert not PackedLinear(weight.bfloat16(), None, prepacks=False).prepacks


@pytest.mark.usefixtures("kernel_mode")
def test_with_gradients_the_weight_itself_is_used() -> None:
    x, weight, _ = tensors(4, bias=False, dtype=torch.bfloat16)
    x.requires_grad_()
    layer = PackedLinear(weight, None, prepacks=True)
    (grad,) = torch.autograd.grad(layer(x, decoding=True).sum(), x)
    torch.testing.assert_close(grad, weight.sum(0).expand_as(grad), rtol=0.02, atol=0.02)

"""Products by tiles against the same in float64, forward and on the way back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import linear

from bf16_tensors import UNIT, random
from corll.compute.cpu.kernels import CpuKernels, compiled_kernels
from corll.compute.cpu.packed_linear import PackedLinear
from corll.compute.cpu.tiled_products import TiledFactors, TiledWeight, in_tiles

steps = st.integers(1, 5).map(lambda count: 32 * count)


@pytest.fixture(scope="module")
def kernels() -> CpuKernels:
    found = compiled_kernels()
    if found is None or not found.have_tiles:
        pytest.skip("this processor, compiler or system has no tiles (AMX)")
    return found


def assert_sum_rounded_once(found: Tensor, exact: Tensor, low: Tensor, factor: Tensor) -> None:
    """`low`, on its way to be multiplied by the factor, is rounded too."""
    bound = UNIT * (exact.abs() + low.abs() @ factor.double().abs()) * 1.01 + 1e-3
    assert bool(((found.double() - exact).abs() <= bound).all())


@settings(max_examples=40)
@given(st.integers(1, 100), steps, steps, st.integers(1, 40), st.booleans(), st.booleans())
def test_a_weight_and_its_adapter(
    kernels: CpuKernels,
    rows: int,
    width: int,
    columns: int,
    rank: int,
    has_bias: bool,
    has_residual: bool,
) -> None:
    x, weight = random(rows, width), random(columns, width, seed=1)
    A, B = random(rank, width, seed=2), random(columns, rank, seed=3)
    bias = random(columns, seed=4) if has_bias else None
    residual = random(rows, columns, seed=5) if has_residual else None
    low = x.double() @ A.double().t()
    exact = x.double() @ weight.double().t() + low @ B.double().t()
    for addend in (bias, residual):
        exact = exact if addend is None else exact + addend.double()
    found, found_low = kernels.tiled_product(
        x, in_tiles(weight), TiledFactors((A, B)).forward, bias=bias, residual=residual
    )
    assert_sum_rounded_once(found, exact, low, B.t())
    torch.testing.assert_close(found_low[:, :rank].double(), low, rtol=UNIT * 1.01, atol=1e-3)
    assert not found_low[:, rank:].any()


@settings(max_examples=10)
@given(st.integers(1, 70), st.integers(1, 40))
def test_the_way_back(kernels: CpuKernels, rows: int, rank: int) -> None:
    weight, grad = random(96, 64), random(rows, 96, seed=1)
    A, B = random(rank, 64, seed=2), random(96, rank, seed=3)
    low = grad.double() @ B.double()
    backward = TiledFactors((A, B)).backward
    found, found_low = kernels.tiled_product(grad, in_tiles(weight.t()), backward)
    assert_sum_rounded_once(found, grad.double() @ weight.double() + low @ A.double(), low, A)
    torch.testing.assert_close(found_low[:, :rank].double(), low, rtol=UNIT * 1.01, atol=1e-3)


def test_more_rows_and_columns_than_are_kept_near(kernels: CpuKernels) -> None:
    x, weight = random(700, 960), random(1024, 960, seed=1)
    found, low = kernels.tiled_product(x, in_tiles(weight), None)
    exact = x.double() @ weight.double().t()
    torch.testing.assert_close(found.double(), exact, rtol=UNIT * 1.01, atol=1e-3)
    assert low.shape == (700, 0)


def test_a_product_does_not_hang_on_the_other_rows(kernels: CpuKernels) -> None:
    """So a text's log-probability is the same whatever is scored beside it."""
    x, weight = random(100, 96), in_tiles(random(64, 96, seed=1))
    whole, _ = kernels.tiled_product(x, weight, None)
    for start, stop in ((0, 1), (3, 20), (17, 100)):
        part, _ = kernels.tiled_product(x[start:stop].contiguous(), weight, None)
        assert torch.equal(part, whole[start:stop])


def test_what_is_not_a_number_stays_in_its_row(kernels: CpuKernels) -> None:
    x = random(3, 32)
    x[1, 5] = torch.nan
    found, _ = kernels.tiled_product(x, in_tiles(random(32, 32, seed=1)), None)
    assert found.isnan().all(-1).tolist() == [False, True, False]
    assert not found[[0, 2]].isnan().any()


def test_where_the_result_goes(kernels: CpuKernels) -> None:
    layer = PackedLinear(random(64, 32), None, prepacks=True)
    memory = random(70, 64, seed=2)
    found = layer(random(70, 32, seed=1), into=memory)
    assert found is memory
    assert torch.equal(found, layer(random(70, 32, seed=1)))


@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (32, 10_016)])
def test_weights_that_are_not_taken(kernels: CpuKernels, shape: tuple[int, int]) -> None:
    assert TiledWeight.of(torch.zeros(shape).bfloat16()) is None
    assert TiledWeight.of(torch.zeros(shape)) is None
    assert isinstance(TiledWeight.of(torch.zeros(64, 32).bfloat16()), TiledWeight)


@pytest.mark.parametrize("rows", [1, 64, 129])
@pytest.mark.parametrize("bias", [False, True])
def test_a_frozen_layer(kernels: CpuKernels, rows: int, bias: bool) -> None:
    weight, b = random(96, 64), random(96, seed=1) if bias else None
    layer = PackedLinear(weight, b, prepacks=True)
    assert layer.takes_adapter(random(rows, 64), decoding=True)
    x, residual = random(rows, 64, seed=2), random(rows, 96, seed=3)
    expected = linear(x.double(), weight.double(), None if b is None else b.double())
    close = {"rtol": UNIT * 1.01, "atol": 1e-3}
    torch.testing.assert_close(layer(x, decoding=True).double(), expected, **close)
    found = layer(x, residual, decoding=True).double()
    torch.testing.assert_close(found, expected + residual.double(), **close)
    grad = random(rows, 96, seed=4)
    expected = grad.double() @ weight.double()
    torch.testing.assert_close(layer.backward(grad).double(), expected, **close)

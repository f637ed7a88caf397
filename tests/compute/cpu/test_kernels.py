"""Compiled passes against the same work in float64, and what happens where they cannot be built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import rms_norm, silu
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from bf16_tensors import UNIT, random
from corll.compute.cpu import kernels as module
from corll.compute.cpu.attention import attend_rows
from corll.compute.cpu.compiled_cache import CompiledBranchingLayer
from corll.compute.cpu.kernels import (
    FEWEST_PER_LIKELIEST,
    CpuKernels,
    compiled_kernels,
    kernels_for,
)
from corll.compute.cpu.tiled_products import TiledWeight
from corll.compute.packing import FlatRows, build_tree, row_span
from corll.errors import ConfigError


@pytest.fixture(scope="module")
def kernels() -> CpuKernels:
    found = compiled_kernels()
    if found is None:
        pytest.skip("no compiled kernels here: no Linux, no C compiler, or switched off")
    return found


def assert_rounded_once(found: Tensor, exact: Tensor) -> None:
    """`exact` in float64; one rounding to bf16, and a little for the sums in float32."""
    torch.testing.assert_close(found.double(), exact, rtol=UNIT * 1.01, atol=1e-5)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 700))
def test_norm_and_its_gradient(kernels: CpuKernels, rows: int, width: int) -> None:
    x, weight, grad = random(rows, width), random(width, seed=1), random(rows, width, seed=2)
    exact = x.double().requires_grad_()
    normed = rms_norm(exact, (width,), weight.double(), 1e-5)
    assert_rounded_once(kernels.rms_norm(x, weight, 1e-5), normed.detach())
    (expected,) = torch.autograd.grad(normed, exact, grad.double())
    found = kernels.rms_norm_backward(grad, x, weight, 1e-5)
    # Its terms cancel: the error is one of float32 sums as large as the terms.
    torch.testing.assert_close(found.double(), expected, rtol=UNIT * 1.01, atol=1e-4)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 700), st.sampled_from([1.0, 30.0, 1000.0]))
def test_swiglu_and_its_gradient(kernels: CpuKernels, rows: int, width: int, scale: float) -> None:
    gate_up, grad = random(rows, 2 * width, scale=scale), random(rows, width, seed=2)
    exact = gate_up.double().requires_grad_()
    gate, up = exact.chunk(2, dim=-1)
    gated = silu(gate) * up
    assert_rounded_once(kernels.swiglu(gate_up), gated.detach())
    (expected,) = torch.autograd.grad(gated, exact, grad.double())
    assert_rounded_once(kernels.swiglu_backward(grad, gate_up), expected)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9000), st.sampled_from([1.0, 20.0]))
def test_normalizers_and_probabilities(
    kernels: CpuKernels, rows: int, vocabulary: int, scale: float
) -> None:
    logits = random(rows, vocabulary, scale=scale)
    log_z = kernels.log_normalizers(logits)
    torch.testing.assert_close(log_z.double(), logits.double().logsumexp(-1), rtol=1e-6, atol=1e-5)
    chosen = torch.arange(0, rows, 2)
    expected = -logits.double()[chosen].softmax(-1)
    assert_rounded_once(kernels.minus_probabilities(logits, log_z, chosen), expected)


def test_a_logit_of_minus_infinity_has_no_probability(kernels: CpuKernels) -> None:
    logits = torch.tensor([[0.0, -math.inf, 0.0]]).bfloat16()
    log_z = kernels.log_normalizers(logits)
    assert log_z.item() == pytest.approx(math.log(2))
    found = kernels.minus_probabilities(logits, log_z, torch.tensor([0]))
    assert found.tolist() == [[-0.5, 0.0, -0.5]]


def test_what_is_not_a_number_stays_so(kernels: CpuKernels) -> None:
    x = torch.tensor([[math.nan, 1.0]]).bfloat16()
    assert kernels.rms_norm(x, torch.ones(2).bfloat16(), 1e-5).isnan().all()
    assert kernels.swiglu(x).isnan().all()


def test_rounding_is_to_the_nearest_and_to_even(kernels: CpuKernels) -> None:
    """1 · 1 + a · 1 of bf16 numbers, where the sum lies between two of them."""
    out = torch.ones(1, 16).bfloat16()
    additions = [UNIT / 2, UNIT, 1.5 * UNIT, 3 * UNIT, 2.9 * UNIT]
    B = torch.zeros(1, 16)
    B[0, : len(additions)] = torch.tensor(additions)
    one = torch.ones(1, 1).bfloat16()
    found = kernels.add_low_rank_(out, one, (one, kernels.in_pairs(B.bfloat16())))
    expected = (1 + B.bfloat16().float()).bfloat16()
    assert torch.equal(found, expected)


@settings(max_examples=20)
@given(st.integers(1, 33), st.integers(1, 100), st.integers(1, 24), st.integers(1, 5))
def test_products_of_low_rank(
    kernels: CpuKernels, rows: int, width: int, rank: int, columns: int
) -> None:
    x, A = random(rows, width), random(rank, width, seed=1)
    B, out = random(rank, 16 * columns, seed=2), random(rows, 16 * columns, seed=3)
    low = x.double() @ A.double().t()
    expected = out.double() + low @ B.double()
    found = kernels.add_low_rank_(out, x, (A.t(), kernels.in_pairs(B)))
    # What lies between the two products may be rounded too.
    bound = UNIT * (expected.abs() + low.abs() @ B.double().abs()) * 1.01 + 1e-4
    assert bool(((found.double() - expected).abs() <= bound).all())


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 200), st.sampled_from([0.01, 5.0]))
def test_the_likeliest(kernels: CpuKernels, rows: int, count: int, more: int, scale: float) -> None:
    """Of equal logits, which a small scale makes, those of the lower ids."""
    logits = (random(rows, FEWEST_PER_LIKELIEST * count + more, scale=scale) + 3).bfloat16()
    top, ids, log_z = kernels.likeliest(logits, count)
    expected, order = logits.float().sort(dim=-1, descending=True, stable=True)
    assert torch.equal(top, expected[:, :count])
    assert torch.equal(ids, order[:, :count])
    torch.testing.assert_close(log_z, logits.float().logsumexp(-1))


def test_the_likeliest_where_all_are_in_the_last_block(kernels: CpuKernels) -> None:
    logits = torch.arange(FEWEST_PER_LIKELIEST * 4 + 7.0)[None].bfloat16()
    top, ids, _ = kernels.likeliest(logits, 4)
    expected, order = logits.float().sort(dim=-1, descending=True, stable=True)
    assert torch.equal(top, expected[:, :4])
    assert torch.equal(ids, order[:, :4])


@pytest.mark.usefixtures("kernel_mode")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=4),
    st.sampled_from([(2, 1), (3, 3), (9, 3)]),
)
def test_attention_to_rows_is_that_of_float32_up_to_rounding(
    shapes: list[list[int]], heads_and_groups: tuple[int, int]
) -> None:
    (H, G), D = heads_and_groups, 16
    trees = [
        build_tree((1,) * rest[0], [(n + 2,) * size for n, size in enumerate(rest)])
        for rest in shapes
    ]
    M = sum(map(len, trees))
    heads, grad = random(M, H + 2 * G, D), random(M, H, D, seed=1)
    angles = random(M, D // 2, seed=2, scale=3.0).repeat(1, 2)
    cos, sin = angles.cos(), angles.sin()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        own = heads.to(dtype).requires_grad_()
        rows = FlatRows(tuple(spans(trees, dtype)))
        out = attend_rows(own, cos.to(dtype), sin.to(dtype), rows, groups=G, scaling=0.25)
        results.append((out.detach(), *torch.autograd.grad(out, own, grad.to(dtype))))
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.bfloat16
        # Queries, keys, scores and weights are each rounded on the way.
        error = (found.float() - expected).norm() / expected.norm()
        assert error <= 0.02


def spans(trees: list, dtype: torch.dtype) -> Iterator:  # type: ignore[type-arg]
    start = 0
    for tree in trees:
        yield row_span(start, tree.visibility(), dtype=dtype, device=torch.device("cpu"))
        start += len(tree)


@settings(max_examples=20)
@given(
    st.sampled_from([(1, 1), (2, 1), (3, 3), (9, 3), (10, 2)]),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_attention_of_one_more_token(
    kernels: CpuKernels, heads_and_groups: tuple[int, int], length: int, branches: int, hidden: int
) -> None:
    """Against the whole row in float32: prompts, one token drawn, a second after that."""
    (H, G), D, P = heads_and_groups, 16, 2
    prompts = random(P, G, length, 2 * D)
    layer = CompiledBranchingLayer(branches, length + 2, kernels)
    keys, values = prompts.split(D, dim=-1)
    layer.update(keys, values)
    N = P * branches
    mask = torch.zeros(N, 1, 1, length + 2).bfloat16()
    mask[..., : min(hidden, length)] = torch.finfo(torch.bfloat16).min
    seen = prompts.repeat_interleave(branches, 0).float()
    for step in range(2):
        heads = random(N, H + 2 * G, D, seed=step)
        angles = random(N, D // 2, seed=step + 5, scale=3.0).repeat(1, 2)
        cos, sin = angles.cos(), angles.sin()
        own = mask[..., : length + 1 + step]
        found = layer.attend_token(heads, cos, sin, own, 0.25)
        q, k, v = heads.float().split([H, G, G], dim=1)
        q, k = apply_rotary_pos_emb(q, k, cos.float(), sin.float())
        seen = torch.cat([seen, torch.cat([k, v], dim=-1)[:, :, None]], dim=2)
        K, V = (part.repeat_interleave(H // G, 1) for part in seen.split(D, dim=-1))
        weights = ((q[:, :, None] @ K.transpose(2, 3)) * 0.25 + own.float()).softmax(-1)
        torch.testing.assert_close(found.float(), (weights @ V)[:, :, 0], rtol=0.03, atol=0.03)


class TestWithoutThem:
    def test_other_tensors_are_not_taken(self) -> None:
        assert kernels_for(torch.zeros(2, 2)) is None
        assert kernels_for(torch.zeros(2, 2, dtype=torch.bfloat16, device="meta")) is None

    @pytest.fixture
    def asked_again(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """As in a new process, with no mode forced."""
        monkeypatch.delenv("CORLL_CPU_KERNELS", raising=False)
        compiled_kernels.cache_clear()
        yield
        compiled_kernels.cache_clear()

    @pytest.fixture
    def anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_again: None) -> Path:
        """As in a new process, with nothing built yet."""
        monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
        return tmp_path

    def test_they_can_be_switched_off(self, anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CORLL_CPU_KERNELS", "off")
        assert compiled_kernels() is None
        assert not list(anew.rglob("*.so"))

    def test_no_compiler(
        self, anew: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("CC", "no-such-compiler")
        with caplog.at_level("INFO"):
            assert compiled_kernels() is None
        assert "there is no C compiler" in caplog.text

    def test_a_compiler_that_fails(
        self, anew: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = anew / "cc"
        broken.write_text("#!/bin/sh\necho unknown option >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("CC", str(broken))
        with caplog.at_level("INFO"):
            assert compiled_kernels() is None
        assert "unknown option" in caplog.text
        assert not list(anew.rglob("*.so"))

    def test_a_cache_that_cannot_be_written(
        self, anew: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (anew / "file").write_text("")
        monkeypatch.setenv("CORLL_CACHE", str(anew / "file"))
        assert compiled_kernels() is None

    def test_a_mode_that_there_is_not_is_refused(
        self, anew: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CORLL_CPU_KERNELS", "on")
        with pytest.raises(ConfigError, match="'on'; it is one of auto, off, plain, tiles"):
            compiled_kernels()

    @pytest.mark.parametrize("mode", ["plain", "tiles"])
    def test_a_mode_that_is_forced_and_cannot_be_built_is_refused(
        self, anew: Path, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        monkeypatch.setenv("CORLL_CPU_KERNELS", mode)
        monkeypatch.setenv("CC", "no-such-compiler")
        with pytest.raises(ConfigError, match=f"is '{mode}', but .* there is no C compiler"):
            compiled_kernels()

    def test_tiles_that_are_forced_are_there_or_missed(
        self, kernels: CpuKernels, asked_again: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CORLL_CPU_KERNELS", "tiles")
        if not kernels.have_tiles:
            with pytest.raises(ConfigError, match=r"has no tiles \(AMX\); choose plain"):
                compiled_kernels()
        else:
            found = compiled_kernels()
            assert found is not None
            assert found.have_tiles

    def test_plain_passes_leave_tiles_alone(
        self, kernels: CpuKernels, asked_again: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CORLL_CPU_KERNELS", "plain")
        found = compiled_kernels()
        assert found is not None
        assert not found.have_tiles
        assert TiledWeight.of(random(64, 32)) is None

    def test_they_are_built_once(self, anew: Path, kernels: CpuKernels) -> None:
        assert compiled_kernels() is not None
        (library,) = (anew / "cache").iterdir()
        built = library.stat().st_mtime_ns
        compiled_kernels.cache_clear()
        assert compiled_kernels() is not None
        assert library.stat().st_mtime_ns == built
        assert module.build() == library

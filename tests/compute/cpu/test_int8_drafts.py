"""Drafts by weights in int8: what the product computes, and what stays as it is."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from corll import LoraConfig, Policy
from corll.compute.cpu import packed_linear
from corll.compute.cpu.kernels import CpuKernels, build, compiled_kernels
from corll.compute.cpu.quantized_weight import QuantizedWeight, quantized_bytes
from corll.config import Int8Drafts, SamplingConfig
from corll.errors import ConfigError
from tiny_models import build_llama, build_tokenizer, perturb_adapter

DTYPES = [torch.float32, torch.bfloat16]
PROMPTS = ["Dear Ms Lopez, the parcel is late.", "The hotel was"]


@pytest.fixture(scope="module")
def kernels() -> CpuKernels:
    kernels = compiled_kernels()
    if kernels is None or not kernels.have_int8:
        pytest.skip("this processor does not multiply bytes (AVX2), or no compiler is here")
    return kernels


@pytest.fixture(scope="module", params=["native", "haswell"])
def product(kernels: CpuKernels, request: pytest.FixtureRequest) -> CpuKernels:
    """The product as it is built for this processor, and for one without VNNI."""
    return CpuKernels(ctypes.CDLL(str(build(request.param))), may_use_tiles=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose layers have a multiple of 64 inputs."""
    place = tmp_path_factory.mktemp("wide")
    tokenizer = build_tokenizer(chat=False)
    build_llama(-(-len(tokenizer) // 16) * 16, hidden_size=128).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def policies(folder: Path, dtype: str) -> tuple[Policy, Policy]:
    """Two of the same weights and a taught adapter; the first drafts in int8."""
    both = []
    for int8 in (True, False):
        policy = Policy.load(folder, dtype=dtype, lora=LoraConfig(lora_r=4), int8_drafts=int8)
        perturb_adapter(policy, seed=1)
        both.append(policy)
    return both[0], both[1]


def rounded_in_groups(x: Tensor) -> Tensor:
    """x as eight bits with a scale for each 64 neighbours hold it, in float64."""
    groups = x.double().view(len(x), -1, 64)
    scales = groups.abs().amax(-1, keepdim=True) / 127
    return (groups / scales).round().mul(scales).view(x.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 11, 70])
@pytest.mark.parametrize("columns", [16, 48, 80])
def test_a_product_is_that_of_what_both_sides_are_rounded_to(
    product: CpuKernels, dtype: torch.dtype, rows: int, columns: int
) -> None:
    torch.manual_seed(rows)
    x, weight = torch.randn(rows, 192).to(dtype), torch.randn(columns, 192).to(dtype)
    bias, added = torch.randn(columns).to(dtype), torch.randn(rows, columns).to(dtype)
    # Scales of 2^-n hold the weight's rounded values exactly, so that no scale is rounded.
    weight = (weight * 20).round().clamp(-127, 127) / 32
    weight.view(columns, -1, 64)[..., 0] = 127 / 32
    expected = rounded_in_groups(x) @ weight.double().t()
    found = product.quantized_product(x, *product.quantized(weight), bias=bias, added=added)
    expected = expected + bias.double() + added.double()
    allowed = 1e-5 if dtype == torch.float32 else 2**-8
    assert (found.double() - expected).abs().max() <= allowed * expected.abs().max()
    into = torch.empty_like(found)
    again = product.quantized_product(
        x, *product.quantized(weight), bias=bias, added=added, into=into
    )
    assert again is into
    assert torch.equal(into, found)
    plain = product.quantized_product(x, *product.quantized(weight))
    assert (plain.double() + bias + added - expected).abs().max() <= allowed * expected.abs().max()


def test_nothing_and_a_single_value_are_exact(product: CpuKernels) -> None:
    x, weight = torch.zeros(2, 64), torch.zeros(16, 64)
    x[1, 5], weight[3, 5] = 2.0, 0.5
    expected = torch.zeros(2, 16)
    expected[1, 3] = 1.0
    assert torch.allclose(
        product.quantized_product(x, *product.quantized(weight)), expected, atol=0.004
    )
    assert torch.equal(product.quantized_product(x[:1], *product.quantized(weight)), expected[:1])


def test_a_random_product_is_off_by_a_hundredth(product: CpuKernels) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 512), torch.randn(64, 512)
    found, expected = product.quantized_product(x, *product.quantized(weight)), x @ weight.t()
    assert 1e-3 < float((found - expected).norm() / expected.norm()) < 0.015


def test_its_bytes_are_counted(kernels: CpuKernels) -> None:
    weight = torch.randn(32, 128)
    assert quantized_bytes(weight) == sum(part.nbytes for part in kernels.quantized(weight))


def test_what_does_not_divide_into_groups_is_not_quantized(kernels: CpuKernels) -> None:
    assert QuantizedWeight.of(torch.randn(16, 64)) is not None
    assert QuantizedWeight.of(torch.randn(16, 96)) is None
    assert QuantizedWeight.of(torch.randn(24, 64)) is None
    assert QuantizedWeight.of(torch.randn(16, 64).half()) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_drafts_are_near_and_scores_the_same(kernels: CpuKernels, folder: Path, dtype: str) -> None:
    int8, plain = policies(folder, dtype)
    assert int8.describe()["weights of drafts"] == "int8"
    assert plain.describe()["weights of drafts"] == "the model's own"
    likeliest = SamplingConfig(top_k=1)
    drawn = [policy.start(PROMPTS, 1, 8, [1, 2], sampling=likeliest) for policy in (int8, plain)]
    for policy, decoding in zip((int8, plain), drawn, strict=True):
        policy.advance(decoding)
        policy.advance(decoding)
    assert torch.equal(drawn[0].token_ids[:, 0], drawn[1].token_ids[:, 0])
    logits = [decoding.logits.float().log_softmax(-1) for decoding in drawn]
    divergence = (logits[1].exp() * (logits[1] - logits[0])).sum(-1).mean()
    assert 1e-9 < float(divergence) < 0.01
    texts = [" Dear Anna.", " clean but noisy."]
    assert torch.equal(int8.logprobs(PROMPTS, texts), plain.logprobs(PROMPTS, texts))


def test_log_probabilities_are_those_of_the_weights_that_score(
    kernels: CpuKernels, folder: Path
) -> None:
    int8, _ = policies(folder, "float32")
    sampled = [sample for row in int8.sample(PROMPTS, 2, 8) for sample in row]
    scored = int8.logprobs([p for p in PROMPTS for _ in range(2)], sampled)
    assert [sample.logprob for sample in sampled] == pytest.approx(scored.tolist(), abs=1e-4)
    decoding = int8.start(PROMPTS, 2, 8, [0, 0])
    int8.advance(decoding)
    assert {branch.logprob for branch in decoding.branches()} == {None}


def test_what_is_wanted_exactly_is_drawn_by_the_models_own_weights(
    kernels: CpuKernels, folder: Path
) -> None:
    int8, plain = policies(folder, "float32")
    greedy: Any = {"sampling": SamplingConfig(top_k=1)}
    exact = int8.start(PROMPTS, 1, 8, [0, 0], exactly=True, **greedy)
    expected = plain.start(PROMPTS, 1, 8, [0, 0], **greedy)
    other = int8.start(PROMPTS, 1, 8, [0, 0], **greedy)
    for _ in range(4):  # in turns: one leaves the other as it is
        int8.advance(exact), plain.advance(expected), int8.advance(other)
    assert torch.equal(exact.logits, expected.logits)
    assert not torch.equal(other.logits, expected.logits)
    assert exact.branches() == expected.branches()


def test_memory_counts_the_weights_in_int8(kernels: CpuKernels, folder: Path) -> None:
    int8, plain = policies(folder, "float32")
    matrices = [w for _, w in int8.base.weights() if w.dim() == 2]
    expected = sum(quantized_bytes(w) for w in matrices if QuantizedWeight.of(w) is not None)
    more = int8.working_set().copies - plain.working_set().copies
    assert more * 2**30 == pytest.approx(expected)


def test_by_itself_int8_is_chosen_where_there_are_no_tiles(
    kernels: CpuKernels, folder: Path
) -> None:
    policy = Policy.load(folder, dtype="bfloat16", int8_drafts=None)
    wanted = "the model's own" if kernels.have_tiles else "int8"
    assert policy.describe()["weights of drafts"] == wanted


def test_of_a_small_model_alone_int8_is_chosen_where_there_is_to_be_little_memory(
    kernels: CpuKernels, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels.have_tiles:
        pytest.skip("this processor has tiles, beside which int8 is not quicker")
    size = Policy.load(folder, dtype="float32").base.model.get_memory_footprint()
    for limit, wanted in ((size, "int8"), (size - 1, "the model's own")):
        monkeypatch.setattr(packed_linear, "SMALL_MODEL_BYTES", limit)
        small = Policy.load(folder, dtype="float32", int8_drafts="small")
        assert small.describe()["weights of drafts"] == wanted
        large = Policy.load(folder, dtype="float32", int8_drafts=None)
        assert large.describe()["weights of drafts"] == "int8"


def test_where_it_cannot_be_had_it_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="int8"):
        Policy.load(folder, dtype="float32", backend="plain", int8_drafts=True)
    for where_it_can_be in (None, "small"):
        policy = Policy.load(
            folder, dtype="float32", backend="plain", int8_drafts=cast(Int8Drafts, where_it_can_be)
        )
        assert policy._network.backend.drafts_exactly


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_share_a_pass_in_int8_too(folder: Path, dtype: str) -> None:
    one, _ = policies(folder, dtype)
    other = one.with_adapter(lora=LoraConfig(lora_r=2))
    perturb_adapter(other, seed=2)
    prompts = [one.codec.encode_prompt(prompt) for prompt in PROMPTS]
    together = one.begin(prompts, 1, 12, [3, 3], drawers=[one, other])
    while one.advance(together):
        pass
    for policy, prompt, branch in zip((one, other), prompts, together.branches(), strict=True):
        alone = policy.begin([prompt], 1, 12, [3])
        while policy.advance(alone):
            pass
        assert branch.token_ids == alone.branches()[0].token_ids
        assert branch.logprob is None

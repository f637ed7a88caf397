"""Grouped attention against torch's own kernel, in value and in gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from corll.compute import packing
from corll.compute.cpu import attention
from corll.compute.cpu.attention import attend_rows, grouped_attention, use_grouped_attention
from corll.compute.packing import FlatRows, build_tree, row_span
from corll.policy import Policy
from tiny_models import build_llama

B, H, G, Q, T, D = 2, 6, 3, 5, 7, 8


def tensors(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(B, H, Q, D), (B, G, T, D), (B, G, T, D)]
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]


def peer(query: Any, key: Any, value: Any, mask: Any, scaling: float | None) -> torch.Tensor:
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2)


def additive_mask() -> torch.Tensor:
    visible = torch.ones(B, 1, Q, T, dtype=torch.bool).tril(diagonal=T - Q)
    visible[1, :, :, 0] = False
    return torch.zeros(B, 1, Q, T).masked_fill(~visible, torch.finfo(torch.float32).min)


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("masked", [True, False])
def test_values_and_gradients_are_torchs(scaling: float | None, masked: bool) -> None:
    mask = additive_mask() if masked else None
    ours, theirs = tensors(), tensors()
    found, _ = grouped_attention(torch.nn.Module(), *ours, mask, scaling=scaling)
    expected = peer(*theirs, mask, scaling)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize(("at_once", "blocks"), [(1, 5), (2, 3), (4, 2), (5, 1), (128, 1)])
@pytest.mark.parametrize("sees", ["earlier", "all", "none"])
def test_queries_are_taken_in_blocks_with_the_keys_that_they_see(
    monkeypatch: pytest.MonkeyPatch, at_once: int, blocks: int, sees: str
) -> None:
    mask = additive_mask()
    if sees != "earlier":
        mask = torch.full_like(mask, 0.0 if sees == "all" else torch.finfo(mask.dtype).min)
    lengths = []
    seen = attention._seen

    def counted(block: torch.Tensor) -> int:
        lengths.append(seen(block))
        return lengths[-1]

    monkeypatch.setattr(attention, "_QUERIES_AT_ONCE", at_once)
    monkeypatch.setattr(attention, "_seen", counted)
    found, _ = grouped_attention(torch.nn.Module(), *tensors(), mask)
    torch.testing.assert_close(found, peer(*tensors(), mask, None))
    assert len(lengths) == blocks
    if sees == "earlier":
        assert lengths[0] == (T if at_once == 1 else min(T - Q + at_once, T))
        assert lengths[-1] == T


@pytest.mark.usefixtures("kernel_mode")
def test_bfloat16_stays_within_its_rounding() -> None:
    found, _ = grouped_attention(
        torch.nn.Module(), *tensors(torch.bfloat16), additive_mask().bfloat16()
    )
    exact, _ = grouped_attention(torch.nn.Module(), *tensors(), additive_mask())
    torch.testing.assert_close(found.float(), exact, rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    "setting", [{"dropout": 0.1}, {"softcap": 30.0}, {"s_aux": 1.0}, {"indices": 0}]
)
def test_what_it_does_not_know_it_refuses(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="grouped attention knows no"):
        grouped_attention(torch.nn.Module(), *tensors(), None, **setting)


def test_it_replaces_the_fused_kernel_on_cpus_and_nothing_else(tiny_model_folder: Path) -> None:
    policy = Policy.load(tiny_model_folder, device="cpu")
    assert policy.base.model.config._attn_implementation == "corll_grouped"
    eager = build_llama(50)
    eager.set_attn_implementation("eager")
    use_grouped_attention(eager)
    assert eager.config._attn_implementation == "eager"


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_rows_of_a_flat_batch_are_attended_one_by_one_and_block_by_block(
    shapes: list[list[int]], queries_per_block: int
) -> None:
    """A row is a prompt and responses of the lengths given, which see the prompt and themselves."""
    generator = torch.Generator().manual_seed(len(shapes))
    trees = [
        build_tree((1,) * rest[0], [(n + 2,) * size for n, size in enumerate(rest)])
        for rest in shapes
    ]
    M = sum(map(len, trees))
    heads = torch.randn(M, H + 2 * G, D, generator=generator).requires_grad_()
    angles = torch.randn(M, D // 2, generator=generator).repeat(1, 2)
    cos, sin = angles.cos(), angles.sin()
    weights = torch.randn(M, H, D, generator=generator)
    spans, expected, start = [], [], 0
    for tree in trees:
        visible = tree.visibility()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packing, "_QUERIES_PER_BLOCK", queries_per_block)
            span = row_span(start, visible, dtype=torch.float32, device=torch.device("cpu"))
        assert (span.start, span.stop) == (start, start + len(tree))
        mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
        own = slice(start, span.stop)
        query, key, value = heads[own].transpose(0, 1)[None].split([H, G, G], dim=1)
        lone = [*apply_rotary_pos_emb(query, key, cos[None, own], sin[None, own]), value]
        expected.append(peer(*lone, mask, 0.3)[0])
        spans.append(span)
        start = span.stop
    plain = torch.cat(expected)
    batch: Any = {"rows": FlatRows(tuple(spans)), "groups": G, "scaling": 0.3}
    found = attend_rows(heads, cos, sin, **batch)
    torch.testing.assert_close(found, plain)
    with torch.no_grad():
        torch.testing.assert_close(attend_rows(heads, cos, sin, **batch), plain)
    (theirs,) = torch.autograd.grad((plain * weights).sum(), [heads])
    (ours,) = torch.autograd.grad((found * weights).sum(), [heads])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

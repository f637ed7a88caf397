"""Attention for CPUs: plain matrix products over groups of query heads.

On a CPU, torch's fused kernel is slow in bf16, above all backwards, and has keys and values
repeated for each query head of a group. Here the heads of a group are the rows of one product.
`grouped_attention` takes what `transformers` gives; `attend_rows` takes rows of different lengths
without padding, and keeps for the backward pass no more than that needs. GPUs keep torch's kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from corll.packing import QueryBlock, RowSpan

GROUPED = "corll_grouped"
"""The name of `grouped_attention` among those that `transformers` knows."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def use_grouped_attention(model: Any) -> None:
    """Switches a model from torch's fused kernel, if it uses that, to `grouped_attention`."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(GROUPED, grouped_attention)
        AttentionMaskInterface.register(GROUPED, eager_mask)
        model.set_attn_implementation(GROUPED)


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """softmax(q kᵀ · scaling + mask) v, in the form that `transformers` calls.

    *Shapes*: `query` B × H × Q × D; `key`, `value` B × G × T × D, where G divides H; the mask
    B × 1 × Q × T, added to the scores → B × Q × H × D.
    """
    if dropout or any(kwargs.get(name) is not None for name in _UNSUPPORTED):
        raise ValueError("grouped attention knows no dropout, soft cap, sinks or position bias")
    B, H, Q, D = query.shape
    G, T = key.shape[1], key.shape[2]
    rows = H // G * Q
    queries = (query * (D**-0.5 if scaling is None else scaling)).reshape(B * G, rows, D)
    scores = torch.bmm(queries, key.reshape(B * G, T, D).transpose(1, 2)).view(B, H, Q, T)
    if attention_mask is not None:
        scores = scores.add_(attention_mask[:, :, :, :T])
    weights = scores.softmax(-1).view(B * G, rows, T)
    out = torch.bmm(weights, value.reshape(B * G, T, value.shape[-1]))
    return out.view(B, H, Q, value.shape[-1]).transpose(1, 2).contiguous(), None


def attend_rows(turned: Tensor, values: Tensor, spans: Sequence[RowSpan], scaling: float) -> Tensor:
    """softmax(q kᵀ · scaling + mask) v of each row by itself, all rows in one flat batch.

    *Shapes*: `turned` M × (H + G) × D, the H query heads before the G key heads; `values`
    M × G × D → M × H × D.
    """
    if torch.is_grad_enabled() and (turned.requires_grad or values.requires_grad):
        result: Tensor = _RowAttention.apply(turned, values, spans, scaling)  # type: ignore[no-untyped-call]
        return result
    return _attend(turned, values, spans, scaling)[0]


def _attend(
    turned: Tensor, values: Tensor, spans: Sequence[RowSpan], scaling: float
) -> tuple[Tensor, list[Tensor]]:
    """The attended values, and the weights of each block of queries, G × (H / G · Q) × stop."""
    G = values.shape[1]
    out = turned.new_empty(len(turned), turned.shape[1] - G, values.shape[2])
    weights = []
    for span in spans:
        row = slice(span.start, span.stop)
        keys, own = _heads_first(turned[row, -G:]), _heads_first(values[row])
        for block, tokens in _blocks_of(span):
            queries = _by_group(turned[tokens, :-G], G, scaling)
            scores = torch.bmm(queries, keys[:, : block.stop].transpose(1, 2))
            by_head = scores.view(-1, block.stop - block.start, block.stop)
            by_head[..., block.masked_from :].add_(block.mask)
            weights.append(scores.softmax(-1))
            _put_groups(out[tokens], torch.bmm(weights[-1], own[:, : block.stop]))
    return out, weights


def _blocks_of(span: RowSpan) -> Iterator[tuple[QueryBlock, slice]]:
    """The blocks of a row, and where their tokens lie in the batch."""
    for block in span.blocks:
        yield block, slice(span.start + block.start, span.start + block.stop)


def _heads_first(heads: Tensor) -> Tensor:
    """T × G × D → a copy, G × T × D."""
    return heads.transpose(0, 1).contiguous()


def _by_group(heads: Tensor, groups: int, factor: float = 1.0) -> Tensor:
    """factor · heads. T × H × D → a copy, G × (H / G · T) × D."""
    T, _, D = heads.shape
    grouped = heads.view(T, groups, -1, D).permute(1, 2, 0, 3)
    out = heads.new_empty(grouped.shape)
    return torch.mul(grouped, factor, out=out).view(groups, -1, D)


def _put_groups(target: Tensor, grouped: Tensor) -> None:
    """Writes G × (H / G · T) × D into T × H × D."""
    T, _, D = target.shape
    target.view(T, len(grouped), -1, D).copy_(
        grouped.view(len(grouped), -1, T, D).permute(2, 0, 1, 3)
    )


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, turned: Tensor, values: Tensor, spans: Sequence[RowSpan], scaling: float
    ) -> Tensor:
        out, weights = _attend(turned, values, spans, scaling)
        ctx.save_for_backward(turned, values, *weights)
        ctx.spans, ctx.scaling = spans, scaling
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None]:
        turned, values, *all_weights = ctx.saved_tensors
        remaining = iter(all_weights)
        G = values.shape[1]
        grad_turned, grad_values = torch.empty_like(turned), torch.empty_like(values)
        for span in ctx.spans:
            row = slice(span.start, span.stop)
            keys, own = _heads_first(turned[row, -G:]), _heads_first(values[row])
            grad_keys, grad_own = torch.zeros_like(keys), torch.zeros_like(own)
            for block, tokens in _blocks_of(span):
                seen, weights = slice(0, block.stop), next(remaining)
                grad = _by_group(grad_output[tokens], G)
                grad_own[:, seen].baddbmm_(weights.transpose(1, 2), grad)
                grad_weights = torch.bmm(grad, own[:, seen].transpose(1, 2))
                grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
                grad_queries = torch.bmm(grad_scores, keys[:, seen]).mul_(ctx.scaling)
                _put_groups(grad_turned[tokens, :-G], grad_queries)
                queries = _by_group(turned[tokens, :-G], G, ctx.scaling)
                grad_keys[:, seen].baddbmm_(grad_scores.transpose(1, 2), queries)
            grad_turned[row, -G:] = grad_keys.transpose(0, 1)
            grad_values[row] = grad_own.transpose(0, 1)
        return grad_turned, grad_values, None, None

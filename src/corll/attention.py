"""Attention for CPUs: plain matrix products over groups of query heads.

On a CPU, torch's fused kernel is slow in bf16, above all backwards, and has keys and values
repeated for each query head of a group. Here the heads of a group are the rows of one product.
`grouped_attention` takes what `transformers` gives; `attend_rows` takes rows of different lengths
without padding, and keeps for the backward pass no more than that needs. GPUs keep torch's kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from corll.packing import RowSpan

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
    """The attended values, and the weights of each row, G × (H / G · T) × T."""
    G = values.shape[1]
    out = turned.new_empty(len(turned), turned.shape[1] - G, values.shape[2])
    weights = []
    for start, stop, mask in spans:
        T = stop - start
        queries, keys = _split(turned[start:stop], G)
        scores = torch.bmm(queries * scaling, keys.transpose(1, 2))
        scores.view(-1, T, T).add_(mask)
        weights.append(scores.softmax(-1))
        own = values[start:stop].transpose(0, 1).contiguous()
        _put_groups(out[start:stop], torch.bmm(weights[-1], own))
    return out, weights


def _split(turned: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Copies of a row's queries, G × (H / G · T) × D, and keys, G × T × D."""
    return _by_group(turned[:, :-groups], groups), turned[:, -groups:].transpose(0, 1).contiguous()


def _by_group(heads: Tensor, groups: int) -> Tensor:
    """T × H × D → a copy, G × (H / G · T) × D."""
    T, _, D = heads.shape
    return heads.view(T, groups, -1, D).permute(1, 2, 0, 3).reshape(groups, -1, D)


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
        G = values.shape[1]
        grad_turned, grad_values = torch.empty_like(turned), torch.empty_like(values)
        for (start, stop, _), weights in zip(ctx.spans, all_weights, strict=True):
            row = slice(start, stop)
            queries, keys = _split(turned[row], G)
            grad = _by_group(grad_output[row], G)
            grad_values[row] = torch.bmm(weights.transpose(1, 2), grad).transpose(0, 1)
            grad_weights = torch.bmm(grad, values[row].permute(1, 2, 0))
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_scores.mul_(ctx.scaling)
            _put_groups(grad_turned[row, :-G], torch.bmm(grad_scores, keys))
            grad_turned[row, -G:] = torch.bmm(grad_scores.transpose(1, 2), queries).transpose(0, 1)
        return grad_turned, grad_values, None, None

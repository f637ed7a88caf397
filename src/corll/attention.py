"""Attention for CPUs: plain matrix products over groups of query heads.

On a CPU, torch's fused kernel is slow in bf16, above all backwards, and has keys and values
repeated for each query head of a group. Here the heads of a group are the rows of one product, and
the mask is added by the product itself. GPUs keep torch's kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

_NAME = "corll_grouped"
_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def use_grouped_attention(model: Any) -> None:
    """Switches a model from torch's fused kernel, if it uses that, to `grouped_attention`."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, grouped_attention)
        AttentionMaskInterface.register(_NAME, eager_mask)
        model.set_attn_implementation(_NAME)


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
    keys = key.reshape(B * G, T, D).transpose(1, 2)
    if attention_mask is None:
        scores = torch.bmm(queries, keys)
    else:
        mask = attention_mask[:, :, :, :T].expand(B, H, Q, T).reshape(B * G, rows, T)
        scores = torch.baddbmm(mask, queries, keys)
    out = torch.bmm(scores.softmax(-1), value.reshape(B * G, T, value.shape[-1]))
    return out.view(B, H, Q, value.shape[-1]).transpose(1, 2).contiguous(), None

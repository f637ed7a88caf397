"""Rotary position embedding, with a gradient that keeps nothing but the angles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rotate(heads: Tensor, cos: Tensor, sin: Tensor, *, over_heads: int) -> Tensor:
    """Return heads turned by their positions' angles.

    *Shapes*: `heads` B × H × T × D if `over_heads` is 1, B × T × H × D if 2; `cos`, `sin`
    B × T × D.
    """
    cos, sin = cos.unsqueeze(over_heads), sin.unsqueeze(over_heads)
    if heads.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Rotation.apply(heads, cos, sin)  # type: ignore[no-untyped-call]
        return result
    return rotated(heads, cos, sin, 1)


class _Rotation(torch.autograd.Function):
    """Its gradient is the rotation back, so nothing but the angles is kept."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rotated(heads, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return rotated(grad_output, cos, sin, -1), None, None


def rotated(heads: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    """Return the heads turned by their angles, or back where `direction` is −1."""
    half = heads.shape[-1] // 2
    out = torch.mul(heads, cos, out=heads.new_empty(heads.shape))
    sin = sin[..., :half]
    out[..., :half].addcmul_(heads[..., half:], sin, value=-direction)
    out[..., half:].addcmul_(heads[..., :half], sin, value=direction)
    return out

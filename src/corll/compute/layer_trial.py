"""Whether a fused layer computes what the layer does, up to what its dtype rounds anyway.

Of a layer whose keys have large biases (Qwen2) bf16 leaves little: its own output is a tenth and
more off that of float32, and no other order of operations gives the same digits. So two things are
asked of a fused layer that differs by more than a twentieth: that it agrees with the layer in
float32, and that in bf16 it is about as near to float32 as the layer is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_EXACT, _ROUNDED = 1e-4, 0.05
"""How far both may differ, as a share of what a layer adds to its input: in float32, and in 16 bits
without asking further. Rounding to 16 bits makes up to a hundredth in most layers."""

_FURTHER_FROM_FLOAT32 = 1.5
"""How much further from float32 a fused layer may be. Right ones were 0.89 to 1.13 times as far,
with key biases of a standard deviation of 20 to 300; one without its biases 8 times."""

_FEW, _MANY = 8, 128
"""Tokens of a first trial, and of one that tells two errors apart."""

Fuse = Callable[[Any], Any]
"""Makes the fused layer of a layer."""


@torch.no_grad()
def why_other_numbers(layer: Any, fused: Any, fuse: Fuse, rotary: Any) -> str | None:
    """Return by how much a fused layer gives other numbers than the layer; None if it does not."""
    weight = layer.input_layernorm.weight
    exact = weight.dtype in (torch.float32, torch.float64)
    difference = _distance(
        _added(fused.forward, rotary, weight, _FEW), _added(layer, rotary, weight, _FEW)
    )
    if difference <= (_EXACT if exact else _ROUNDED):
        return None
    if exact:
        return f"gives numbers that differ by {difference:.1g} of its own"
    widened = _in_float32(layer)
    wide = widened.input_layernorm.weight
    truth = _added(widened, rotary, wide, _MANY)
    own = _distance(_added(layer, rotary, weight, _MANY), truth)
    error = _distance(_added(fused.forward, rotary, weight, _MANY), truth)
    if error > _FURTHER_FROM_FLOAT32 * own:
        return f"is {error:.1g} off the numbers of float32, itself {own:.1g}"
    few = _added(widened, rotary, wide, _FEW)
    difference = _distance(_added(fuse(widened).forward, rotary, wide, _FEW), few)
    if difference > _EXACT:
        return f"gives numbers that differ by {difference:.1g} of its own in float32"
    return None


def _added(forward: Callable[..., Tensor], rotary: Any, like: Tensor, tokens: int) -> Tensor:
    """Return what a layer adds to a small input of a dtype. *Shapes*: 1 × tokens × D."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, tokens, len(like), generator=generator)
    # The same values in each dtype.
    hidden = values.to(like.device, torch.bfloat16).to(like.dtype)
    positions = torch.arange(tokens, device=like.device)[None]
    inputs = {"position_ids": positions, "position_embeddings": rotary(hidden, positions)}
    return (forward(hidden, **inputs) - hidden).float()


def _distance(found: Tensor, expected: Tensor) -> float:
    """Return how far two differ, as a share of what is expected."""
    return float((found - expected).norm() / expected.norm())


def _in_float32(layer: nn.Module) -> Any:
    """Return a copy of a layer; its weights are copied as they are, not what they are views of."""
    known: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach().float(), requires_grad=False)
        for parameter in layer.parameters()
    }
    return copy.deepcopy(layer, known)

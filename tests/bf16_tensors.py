"""bf16 tensors to test with, and how far apart two bf16 numbers are."""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 2**-8
"""Half of the distance of two bf16 numbers is at most this share of them."""


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normal values, rounded to bf16."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) * scale).bfloat16()

"""Frozen weights in int8, by which few rows are multiplied while a text is drafted.

A token of a draft waits for all weights to come from memory. In eight bits they are half of what
they are in bf16, and processors with VNNI multiply them in one go. Scores are never computed so.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from corll.compute.cpu.kernels import (
    INT8_COLUMNS,
    INT8_GROUP,
    CpuKernels,
    compiled_kernels,
)

_MOST_ROWS, _MOST_ROWS_IN_FLOAT32 = 16, 128
"""Beyond so many rows products in the model's own dtype are as quick."""


class QuantizedWeight:
    """A frozen weight in int8, quantised at its first product. *Shapes*: N × K.

    Each 64 neighbours of a row have a scale of their own: the largest of them is 127.
    """

    def __init__(self, weight: Tensor, kernels: CpuKernels) -> None:
        self._weight, self._kernels = weight, kernels
        in_float32 = weight.dtype == torch.float32
        self.most_rows = _MOST_ROWS_IN_FLOAT32 if in_float32 else _MOST_ROWS

    @classmethod
    def of(cls, weight: Tensor) -> QuantizedWeight | None:
        """Return the weight in int8; None where nothing multiplies by it so."""
        kernels = compiled_kernels()
        return cls(weight, kernels) if kernels is not None and can_quantize(weight) else None

    def product(
        self, x: Tensor, *, bias: Tensor | None, added: Tensor | None, into: Tensor | None
    ) -> Tensor:
        """Return x Wᵀ + added + bias, x rounded to eight bits too. *Shapes*: M × K → M × N."""
        return self._kernels.quantized_product(
            x.contiguous(), *self._quantized, bias=bias, added=added, into=into
        )

    @cached_property
    def _quantized(self) -> tuple[Tensor, Tensor]:
        return quantized(self._weight)


def can_quantize(weight: Tensor) -> bool:
    """Say whether there are products with this weight in int8 here."""
    kernels = compiled_kernels()
    here = weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float32)
    whole = weight.shape[0] % INT8_COLUMNS == 0 and weight.shape[1] % INT8_GROUP == 0
    return kernels is not None and kernels.have_int8 and here and whole


def int8_is_quicker(weight: Tensor) -> bool:
    """Say whether drafts by such weights in int8 are quicker here: tiles were not compared with."""
    kernels = compiled_kernels()
    return can_quantize(weight) and kernels is not None and not kernels.have_tiles


def quantized_bytes(weight: Tensor) -> int:
    """Return the bytes of a weight in int8 and of its scales."""
    return weight.numel() + 2 * weight.numel() // INT8_GROUP


def quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight in int8 with 128 added, and its scales in bf16, in the order of the pass.

    *Shapes*: N × K → N / 16 × K / 64 × 16 × 16 × 4, N / 16 × K / 64 × 16.
    """
    N, K = weight.shape
    groups = weight.float().view(N, K // INT8_GROUP, INT8_GROUP)
    scales = groups.abs().amax(-1).div_(127).bfloat16()
    rounded = groups.div(scales.float().clamp_min_(1e-30)[..., None]).round_()
    values = rounded.clamp_(-127, 127).add_(128).to(torch.uint8)
    blocks = values.view(N // INT8_COLUMNS, INT8_COLUMNS, K // INT8_GROUP, INT8_GROUP // 4, 4)
    by_block = scales.view(N // INT8_COLUMNS, INT8_COLUMNS, K // INT8_GROUP)
    return blocks.permute(0, 2, 3, 1, 4).contiguous(), by_block.transpose(1, 2).contiguous()

"""Frozen weights in int8, by which texts are drafted.

A token of a draft waits for all weights to come from memory. In eight bits they are half of what
they are in bf16, a quarter of float32, and processors with VNNI multiply them in one go. Scores
are never computed so.
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


class QuantizedWeight:
    """A frozen weight in int8, quantised at its first product. *Shapes*: N × K.

    Each 64 neighbours of a row have a scale of their own: the largest of them is 127.
    """

    def __init__(self, weight: Tensor, kernels: CpuKernels) -> None:
        self._weight, self._kernels = weight, kernels

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
        return self._kernels.quantized(self._weight)


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

"""Products with frozen weights, which a CPU lays out once in the order that its kernels read.

oneDNN brings a bf16 weight into its order each time it is used. For a few rows that is half of the
time, for hundreds still a fifth. So a second copy is kept in that order and, once something is
learned, a third for the products of the backward pass. Where a processor has tiles (AMX) the copies
are in their order, and the products are `tiled_products`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from corll.compute.cpu.quantized_weight import QuantizedWeight
from corll.compute.cpu.tiled_products import TiledFactors, TiledWeight
from corll.compute.frozen_linear import FrozenLinear
from corll.config import SMALL_MODEL_BYTES

_ROWS = 128
"""The layout is chosen for this many rows; it serves more of them as well."""

_FEWEST_SCORED_ROWS = 64
"""A short text that is scored is not worth laying the weights out for."""


def is_small(model: Any) -> bool:
    """Say whether a model is small enough for its weights to be kept several times."""
    size: int = model.get_memory_footprint()
    return size <= SMALL_MODEL_BYTES


def can_prepack(weight: Tensor) -> bool:
    """Say whether this torch, processor and weight have the layout: bf16 on a CPU with AVX-512."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


@dataclass
class DraftPrecision:
    """How a model's texts are drafted: by its own weights, or by theirs in int8.

    `may_be_int8` is settled once; `in_int8` is switched from pass to pass.
    """

    may_be_int8: bool = False
    in_int8: bool = False


EXACTLY = DraftPrecision()


class PackedLinear(FrozenLinear):
    """x Wᵀ + b, for a weight that does not learn; `prepacks` allows it the further copies.

    While `drafts` are in int8, texts under way are multiplied so.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        prepacks: bool,
        drafts: DraftPrecision = EXACTLY,
    ) -> None:
        super().__init__(weight, bias)
        self._drafts = drafts
        self._quantized = QuantizedWeight.of(weight) if drafts.may_be_int8 else None
        self.prepacks = prepacks and can_prepack(weight)
        self._tiled = TiledWeight.of(weight) if self.prepacks else None
        self._tiled_transposed = TiledWeight.of(weight.t()) if self.prepacks else None

    def __call__(
        self,
        x: Tensor,
        added: Tensor | None = None,
        *,
        decoding: bool = False,
        into: Tensor | None = None,
    ) -> Tensor:
        """Return the product and what is `added`, rounded once; as `FrozenLinear`."""
        if decoding and (quantized := self._in_int8) is not None:
            return quantized.product(x, bias=self.bias, added=added, into=into)
        lays_out = self._lays_out(x, decoding=decoding)
        if lays_out and self._tiled is not None:
            return self._tiled.product(x, bias=self.bias, residual=added, into=into)[0]
        if lays_out and (decoding or into is None):
            return _product(x, self._packed, self.bias, added)
        return super().__call__(x, added, into=into)

    def backward(self, grad: Tensor, added: Tensor | None = None) -> Tensor:
        """Return the gradient by x, grad W, and what is `added`; as `FrozenLinear`."""
        if not self._lays_out(grad):
            return super().backward(grad, added)
        if self._tiled_transposed is not None:
            return self._tiled_transposed.product(grad, residual=added)[0]
        return _product(grad, self._packed_transposed, None, added)

    def takes_adapter(self, x: Tensor, *, decoding: bool = False) -> bool:
        """Say whether products of such rows are by tiles, which take an adapter in one pass."""
        if decoding and self._in_int8 is not None:
            return False
        both = self._tiled is not None and (decoding or self._tiled_transposed is not None)
        return both and self._lays_out(x, decoding=decoding)

    def adapted(
        self, x: Tensor, residual: Tensor | None, factors: TiledFactors
    ) -> tuple[Tensor, Tensor]:
        """Return x Wᵀ + (x Aᵀ) Bᵀ + b + residual, and x Aᵀ.

        *Shapes*: M × in → M × out, M × R; R is rounded up.
        """
        assert self._tiled is not None
        return self._tiled.product(x, factors.forward, bias=self.bias, residual=residual)

    def adapted_backward(self, grad: Tensor, factors: TiledFactors) -> tuple[Tensor, Tensor]:
        """Return grad W + (grad B) A, and grad B.

        *Shapes*: M × out → M × in, M × R; R is rounded up.
        """
        assert self._tiled_transposed is not None
        return self._tiled_transposed.product(grad, factors.backward)

    @property
    def _in_int8(self) -> QuantizedWeight | None:
        """Return the weight in int8, where texts under way are multiplied by it."""
        return self._quantized if self._drafts.in_int8 else None

    @cached_property
    def _packed(self) -> Any:
        return _laid_out(self.weight)

    @cached_property
    def _packed_transposed(self) -> Any:
        return _laid_out(self.weight.t())

    def _lays_out(self, x: Tensor, *, decoding: bool = False) -> bool:
        enough = decoding or len(x) >= _FEWEST_SCORED_ROWS
        return self.prepacks and enough and not (torch.is_grad_enabled() and x.requires_grad)


def _laid_out(weight: Tensor) -> Any:
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)


def _product(x: Tensor, packed: Any, bias: Tensor | None, added: Tensor | None) -> Tensor:
    onednn = torch.ops.mkldnn
    out: Tensor
    if added is None:
        out = onednn._linear_pointwise(x, packed, bias, "none", [], "")
    else:
        out = onednn._linear_pointwise(x, added, packed, bias, "add")
    return out

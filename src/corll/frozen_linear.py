"""Products with frozen weights, which a CPU lays out once for the few rows of a decoding step.

oneDNN brings a bf16 weight into the order that its kernels read each time it is used. For hundreds
of rows that is nothing; for a few it is half of the time. So a second copy is kept in that order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

_MOST_ROWS = 128
"""Up to here the second copy is quicker than the weight as it is."""

_MOST_BYTES = 2 * 2**30


def may_prepack(model: Any) -> bool:
    """Whether a model is small enough for its weights to be kept twice."""
    size: int = model.get_memory_footprint()
    return size <= _MOST_BYTES


class FrozenLinear:
    """x Wᵀ + b, for a weight that does not learn; `prepacks` allows it the second copy."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, prepacks: bool) -> None:
        self.weight, self.bias = weight, bias
        self.prepacks = prepacks and can_prepack(weight)
        self._packed: Any = None

    def __call__(
        self, x: Tensor, residual: Tensor | None = None, *, decoding: bool = False
    ) -> Tensor:
        """The second copy serves `decoding` alone, so that what is scored with and without
        gradients goes through the same product. *Shapes*: `x` M × in, `residual` M × out → M × out.
        """
        few = decoding and len(x) <= _MOST_ROWS
        if few and self.prepacks and not torch.is_grad_enabled():
            return self._from_packed(x, residual)
        if residual is None:
            return linear(x, self.weight, self.bias)
        out = torch.addmm(residual, x, self.weight.t())
        return out if self.bias is None else out.add_(self.bias)

    def _from_packed(self, x: Tensor, residual: Tensor | None) -> Tensor:
        onednn = torch.ops.mkldnn
        if self._packed is None:
            self._packed = onednn._reorder_linear_weight(self.weight.contiguous(), _MOST_ROWS)
        out: Tensor
        if residual is None:
            out = onednn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        else:
            out = onednn._linear_pointwise(x, residual, self._packed, self.bias, "add")
        return out


def can_prepack(weight: Tensor) -> bool:
    """Whether this torch and this weight have the layout: bf16 on a CPU."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )

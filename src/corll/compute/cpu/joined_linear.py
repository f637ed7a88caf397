"""Linear layers of the same input as one product, with their adapters beside it.

What an adapter adds is at first smaller than the last digit of what it is added to: in bf16 it
would be rounded away if both were rounded before. So it goes into the product's sum. And an adapter
that is 0 changes no digit: whatever else is added is added in the same order without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from corll.compute.cpu.frozen_linear import FrozenLinear
from corll.compute.cpu.kernels import LANES, CpuKernels, kernels_for
from corll.compute.cpu.tiled_products import TiledFactors
from corll.compute.lora import Factors, JoinedFactors, LoraLinear

_FEW_ROWS = 128
"""Up to here a CPU is slow at an adapter's small products in bf16, which cost 15 µs before they
begin: it is quicker in compiled passes."""

_FEW_ROWS_WITHOUT_KERNELS = 32
"""Up to here it is quicker in float32, where there are none."""


def base_of(module: nn.Module) -> nn.Module:
    """The layer itself, without its adapters."""
    base: nn.Module = getattr(module, "base_layer", module)
    return base


Prepared: TypeAlias = tuple[Tensor, Tensor] | TiledFactors
"""An adapter as a product takes it: two matrices by which x is multiplied one after the other."""

SettledAdapters: TypeAlias = "dict[tuple[JoinedLinear, bool], Prepared]"
"""Adapters that do not change while a text is decoded, so that no token asks for them again: for
many rows and for few."""


Adapted: TypeAlias = Sequence[tuple[int, Factors]]
"""Adapters, each with the number of the layer that it is on."""


class JoinedLinear:
    """Linear layers of the same input as one product, and their adapters as another two."""

    def __init__(self, modules: Sequence[nn.Module], *, prepacks: bool) -> None:
        self.modules = modules
        bases: list[Any] = [base_of(module) for module in modules]
        self.sizes = [base.out_features for base in bases]
        weight, bias = bases[0].weight.data, bases[0].bias
        if len(bases) > 1:
            parts = [base.weight.data for base in bases]
            weight = _as_one(parts) if _adjacent(parts) else torch.cat(parts)
            for base, part in zip(bases, torch.split(weight, self.sizes), strict=True):
                base.weight.data = part
            bias = None if bias is None else torch.cat([base.bias for base in bases])
        self.base = FrozenLinear(weight, bias, prepacks=prepacks)
        self.adapters = JoinedFactors(self.sizes)
        self._tiled: TiledFactors | None = None

    def __call__(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        decoding: bool = False,
        settled: SettledAdapters | None = None,
    ) -> Tensor:
        """The layers' outputs side by side, plus `residual`. *Shapes*: M × in → M × Σ out."""
        tiled = self.base.takes_adapter(x, decoding=decoding)
        kernels = kernels_for(x) if decoding and self.adapters.width % LANES == 0 else None
        most = _FEW_ROWS_WITHOUT_KERNELS if kernels is None else _FEW_ROWS
        few = decoding and not tiled and len(x) <= most and x.device.type == "cpu"
        kernels = kernels if few else None
        if settled is not None and (known := settled.get((self, few))) is not None:
            return self._add_adapters(x, residual, known, kernels, decoding=decoding)
        adapted = self.adapted()
        if adapted is None:
            out = torch.cat([module(x) for module in self.modules], dim=-1)
            return out if residual is None else residual + out
        learns = torch.is_grad_enabled() and x.requires_grad
        if not adapted and not learns:
            return self.plain(x, residual, by_tiles=tiled, decoding=decoding)
        if learns or any(factors.learn for _, factors in adapted):
            matrices = [matrix for _, factors in adapted for matrix in (factors.A, factors.B)]
            result: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
                x, residual, self, adapted, *matrices
            )
            return result
        in_float32 = few and kernels is None
        A, B = joined = self.adapters.kept(adapted, torch.float32 if in_float32 else x.dtype)
        factors: Prepared
        if tiled:
            factors = self.tiled(joined)
        else:
            factors = A.t(), B.t() if kernels is None else kernels.in_pairs(B.t())
        if settled is not None:
            settled[self, few] = factors
        return self._add_adapters(x, residual, factors, kernels, decoding=decoding)

    def tiled(self, joined: tuple[Tensor, Tensor]) -> TiledFactors:
        """The joined adapters in tiles, from the last time if they are the same."""
        last = self._tiled
        if last is None or last.factors is not joined:
            self._tiled = last = TiledFactors(joined)
        return last

    def adapted(self) -> Adapted | None:
        """Its layers' adapters; None where only PEFT knows what to do."""
        factors = [m.active_factors() if isinstance(m, LoraLinear) else () for m in self.modules]
        if any(adapter is None for adapter in factors):
            return None
        return [(number, adapter) for number, adapter in enumerate(factors) if adapter]

    def _add_adapters(
        self,
        x: Tensor,
        residual: Tensor | None,
        factors: Prepared,
        kernels: CpuKernels | None,
        *,
        decoding: bool,
    ) -> Tensor:
        if isinstance(factors, TiledFactors):
            return self.base.adapted(x, residual, factors)[0]
        A, B = factors
        if kernels is not None:
            share = kernels.add_low_rank_(x.new_zeros(len(x), self.adapters.width), x, factors)
        elif A.dtype != x.dtype:
            share = (x.float() @ A @ B).to(x.dtype)
        else:
            share = x @ A @ B
        return self.with_share(x, share, residual, decoding=decoding)

    def with_share(
        self, x: Tensor, share: Tensor | None, residual: Tensor | None, *, decoding: bool = False
    ) -> Tensor:
        """The base's product, with an adapter's share in its sum, plus `residual`."""
        out = self.base(x, share, decoding=decoding)
        return out if residual is None else out.add_(residual)

    def plain(
        self, x: Tensor, residual: Tensor | None, *, by_tiles: bool, decoding: bool = False
    ) -> Tensor:
        """The product without adapters, its residual added as with them: by tiles in one sum."""
        if by_tiles:
            return self.base(x, residual, decoding=decoding)
        return self.with_share(x, None, residual, decoding=decoding)


def _adjacent(parts: Sequence[Tensor]) -> bool:
    """Whether matrices of one width lie one after another in one piece of memory already."""
    stored = parts[0].untyped_storage().data_ptr()
    at = parts[0].data_ptr()
    for part in parts:
        same = part.untyped_storage().data_ptr() == stored and part.is_contiguous()
        if not same or part.data_ptr() != at or part.shape[1] != parts[0].shape[1]:
            return False
        at += part.nbytes
    return True


def _as_one(parts: Sequence[Tensor]) -> Tensor:
    """Adjacent matrices as a single one, without a copy."""
    rows = sum(len(part) for part in parts)
    return parts[0].as_strided((rows, parts[0].shape[1]), parts[0].stride())


class _AdaptedLinear(torch.autograd.Function):
    """x Wᵀ + (x Aᵀ) Bᵀ + residual, with gradients for x, residual, A and B; W is frozen.

    Without adapters too, for inputs that carry gradients: the same products as where none are
    wanted.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        layers: JoinedLinear,
        adapted: Adapted,
        *matrices: Tensor,
    ) -> Tensor:
        ctx.layers, ctx.adapted, ctx.has_residual = layers, adapted, residual is not None
        by_tiles = layers.base.takes_adapter(x)
        if not adapted:
            return layers.plain(x, residual, by_tiles=by_tiles)
        A, B = joined = layers.adapters.kept(adapted, x.dtype)
        ctx.tiled = layers.tiled(joined) if by_tiles else None
        if ctx.tiled is not None:
            out, low = layers.base.adapted(x, residual, ctx.tiled)
        else:
            low = x @ A.t()
            out = layers.with_share(x, low @ B.t(), residual)
        ctx.save_for_backward(x, A, B, low)
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        grad_residual = grad_output if ctx.has_residual else None
        base, grad_x = ctx.layers.base, None
        if not ctx.adapted:
            return base.backward(grad_output), grad_residual, None, None
        x, A, B, low = ctx.saved_tensors
        if ctx.needs_input_grad[0] and ctx.tiled is not None:
            grad_x, grad_low = base.adapted_backward(grad_output, ctx.tiled)
            low, grad_low = low[:, : len(A)], grad_low[:, : len(A)]
        else:
            grad_low = grad_output @ B
            if ctx.needs_input_grad[0]:
                grad_x = base.backward(grad_output, grad_low @ A)
        grad_A, grad_B = grad_low.t() @ x, grad_output.t() @ low
        grads: list[Tensor] = []
        start = 0
        for number, factors in ctx.adapted:
            own, dtype = slice(start, start + len(factors.A)), factors.A.dtype
            grads.append(grad_A[own].to(dtype))
            columns = ctx.layers.adapters.columns[number]
            grads.append(grad_B[columns, own].to(dtype) * factors.scaling)
            start = own.stop
        return grad_x, grad_residual, None, None, *grads

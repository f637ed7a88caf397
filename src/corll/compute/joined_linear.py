"""Linear layers of the same input as one product, with their adapters beside it.

What an adapter adds is at first smaller than the last digit of what it is added to: in bf16 it
would be rounded away if both were rounded before. So it goes into the product's sum. And an adapter
that is 0 changes no digit: whatever else is added is added in the same order without one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from corll.compute.frozen_linear import FrozenLinear
from corll.compute.lora import Factors, JoinedFactors, LoraLinear
from corll.compute.row_adapters import RowAdapters

SettledAdapters: TypeAlias = "dict[Any, Any]"
"""Adapters as products take them, which do not change while a text is decoded, so that no token
asks for them again."""

Adapted: TypeAlias = Sequence[tuple[int, Factors]]
"""Adapters, each with the number of the layer that it is on."""

AdaptedGroups: TypeAlias = Sequence[tuple[slice, Adapted]]
"""Groups of rows, each with its own adapters."""


def base_of(module: nn.Module) -> nn.Module:
    """Return the layer itself, without its adapters."""
    base: nn.Module = getattr(module, "base_layer", module)
    return base


class JoinedLinear:
    """Linear layers of the same input as one product, and their adapters as another two.

    A backend may compute the products in another way: it overrides `freeze`, which lays the weight
    out, and `forward` and `backward`, which multiply with an adapter.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
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
        self.base = self.freeze(weight, bias)
        self.adapters = JoinedFactors(self.sizes)

    def freeze(self, weight: Tensor, bias: Tensor | None) -> FrozenLinear:
        """Return the product with the layers' joined weight."""
        return FrozenLinear(weight, bias)

    def __call__(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        decoding: bool = False,
        settled: SettledAdapters | None = None,
        row_adapters: RowAdapters | None = None,
    ) -> Tensor:
        """Return the layers' outputs side by side, plus `residual`. *Shapes*: M × in → M × Σ out.

        `settled` keeps what a text under way needs no token to ask for again. `row_adapters` name
        the adapter of each row; otherwise it is the active one.
        """
        if row_adapters is not None:
            return self._by_row(x, residual, row_adapters, decoding=decoding, settled=settled)
        if settled is not None:
            known = self.settled(x, settled, decoding=decoding)
            if known is not None:
                return self.share_of(x, residual, known, decoding=decoding)
        adapted = self.adapted()
        if adapted is None:
            shares = self._shares(x)
            if shares is None:
                out = torch.cat([module(x) for module in self.modules], dim=-1)
                return out if residual is None else residual + out
            return self._unadapted(x, residual, decoding=decoding) + shares
        if not adapted:
            return self._unadapted(x, residual, decoding=decoding)
        learns = torch.is_grad_enabled() and x.requires_grad
        if learns or any(factors.learn for _, factors in adapted):
            matrices = [matrix for _, factors in adapted for matrix in (factors.A, factors.B)]
            result: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
                x, residual, self, adapted, *matrices
            )
            return result
        prepared = self.prepare(x, adapted, settled, decoding=decoding)
        return self.share_of(x, residual, prepared, decoding=decoding)

    def _by_row(
        self,
        x: Tensor,
        residual: Tensor | None,
        row_adapters: RowAdapters,
        *,
        decoding: bool,
        settled: SettledAdapters | None,
    ) -> Tensor:
        """Return the base's product of all rows, each with its own adapter's share in its sum."""
        if torch.is_grad_enabled():
            groups = self._adapted_groups(row_adapters, len(x))
            if not groups:
                return self._unadapted(x, residual, decoding=decoding)
            result: Tensor = _AdaptedByRow.apply(  # type: ignore[no-untyped-call]
                x, residual, self, groups, *_matrices(groups)
            )
            return result
        prepared = self._prepared(x, row_adapters, settled, decoding=decoding)
        if not prepared:
            return self.plain(x, residual, decoding=decoding)
        share = x.new_zeros(len(x), self.adapters.width)
        for rows, own in prepared:
            self.add_share_(share[rows], x[rows], own)
        return self.with_share(x, share, residual, decoding=decoding)

    def _adapted_groups(self, row_adapters: RowAdapters, tokens: int) -> AdaptedGroups:
        named = ((g.rows, g.adapter) for g in row_adapters.groups(tokens) if g.adapter is not None)
        found = [(rows, self.adapted_by(adapter)) for rows, adapter in named]
        return [(rows, adapted) for rows, adapted in found if adapted]

    def _prepared(
        self,
        x: Tensor,
        row_adapters: RowAdapters,
        settled: SettledAdapters | None,
        *,
        decoding: bool,
    ) -> Sequence[tuple[slice, Any]]:
        """Return groups of rows, each with its adapter as `add_share_` takes it.

        What is known stays in `settled`: adapters by their names, and all of the latest batch.
        """
        settled = {} if settled is None else settled
        last, known = settled.get(self, (None, ()))
        if last is row_adapters:
            return known  # type: ignore[no-any-return]
        found = []
        for adapter, rows in row_adapters.groups(len(x)):
            if adapter is None or not (adapted := self.adapted_by(adapter)):
                continue
            key = self, adapter, self.way_of_share(x[rows], decoding=decoding)
            if key not in settled:
                settled[key] = self.prepare_share(x[rows], adapted, decoding=decoding)
            found.append((rows, settled[key]))
        settled[self] = row_adapters, found
        return found

    def _unadapted(self, x: Tensor, residual: Tensor | None, *, decoding: bool) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.plain(x, residual, decoding=decoding)
        result: Tensor = _AdaptedLinear.apply(x, residual, self, ())  # type: ignore[no-untyped-call]
        return result

    def _shares(self, x: Tensor) -> Tensor | None:
        """Return what adapters with dropout add; None where only PEFT knows what to do."""
        shares = []
        for module, size in zip(self.modules, self.sizes, strict=True):
            share = x.new_zeros(len(x), size)
            if isinstance(module, LoraLinear):
                factors = module.active_factors(dropping=True)
                if factors is None:
                    return None
                share = module.share(x, factors) if factors else share
            shares.append(share)
        return torch.cat(shares, dim=-1)

    def adapted(self) -> Adapted | None:
        """Return its layers' adapters; None where they have dropout, or only PEFT knows of them."""
        factors = [m.active_factors() if isinstance(m, LoraLinear) else () for m in self.modules]
        if any(adapter is None for adapter in factors):
            return None
        return [(number, adapter) for number, adapter in enumerate(factors) if adapter]

    def adapted_by(self, adapter: str) -> Adapted:
        """Return its layers' adapters of that name, whichever are active."""
        modules = enumerate(self.modules)
        found = [(n, m.factors_of(adapter)) for n, m in modules if isinstance(m, LoraLinear)]
        return [(number, factors) for number, factors in found if factors]

    def way_of_share(self, x: Tensor, *, decoding: bool) -> Hashable:
        """Return what `prepare_share` depends on beside the adapter."""
        return None

    def prepare_share(self, x: Tensor, adapted: Adapted, *, decoding: bool) -> Any:
        """Return an adapter as `add_share_` takes it for such rows."""
        A, B = self.adapters.join(adapted, x.dtype)
        return A.t(), B.t()

    def add_share_(self, share: Tensor, x: Tensor, prepared: Any) -> None:
        """Add what an adapter adds to rows. *Shapes*: `share` M × Σ out, `x` M × in."""
        A, B = prepared
        share.addmm_(x @ A, B)

    def settled(self, x: Tensor, settled: SettledAdapters, *, decoding: bool) -> Any:
        """Return what `prepare` kept for such rows; None where it was not asked for yet."""
        return settled.get(self)

    def prepare(
        self, x: Tensor, adapted: Adapted, settled: SettledAdapters | None, *, decoding: bool
    ) -> Any:
        """Return the adapters as `share_of` takes them, and keep them in `settled`."""
        A, B = self.adapters.kept(adapted, x.dtype)
        if settled is not None:
            settled[self] = A.t(), B.t()
        return A.t(), B.t()

    def share_of(
        self, x: Tensor, residual: Tensor | None, prepared: Any, *, decoding: bool
    ) -> Tensor:
        """Return the product with the adapters that `prepare` gave, without gradients."""
        A, B = prepared
        return self.with_share(x, x @ A @ B, residual, decoding=decoding)

    def with_share(
        self, x: Tensor, share: Tensor | None, residual: Tensor | None, *, decoding: bool = False
    ) -> Tensor:
        """Return the base's product, with an adapter's share in its sum, plus `residual`."""
        out = self.base(x, share, decoding=decoding)
        return out if residual is None else out.add_(residual)

    def plain(self, x: Tensor, residual: Tensor | None, *, decoding: bool = False) -> Tensor:
        """Return the product without adapters, its residual added as with them."""
        return self.with_share(x, None, residual, decoding=decoding)

    def forward(
        self, x: Tensor, residual: Tensor | None, joined: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Any]:
        """Return the product with joined adapters, x Aᵀ, and what `backward` needs beside them."""
        A, B = joined
        low = x @ A.t()
        return self.with_share(x, low @ B.t(), residual), low, None

    def backward(
        self, grad: Tensor, joined: tuple[Tensor, Tensor], kept: Any, *, by_input: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradient by x, if it is wanted, and grad B. *Shapes*: M × in, M × R."""
        A, B = joined
        grad_low = grad @ B
        return (self.base.backward(grad, grad_low @ A) if by_input else None), grad_low


def _matrices(groups: AdaptedGroups) -> list[Tensor]:
    return [part for _, adapted in groups for _, f in adapted for part in (f.A, f.B)]


def _adjacent(parts: Sequence[Tensor]) -> bool:
    """Say whether matrices of one width lie one after another in one piece of memory already."""
    stored = parts[0].untyped_storage().data_ptr()
    at = parts[0].data_ptr()
    for part in parts:
        same = part.untyped_storage().data_ptr() == stored and part.is_contiguous()
        if not same or part.data_ptr() != at or part.shape[1] != parts[0].shape[1]:
            return False
        at += part.nbytes
    return True


def _as_one(parts: Sequence[Tensor]) -> Tensor:
    """Return adjacent matrices as a single one, without a copy."""
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
        if not adapted:
            return layers.plain(x, residual)
        A, B = joined = layers.adapters.kept(adapted, x.dtype)
        out, low, ctx.kept = layers.forward(x, residual, joined)
        ctx.save_for_backward(x, A, B, low)
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        grad_residual = grad_output if ctx.has_residual else None
        layers: JoinedLinear = ctx.layers
        if not ctx.adapted:
            return layers.base.backward(grad_output), grad_residual, None, None
        x, A, B, low = ctx.saved_tensors
        grad_x, grad_low = layers.backward(
            grad_output, (A, B), ctx.kept, by_input=ctx.needs_input_grad[0]
        )
        low, grad_low = low[:, : len(A)], grad_low[:, : len(A)]
        both = grad_low.t() @ x, grad_output.t() @ low
        return grad_x, grad_residual, None, None, *layers.adapters.split(both, ctx.adapted)


class _AdaptedByRow(torch.autograd.Function):
    """The same with adapters for groups of rows: W is multiplied once, each adapter by its rows."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        layers: JoinedLinear,
        groups: AdaptedGroups,
        *matrices: Tensor,
    ) -> Tensor:
        ctx.layers, ctx.groups, ctx.has_residual = layers, groups, residual is not None
        # Nothing is filled with zeros where each row has an adapter.
        adapted_rows = sum(rows.stop - rows.start for rows, _ in groups)
        fresh = torch.empty if adapted_rows == len(x) else torch.zeros
        share, kept = fresh(len(x), layers.adapters.width, dtype=x.dtype, device=x.device), []
        for rows, adapted in groups:
            A, B = layers.adapters.join(adapted, x.dtype)
            low = x[rows] @ A.t()
            torch.mm(low, B.t(), out=share[rows])
            kept += [A, B, low]
        ctx.fresh = fresh
        ctx.save_for_backward(x, *kept)
        return layers.with_share(x, share, residual)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
        x, *kept = ctx.saved_tensors
        layers: JoinedLinear = ctx.layers
        by_input, grads = ctx.needs_input_grad[0], []
        added = ctx.fresh(x.shape, dtype=x.dtype, device=x.device) if by_input else None
        for number, (rows, adapted) in enumerate(ctx.groups):
            A, B, low = kept[3 * number : 3 * number + 3]
            grad = grad_output[rows]
            grad_low = grad @ B
            if added is not None:
                torch.mm(grad_low, A, out=added[rows])
            grads += layers.adapters.split((grad_low.t() @ x[rows], grad.t() @ low), adapted)
        grad_x = None if added is None else layers.base.backward(grad_output, added)
        return grad_x, grad_output if ctx.has_residual else None, None, None, *grads

"""Joined linear layers on a CPU: by tiles, or with small adapters in compiled passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from corll.compute.cpu.kernels import LANES, CpuKernels, kernels_for
from corll.compute.cpu.packed_linear import EXACTLY, DraftPrecision, PackedLinear
from corll.compute.cpu.tiled_products import TiledFactors
from corll.compute.joined_linear import Adapted, JoinedLinear, SettledAdapters

_FEW_ROWS = 128
"""Up to here a CPU is slow at an adapter's small products in bf16, which cost 15 µs before they
begin: it is quicker in compiled passes."""

_FEW_ROWS_WITHOUT_KERNELS = 32
"""Up to here it is quicker in float32, where there are none."""


class _Way(NamedTuple):
    """How rows are multiplied: by tiles, or as few, by `kernels` where there are any."""

    by_tiles: bool
    few: bool
    kernels: CpuKernels | None


class CpuJoinedLinear(JoinedLinear):
    """Linear layers of the same input as one product; as `PackedLinear` multiplies."""

    base: PackedLinear

    def __init__(
        self, modules: Sequence[nn.Module], *, prepacks: bool, drafts: DraftPrecision = EXACTLY
    ) -> None:
        self._prepacks, self._drafts = prepacks, drafts
        self._tiled: TiledFactors | None = None
        super().__init__(modules)

    def freeze(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        """Return the product with the layers' joined weight, laid out at its first use."""
        return PackedLinear(weight, bias, prepacks=self._prepacks, drafts=self._drafts)

    def settled(self, x: Tensor, settled: SettledAdapters, *, decoding: bool) -> Any:
        """Return what `prepare` kept for so many rows."""
        way = self._way(x, decoding=decoding)
        return settled.get((self, way.few))

    def prepare(
        self, x: Tensor, adapted: Adapted, settled: SettledAdapters | None, *, decoding: bool
    ) -> Any:
        """Return the adapters in tiles, in pairs for the compiled pass, or as matrices."""
        way = self._way(x, decoding=decoding)
        in_float32 = way.few and way.kernels is None
        A, B = joined = self.adapters.kept(adapted, torch.float32 if in_float32 else x.dtype)
        prepared: Any
        if way.by_tiles:
            prepared = self._in_tiles(joined)
        elif way.kernels is not None:
            prepared = A.t(), way.kernels.in_pairs(B.t()), way.kernels
        else:
            prepared = A.t(), B.t(), None
        if settled is not None:
            settled[self, way.few] = prepared
        return prepared

    def share_of(
        self, x: Tensor, residual: Tensor | None, prepared: Any, *, decoding: bool
    ) -> Tensor:
        """Return the product with the adapters that `prepare` gave, without gradients."""
        if isinstance(prepared, TiledFactors):
            return self.base.adapted(x, residual, prepared)[0]
        A, B, kernels = prepared
        if kernels is not None:
            share = kernels.add_low_rank_(x.new_zeros(len(x), self.adapters.width), x, (A, B))
        elif A.dtype != x.dtype:
            share = (x.float() @ A @ B).to(x.dtype)
        else:
            share = x @ A @ B
        return self.with_share(x, share, residual, decoding=decoding)

    def way_of_share(self, x: Tensor, *, decoding: bool) -> bool:
        """Return whether rows are few."""
        return self._way(x, decoding=decoding, by_tiles=False).few

    def prepare_share(self, x: Tensor, adapted: Adapted, *, decoding: bool) -> Any:
        """Return an adapter for the compiled pass, or as matrices; not in tiles, which would read
        the base's weight once for each adapter.
        """
        way = self._way(x, decoding=decoding, by_tiles=False)
        in_float32 = way.few and way.kernels is None
        A, B = self.adapters.join(adapted, torch.float32 if in_float32 else x.dtype)
        return A.t(), B.t() if way.kernels is None else way.kernels.in_pairs(B.t()), way.kernels

    def add_share_(self, share: Tensor, x: Tensor, prepared: Any) -> None:
        """Add what an adapter adds to rows."""
        A, B, kernels = prepared
        if kernels is not None:
            kernels.add_low_rank_(share, x, (A, B))
        elif A.dtype != x.dtype:
            share.add_(x.float() @ A @ B)
        else:
            share.addmm_(x @ A, B)

    def plain(self, x: Tensor, residual: Tensor | None, *, decoding: bool = False) -> Tensor:
        """Return the product without adapters, its residual added as with them: by tiles in one
        sum.
        """
        if self.base.takes_adapter(x, decoding=decoding):
            return self.base(x, residual, decoding=decoding)
        return super().plain(x, residual, decoding=decoding)

    def forward(
        self, x: Tensor, residual: Tensor | None, joined: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Any]:
        """Return the product with joined adapters, x Aᵀ, and these in tiles where they are used."""
        if not self.base.takes_adapter(x):
            return super().forward(x, residual, joined)
        tiled = self._in_tiles(joined)
        return *self.base.adapted(x, residual, tiled), tiled

    def backward(
        self, grad: Tensor, joined: tuple[Tensor, Tensor], kept: Any, *, by_input: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradient by x, if it is wanted, and grad B."""
        if kept is None or not by_input:
            return super().backward(grad, joined, None, by_input=by_input)
        return self.base.adapted_backward(grad, kept)

    def _in_tiles(self, joined: tuple[Tensor, Tensor]) -> TiledFactors:
        """Return the joined adapters in tiles, from the last time if they are the same."""
        last = self._tiled
        if last is None or last.factors is not joined:
            self._tiled = last = TiledFactors(joined)
        return last

    def _way(self, x: Tensor, *, decoding: bool, by_tiles: bool | None = None) -> _Way:
        if by_tiles is None:
            by_tiles = self.base.takes_adapter(x, decoding=decoding)
        kernels = kernels_for(x) if decoding and self.adapters.width % LANES == 0 else None
        most = _FEW_ROWS_WITHOUT_KERNELS if kernels is None else _FEW_ROWS
        few = decoding and not by_tiles and len(x) <= most
        return _Way(by_tiles, few, kernels if few else None)

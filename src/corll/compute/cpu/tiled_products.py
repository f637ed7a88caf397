"""Products by a processor's tiles (AMX): a frozen weight's and its adapter's in one pass.

A product of few rows waits for its weight to come from memory, and those of an adapter cost as much
before they begin. Here a weight lies in the order in which it is read, and the adapter is added to
the sums before they are rounded: x Wᵀ + (x Aᵀ) Bᵀ + b + residual. On the way back it is the same
with each matrix transposed.
"""

from __future__ import annotations

from functools import cached_property

from torch import Tensor
from torch.nn.functional import pad

from corll.compute.cpu.kernels import TILE_COLUMNS, CpuKernels, kernels_for

_WIDEST = 8192
"""Of 32 rows of more values, and as many of a weight, the second cache holds no two."""


class TiledWeight:
    """A frozen weight in tiles, laid out at its first product. *Shapes*: N × K."""

    def __init__(self, weight: Tensor, kernels: CpuKernels) -> None:
        self._weight, self._kernels = weight, kernels

    @classmethod
    def of(cls, weight: Tensor) -> TiledWeight | None:
        """Return the weight in tiles; None where nothing multiplies by it so."""
        kernels = kernels_for(weight)
        whole = not any(size % TILE_COLUMNS for size in weight.shape)
        if kernels is None or not kernels.have_tiles or not whole or weight.shape[1] > _WIDEST:
            return None
        return cls(weight, kernels)

    def product(
        self, x: Tensor, factors: tuple[Tensor, Tensor] | None = None, **more: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return `CpuKernels.tiled_product` with this weight. *Shapes*: M × K → M × N, M × R."""
        return self._kernels.tiled_product(x.contiguous(), self._laid_out, factors, **more)

    @cached_property
    def _laid_out(self) -> Tensor:
        return in_tiles(self._weight)


def in_tiles(matrix: Tensor) -> Tensor:
    """Return a copy in tiles of 16 rows by 16 pairs of columns, in the order they are read in.

    *Shapes*: N × K → N / 32 × K / 32 × 2 × 16 × 16 × 2, both rounded up with zeros.
    """
    padded = pad(matrix, (0, -matrix.shape[1] % TILE_COLUMNS, 0, -matrix.shape[0] % TILE_COLUMNS))
    N, K = padded.shape
    tiles = padded.reshape(N // TILE_COLUMNS, 2, 16, K // TILE_COLUMNS, 16, 2)
    return tiles.permute(0, 3, 1, 4, 2, 5).contiguous()


class TiledFactors:
    """An adapter's matrices in tiles, forward and backward. *Shapes*: A R × in, B out × R."""

    def __init__(self, factors: tuple[Tensor, Tensor]) -> None:
        self.factors = factors

    @cached_property
    def forward(self) -> tuple[Tensor, Tensor]:
        """What x is multiplied by first, and second."""
        A, B = self.factors
        return in_tiles(A), in_tiles(B)

    @cached_property
    def backward(self) -> tuple[Tensor, Tensor]:
        """What the gradient by the output is multiplied by first, and second."""
        A, B = self.factors
        return in_tiles(B.t()), in_tiles(A.t())

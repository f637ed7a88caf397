"""The CPU's backend: laid-out weights, compiled passes, and two passes side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from corll.compute.backend import Item, OutputLayer, Result
from corll.compute.branching_cache import BranchingCache
from corll.compute.cpu.attention import use_grouped_attention
from corll.compute.cpu.compiled_cache import CompiledBranchingLayer, attention_kernels
from corll.compute.cpu.kept_products import keep_few_products
from corll.compute.cpu.kernels import FEWEST_PER_LIKELIEST, compiled_kernels, kernels_for
from corll.compute.cpu.layer_operations import CpuLayerOperations
from corll.compute.cpu.packed_linear import (
    DraftPrecision,
    PackedLinear,
    can_prepack,
    is_small,
)
from corll.compute.cpu.quantized_weight import can_quantize, int8_is_quicker, quantized_bytes
from corll.compute.cpu.side_by_side import side_by_side, sides
from corll.compute.fused_layers import LayerOperations
from corll.compute.plain import PlainBackend
from corll.config import Int8Drafts
from corll.errors import ConfigError

log = logging.getLogger(__name__)

_FLOATS_IN_CACHE = 1 << 19
"""2 MB in float32."""


class CpuBackend(PlainBackend):
    """Does on a CPU what `PlainBackend` does anywhere."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        keep_few_products()
        self._prepacks = False
        self._drafts = DraftPrecision()

    @property
    def flattens_rows(self) -> bool:
        """Whether batches are flat: a CPU had better not compute the padding."""
        return self.not_fused is None

    def prepare(self, *, frozen: bool) -> None:
        """Switch the attention, and give the layers their leaner forward pass."""
        use_grouped_attention(self.model)
        self._prepacks = is_small(self.model)
        super().prepare(frozen=frozen)
        self._warn(frozen=frozen)

    def use_int8_drafts(self, wanted: Int8Drafts) -> None:
        """Draft by weights in int8, or not; None: where that is quicker; "small": there, if the
        model is small. To be said before `prepare`.

        *Raises*: ConfigError where it is wanted and cannot be had.
        """
        possible = can_quantize(self._weight())
        if wanted is True and not possible:
            raise ConfigError(
                "Drafts in int8 need a processor with AVX2, a C compiler and a model in "
                "bfloat16 or float32 whose layers have a multiple of 64 inputs."
            )
        if wanted is None or wanted == "small":
            kept = wanted is None or is_small(self.model)
            self._drafts.may_be_int8 = kept and int8_is_quicker(self._weight())
        else:
            self._drafts.may_be_int8 = wanted

    @property
    def drafts_exactly(self) -> bool:
        """Whether texts are drafted by the weights that score them."""
        return not self._drafts.may_be_int8

    @contextmanager
    def drafting(self, *, exactly: bool) -> Iterator[None]:
        """Let the passes within draft in int8, where that is allowed and not `exactly` wanted."""
        before, self._drafts.in_int8 = self._drafts.in_int8, not (exactly or self.drafts_exactly)
        try:
            yield
        finally:
            self._drafts.in_int8 = before

    def layer_operations(self) -> LayerOperations:
        """Return what fused layers are made of here."""
        return CpuLayerOperations(prepacks=self._prepacks, drafts=self._drafts)

    def describe(self) -> Mapping[str, str]:
        """Return which path each part of the model takes, by the part's name."""
        kernels = kernels_for(self._weight())
        lays_out = self._prepacks and can_prepack(self._weight()) and self.not_fused is None
        tiles = kernels is not None and kernels.have_tiles and lays_out
        between = "torch's operations" if kernels is None else "compiled passes"
        return {
            **super().describe(),
            "products": "tiles" if tiles else "oneDNN, laid out" if lays_out else "torch",
            "between products": between if self.not_fused is None else "the model's own",
            "weights of drafts": "the model's own" if self.drafts_exactly else "int8",
            "threads": str(torch.get_num_threads()),
        }

    def output_layer(self, layer: Any) -> OutputLayer:
        """Return the product with the weights of a linear output layer, laid out at first use."""
        return PackedLinear(
            layer.weight.data, layer.bias, prepacks=self._prepacks, drafts=self._drafts
        )

    def rows_at_once(self, logits: Tensor) -> int:
        """Return how many rows of logits, in float32, the processor's cache holds."""
        return max(1, _FLOATS_IN_CACHE // logits.shape[1])

    def log_normalizers(self, logits: Tensor) -> Tensor:
        """Return log Σ exp in float32. *Shapes*: M × V → M."""
        if (kernels := kernels_for(logits)) is None:
            return super().log_normalizers(logits)
        return kernels.log_normalizers(logits)

    def minus_probabilities(self, logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        """Return −exp(logits − log_z) of the rows `chosen`. *Shapes*: M × V, M, N → N × V."""
        if (kernels := kernels_for(logits)) is None:
            return super().minus_probabilities(logits, log_z, chosen)
        return kernels.minus_probabilities(logits, log_z, chosen)

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest logits in falling order, their ids, and log Σ exp of all.

        *Shapes*: N × V → N × count, float32, N × count, N, float32.
        """
        kernels = kernels_for(logits)
        if kernels is None or count * FEWEST_PER_LIKELIEST > logits.shape[1]:
            return super().likeliest(logits, count)
        return kernels.likeliest(logits.contiguous(), count)

    def new_cache(self, branches: int, capacity: int) -> Cache:
        """Return an empty cache, for the compiled attention where the layers take it."""
        kernels = attention_kernels(self.model) if self.not_fused is None else None
        if kernels is None:
            return super().new_cache(branches, capacity)
        return BranchingCache(
            self.model.config,
            branches=branches,
            capacity=capacity,
            layer=lambda rows, tokens: CompiledBranchingLayer(rows, tokens, kernels),
        )

    def sides(self) -> int:
        """Return how many passes go side by side: two where there are several cores."""
        return sides()

    def side_by_side(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, sides: int
    ) -> Iterator[Result]:
        """Do the work on each item, so many at a time; yield the results in the items' order."""
        return side_by_side(work, items, sides=sides)

    def copied_bytes(self, weights: Sequence[Tensor]) -> int:
        """Return the bytes of further copies: for the first draft, for the first step, in int8."""
        matrices = [weight for weight in weights if weight.dim() == 2]
        in_int8 = 0
        if not self.drafts_exactly:
            in_int8 = sum(quantized_bytes(matrix) for matrix in matrices if can_quantize(matrix))
        if not (self._prepacks and self.not_fused is None and all(map(can_prepack, matrices))):
            return in_int8
        return in_int8 + 2 * sum(matrix.nbytes for matrix in matrices)

    def _weight(self) -> Tensor:
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def _warn(self, *, frozen: bool) -> None:
        """Say once what falls back to slower operations, and what would make it quicker."""
        kind = type(self.model).__name__
        if frozen and self.not_fused is not None:
            log.warning(
                "%s runs in its own layers, more slowly than fused ones: %s.", kind, self.not_fused
            )
        elif self.model.dtype == torch.bfloat16 and compiled_kernels() is None:
            log.warning(
                "%s runs without compiled passes, more slowly: install a C compiler (cc), or unset "
                "CORLL_CPU_KERNELS=off.",
                kind,
            )

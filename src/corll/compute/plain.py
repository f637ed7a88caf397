"""The plain backend: torch's own operations, on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from corll.compute.backend import Item, OutputLayer, Result
from corll.compute.branching_cache import BranchingCache
from corll.compute.frozen_linear import FrozenLinear
from corll.compute.fused_layers import LayerOperations, fuse_layers
from corll.config import Int8Drafts
from corll.errors import ConfigError


class PlainBackend:
    """Does all that `Backend` asks for. `not_fused` says why layers are the model's own, if so."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.not_fused: str | None = "nothing was prepared yet"

    @property
    def flattens_rows(self) -> bool:
        """Whether batches are flat: here they are padded, and one kernel attends to all rows."""
        return False

    @property
    def mixes_adapters(self) -> bool:
        """Whether rows may have adapters of their own: where the layers are fused."""
        return self.not_fused is None

    def prepare(self, *, frozen: bool) -> None:
        """Give the layers a leaner forward pass, whose backward pass knows no frozen weights."""
        if frozen:
            self.not_fused = fuse_layers(self.model, self.layer_operations())
        else:
            self.not_fused = "all weights learn"

    def use_int8_drafts(self, wanted: Int8Drafts) -> None:
        """Refuse drafts in int8. *Raises*: ConfigError where they are wanted."""
        if wanted is True:
            raise ConfigError(
                "Drafts in int8 are computed by the CPU's backend alone; leave that setting."
            )

    @property
    def drafts_exactly(self) -> bool:
        """Whether texts are drafted by the weights that score them: always."""
        return True

    def drafting(self, *, exactly: bool) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()

    def layer_operations(self) -> LayerOperations:
        """Return what fused layers are made of here."""
        return LayerOperations()

    def describe(self) -> Mapping[str, str]:
        """Return which path each part of the model takes, by the part's name."""
        layers = "fused" if self.not_fused is None else f"the model's own ({self.not_fused})"
        return {
            "device": f"{self.model.device}, {str(self.model.dtype).removeprefix('torch.')}",
            "layers": layers,
            "products": "torch",
        }

    def output_layer(self, layer: Any) -> OutputLayer:
        """Return the product with the weights of a linear output layer."""
        return FrozenLinear(layer.weight.data, layer.bias)

    def rows_at_once(self, logits: Tensor) -> int:
        """Return how many rows of logits are worked at together."""
        return max(1, len(logits))

    def log_normalizers(self, logits: Tensor) -> Tensor:
        """Return log Σ exp in float32. *Shapes*: M × V → M."""
        few = torch.split(logits, self.rows_at_once(logits))
        return torch.cat([rows.float().logsumexp(-1) for rows in few])

    def minus_probabilities(self, logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        """Return −exp(logits − log_z) of the rows `chosen`, in float32 and rounded once.

        *Shapes*: M × V, M, N → N × V.
        """
        out = logits[chosen]
        size = self.rows_at_once(logits)
        parts = zip(torch.split(out, size), torch.split(log_z[chosen], size), strict=True)
        for rows, log_zs in parts:
            rows.copy_(rows.float().sub_(log_zs[:, None]).exp_().neg_())
        return out

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest logits in falling order, their ids, and log Σ exp of all.

        *Shapes*: N × V → N × count, float32, N × count, N, float32.
        """
        few = torch.split(logits, self.rows_at_once(logits))
        found = [(*rows.float().topk(count, dim=-1), self.log_normalizers(rows)) for rows in few]
        top, ids, log_z = (torch.cat(part) for part in zip(*found, strict=True))
        return top, ids, log_z

    def new_cache(self, branches: int, capacity: int) -> Cache:
        """Return an empty cache for prompts, each to be gone on with in so many branches."""
        return BranchingCache(self.model.config, branches=branches, capacity=capacity)

    def decode_arguments(self) -> dict[str, Any]:
        """Return a place for the adapters as fused layers take them, which ask for them once."""
        return {"settled": {}} if self.not_fused is None else {}

    def sides(self) -> int:
        """Return 1: a device computes one pass at a time."""
        return 1

    def side_by_side(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, sides: int
    ) -> Iterator[Result]:
        """Do the work on one item after another."""
        return map(work, items)

    def copied_bytes(self, weights: Sequence[Tensor]) -> int:
        """Return 0: weights are used as they lie."""
        return 0

"""Keys and values of many branches of a prompt, while they are drawn token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class BranchingLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, allocated once for the prompt and all that will be drawn.

    The first update takes the prompts (P rows) and lays them into `branches` rows each; later ones
    take a token for each of these rows and write it in place. Keys lie transposed, as attention
    reads them. `before` are keys and values of what the prompts begin with, where that is known.
    *Shapes*: `before` P × G × F × D each.
    """

    def __init__(self, branches: int, capacity: int) -> None:
        super().__init__()
        self.branches, self.capacity, self.length = branches, capacity, 0
        self.before: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        P, G, _, D = key_states.shape
        rows = P * self.branches
        self.keys = key_states.new_empty(rows, G, D, self.capacity).transpose(2, 3)
        self.values = value_states.new_empty(rows, G, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            key_states, value_states = self.after_before(key_states, value_states)
            self.lazy_initialization(key_states, value_states)
            self.length = key_states.shape[2]
            self.keys[:, :, : self.length] = key_states.repeat_interleave(self.branches, 0)
            self.values[:, :, : self.length] = value_states.repeat_interleave(self.branches, 0)
            return key_states, value_states
        self.keys[:, :, self.length] = key_states[:, :, 0]
        self.values[:, :, self.length] = value_states[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def after_before(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of whole prompts from those of what is not known of them."""
        if self.before is None:
            return keys, values
        before, self.before = self.before, None
        return torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity

    get_max_cache_shape = get_max_length  # what older releases of transformers call it

    def batch_select_indices(self, indices: Tensor) -> None:
        self.keys = self.keys.transpose(2, 3)[indices].transpose(2, 3)
        self.values = self.values[indices]


class BranchingCache(Cache):  # type: ignore[misc]
    """A branching layer for each layer of the model; `layer` makes one, by default a plain one."""

    def __init__(
        self,
        config: Any,
        *,
        branches: int,
        capacity: int,
        layer: Callable[[int, int], BranchingLayer] = BranchingLayer,
    ) -> None:
        count = config.get_text_config().num_hidden_layers
        super().__init__(layers=[layer(branches, capacity) for _ in range(count)])

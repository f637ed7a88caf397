"""Keys and values of the beginnings of prompts, kept from one decoding to the next.

What stands before a request, such as past letters, is the same in many prompts. It is computed by
itself, whether or not it is kept, so that a draft does not depend on what was drafted before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicCache

from corll.compute.network import Network
from corll.compute.packing import Ids


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the first `length` tokens of a row, one of each for every layer.

    *Shapes*: each G × F × D, where F is `length`; the keys are rotated.
    """

    length: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return sum(part.nbytes for part in (*self.keys, *self.values))


class KeptPrefixes:
    """The prefixes that were used last, as many as `capacity` bytes hold.

    `weights` names the weights that computed a prefix, and must name others once these learn.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: OrderedDict[Hashable, Prefix] = OrderedDict()

    def of_prompts(
        self,
        network: Network,
        prompts: Sequence[Ids],
        lengths: Sequence[int],
        max_new_tokens: int,
        *,
        weights: Hashable,
    ) -> list[Prefix | None] | None:
        """Return what prompts begin with, so many tokens of each as `lengths` says.

        Returns None where all of a prompt must be computed at once: where rows do not share a
        batch, or the keys of a short row are others than those of a long one.
        """
        lasts = (len(prompt) + max_new_tokens for prompt in prompts)
        grown = (range(n, last) for n, last in zip(lengths, lasts, strict=True))
        goes_on = network.drafting == "batch" and network.takes_trees
        if not goes_on or not any(lengths) or not all(map(network.turns_alike, grown)):
            return None
        begun = zip(prompts, lengths, strict=True)
        return [self.prefix(network, ids[:length], weights=weights) for ids, length in begun]

    def prefix(self, network: Network, ids: Ids, *, weights: Hashable) -> Prefix | None:
        """Return what a row begins with, computed unless it is kept; None for no ids.

        Weights and their form (`Backend.drafting`) are those that the network runs with.
        """
        if not ids:
            return None
        key = (weights, ids)
        found = self._kept.get(key) or prefix_of(network, ids)
        self._kept[key] = found
        self._kept.move_to_end(key)
        while self.nbytes > self.capacity:
            self._kept.popitem(last=False)
        return found

    @property
    def nbytes(self) -> int:
        """Return the bytes that all kept prefixes take."""
        return sum(prefix.nbytes for prefix in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)


def prefix_of(network: Network, ids: Ids) -> Prefix:
    """Return keys and values of the first tokens of a row."""
    device, F = network.model.device, len(ids)
    cache = DynamicCache(config=network.model.config)
    dtype = network.model.dtype
    mask = torch.full((F, F), torch.finfo(dtype).min, dtype=dtype, device=device).triu(1)
    network.backbone(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.arange(F, device=device)[None],
        attention_mask=mask[None, None],
        past_key_values=cache,
        use_cache=True,
    )
    layers: Any = cache.layers
    keys = tuple(layer.keys[0].contiguous() for layer in layers)
    return Prefix(F, keys, tuple(layer.values[0].contiguous() for layer in layers))


def begin_with(cache: Cache, prefixes: Sequence[Prefix | None]) -> None:
    """Let an empty cache begin with a prefix for each prompt, padded on the left to one length."""
    longest = max((prefix.length for prefix in prefixes if prefix is not None), default=0)
    some = next((prefix for prefix in prefixes if prefix is not None), None)
    if some is None:
        return
    for number, layer in enumerate(cache.layers):
        empty = (some.keys[number][:, :0], some.values[number][:, :0])
        pairs = [
            empty if prefix is None else (prefix.keys[number], prefix.values[number])
            for prefix in prefixes
        ]
        layer.before = tuple(
            torch.stack([pad(part, (0, 0, longest - part.shape[1], 0)) for part in parts])
            for parts in zip(*pairs, strict=True)
        )

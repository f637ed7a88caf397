"""Keys and values of the beginnings of prompts, kept from one decoding to the next.

What stands before a request, such as past letters, is the same in many prompts. It is computed by
itself in blocks of so many tokens, whether or not it is kept, so that a draft does not depend on
what was drafted before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicCache

from corll.compute.network import Network
from corll.compute.packing import Ids

BLOCK = 256
"""Tokens that are computed, and kept, together."""


@dataclass(frozen=True)
class Prefix:
    """Keys and values of `length` tokens of a row, one of each for every layer.

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
    """The blocks of prefixes that were used last, as many as `capacity` bytes hold.

    `weights` names the weights that computed a prefix, and must name others once these learn.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.nbytes = 0
        self._kept: OrderedDict[Hashable, Prefix] = OrderedDict()

    def of_prompts(
        self,
        network: Network,
        prompts: Sequence[Ids],
        lengths: Sequence[int],
        max_new_tokens: int,
        *,
        weights: Sequence[Hashable],
        running: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> list[Prefix | None] | None:
        """Return what prompts begin with, so many tokens of each as `lengths` says.

        `weights` are those of each prompt. The network runs with those of a prompt while the
        context lasts that `running` returns of its number, so that a beginning is computed as it is
        without the others.
        Returns None where all of a prompt must be computed at once: where rows do not share a
        batch, or the keys of a short row are others than those of a long one.
        """
        lasts = (len(prompt) + max_new_tokens for prompt in prompts)
        grown = (range(min(n, BLOCK), last) for n, last in zip(lengths, lasts, strict=True))
        if not any(lengths) or not can_begin(network) or not all(map(network.turns_alike, grown)):
            return None
        found = []
        for number, (ids, length) in enumerate(zip(prompts, lengths, strict=True)):
            with running(number):
                found.append(self.prefix(network, ids[:length], weights=weights[number]))
        return found

    def prefix(self, network: Network, ids: Ids, *, weights: Hashable) -> Prefix | None:
        """Return what a row begins with, computed where it is not kept; None for no ids.

        Weights and their form (`Backend.drafting`) are those that the network runs with.
        """
        blocks: list[Prefix] = []
        for end in _ends(len(ids)):
            key = (weights, ids[:end])
            blocks.append(self._kept.get(key) or _block(network, ids[:end], blocks))
            self._keep(key, blocks[-1])
        return _joined(blocks) if blocks else None

    def prepare(self, network: Network, ids: Ids, *, weights: Hashable) -> bool:
        """Compute the next block of what rows begin with; say whether any is still missing."""
        blocks: list[Prefix] = []
        for end in _ends(len(ids)):
            key = (weights, ids[:end])
            found = self._kept.get(key)
            if found is None:
                found = _block(network, ids[:end], blocks)
                self._keep(key, found)
                # Without room for it, there is nothing to go on from.
                return end < len(ids) and key in self._kept
            blocks.append(found)
        return False

    def clear(self) -> None:
        """Let go of all blocks."""
        self._kept.clear()
        self.nbytes = 0

    def _keep(self, key: Hashable, block: Prefix) -> None:
        if key not in self._kept:
            self.nbytes += block.nbytes
        self._kept[key] = block
        self._kept.move_to_end(key)
        while self.nbytes > self.capacity:
            self.nbytes -= self._kept.popitem(last=False)[1].nbytes

    def __len__(self) -> int:
        return len(self._kept)


def can_begin(network: Network) -> bool:
    """Say whether rows of a network can go on from keys and values of their first tokens."""
    return network.drafting == "batch" and network.takes_trees


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


def _ends(length: int) -> list[int]:
    """Return where the blocks of a prefix end."""
    return [*range(BLOCK, length, BLOCK), length] if length else []


@torch.no_grad()
def _block(network: Network, ids: Ids, before: Sequence[Prefix]) -> Prefix:
    """Return the last block of a row's first tokens, after the blocks before it."""
    device, dtype = network.model.device, network.model.dtype
    start, end = sum(block.length for block in before), len(ids)
    cache = DynamicCache(config=network.model.config)
    if before:
        known = _joined(before)
        for number, (key, value) in enumerate(zip(known.keys, known.values, strict=True)):
            cache.update(key[None], value[None], number)
    mask = torch.zeros(end - start, end, dtype=dtype, device=device)
    mask[:, start:] = torch.full_like(mask[:, start:], torch.finfo(dtype).min).triu(1)
    network.backbone(
        input_ids=torch.tensor([ids[start:]], device=device),
        position_ids=torch.arange(start, end, device=device)[None],
        attention_mask=mask[None, None],
        past_key_values=cache,
        use_cache=True,
    )
    layers: Any = cache.layers
    # Copies, so that a block does not hold on to the memory of those before it.
    keys = tuple(layer.keys[0, :, start:].clone() for layer in layers)
    return Prefix(end - start, keys, tuple(layer.values[0, :, start:].clone() for layer in layers))


def _joined(blocks: Sequence[Prefix]) -> Prefix:
    """Return blocks as one."""
    keys = _end_to_end([block.keys for block in blocks])
    values = _end_to_end([block.values for block in blocks])
    return Prefix(sum(block.length for block in blocks), keys, values)


def _end_to_end(blocks: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(parts, 1) for parts in zip(*blocks, strict=True))

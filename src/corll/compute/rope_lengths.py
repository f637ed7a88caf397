"""Rope scalings that depend on a text's length: every row gets the frequencies that it has alone.

`transformers` picks the frequencies of `longrope` (Phi-3, Phi-4) and `dynamic` scalings by the
longest position of a whole batch, and keeps those of a long text for later ones. Here each row of
a batch, padded or flat, is turned by those of its own length, and nothing is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_LONGROPE, _DYNAMIC = "longrope", "dynamic"


@dataclass(frozen=True)
class RopeLengths:
    """Which lengths of rows are turned alike: all up to `border`, and above it all or none."""

    border: int
    each_its_own: bool

    def kind(self, length: int) -> int:
        """Return a number that lengths in tokens have in common if they are turned alike."""
        if length <= self.border:
            return 0
        return length if self.each_its_own else self.border + 1

    def kinds(self, lengths: Tensor) -> Tensor:
        """Return the numbers of `kind`, elementwise."""
        above = lengths if self.each_its_own else torch.full_like(lengths, self.border + 1)
        return torch.where(lengths <= self.border, 0, above)


def turn_rows_by_length(model: Any) -> RopeLengths | None:
    """Let a model turn each row by its own length; return which lengths are alike.

    Returns None, and changes nothing, where frequencies do not depend on the length.
    """
    found = [lengths for module in model.modules() if (lengths := _turned_by_length(module))]
    if not found:
        return None
    each_its_own = any(lengths.each_its_own for lengths in found) or len(set(found)) > 1
    return RopeLengths(min(lengths.border for lengths in found), each_its_own)


def _turned_by_length(module: Any) -> RopeLengths | None:
    """Let a rotary module turn each row by its own length, if it turns by length at all."""
    kinds: Any = getattr(module, "rope_type", None)
    parameters: Any = getattr(getattr(module, "config", None), "rope_parameters", None)
    if not isinstance(kinds, Mapping):
        kinds, parameters = {None: kinds}, {None: parameters}
    borders = {}
    for layers, kind in kinds.items():
        if kind == _LONGROPE:
            borders[kind] = int(parameters[layers]["original_max_position_embeddings"])
        elif isinstance(kind, str) and _DYNAMIC in kind:
            borders[_DYNAMIC] = int(module.config.max_position_embeddings)
    if not borders:
        return None
    lengths = RopeLengths(min(borders.values()), _DYNAMIC in borders)
    module.forward = partial(_turn, _Pristine(module), lengths)
    return lengths


class _Pristine:
    """Makes copies of a rotary module as it was before it saw any text.

    Passes side by side have a copy each: a module that turns by length writes to itself.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.state = dict(vars(module))
        self.buffers = {
            name: buffer.clone() for name, buffer in module.named_buffers(recurse=False)
        }

    def forward(self) -> Callable[..., Any]:
        """Return the forward pass of a copy."""
        module = copy.copy(self.module)
        vars(module).update(self.state)
        vars(module)["_buffers"] = {name: buffer.clone() for name, buffer in self.buffers.items()}
        return partial(type(module).forward, module)


def _turn(
    pristine: _Pristine,
    lengths: RopeLengths,
    x: Tensor,
    position_ids: Tensor,
    *layers: Any,
    **named: Any,
) -> Any:
    """Return the cosines and sines of positions, each row's by its own length.

    *Shapes*: `position_ids` B × T, T tokens of a padded row or of rows one after another.
    """
    kinds = lengths.kinds(_row_lengths(position_ids))
    found: Any = None
    for kind in sorted(set(kinds.flatten().tolist())):
        own = kinds == kind
        turned = pristine.forward()(x, torch.where(own, position_ids, 0), *layers, **named)
        found = turned if found is None else _where(own, turned, found)
    return found


def _row_lengths(position_ids: Tensor) -> Tensor:
    """Return for each position the length of its row, which begins at position 0.

    A single position is that of a row's last token. *Shapes*: B × T → B × T.
    """
    rows = (position_ids == 0).long().cumsum(-1)
    longest = torch.zeros(
        len(rows), rows.shape[1] + 1, dtype=position_ids.dtype, device=position_ids.device
    )
    longest.scatter_reduce_(1, rows, position_ids, "amax")
    return longest.gather(1, rows) + 1


def _where(own: Tensor, turned: Any, others: Any) -> Any:
    """Return `turned` at the positions that are `own`, elsewhere `others`: a tensor, or several."""
    if isinstance(turned, Tensor):
        return torch.where(own.unsqueeze(-1), turned, others)
    return tuple(_where(own, *parts) for parts in zip(turned, others, strict=True))

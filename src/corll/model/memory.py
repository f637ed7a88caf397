"""How much memory the work takes: what fits a limit, and what a policy needs in all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from corll.model.loading import LoadedModel

_GIB = 2**30
_OPTIMISER_VALUES = 3
"""For each of an adapter's parameters while it learns: its gradient and Adam's two moments."""


@dataclass(frozen=True)
class WorkingSet:
    """What a policy keeps in memory, and at most works with. *Units*: GiB."""

    weights: float
    copies: float
    adapter: float
    optimiser: float
    work: float

    @property
    def total(self) -> float:
        return self.weights + self.copies + self.adapter + self.optimiser + self.work

    def __str__(self) -> str:
        copies = f" and {self.copies:.2g} laid out for products" if self.copies else ""
        return (
            f"at most {self.total:.2g} GB: weights {self.weights:.2g}{copies}, adapter and "
            f"optimiser {self.adapter + self.optimiser:.2g}, work up to {self.work:.2g}"
        )


def working_set(
    base: LoadedModel,
    adapter: Iterable[Tensor],
    limit_gb: float,
    *,
    copied: Callable[[Sequence[Tensor]], int],
) -> WorkingSet:
    """Return what a model needs that learns by `adapter`, with `limit_gb` for what passes through.

    `copied` tells the bytes of the copies of its weights that a backend lays out: where the
    processor gains by it one at the first draft, and another at the first step.
    """
    weights = [parameter for _, parameter in base.weights()]
    own = sum(map(_gib, adapter))
    return WorkingSet(
        weights=sum(map(_gib, weights)),
        copies=copied(weights) / _GIB,
        adapter=own,
        optimiser=_OPTIMISER_VALUES * own,
        work=limit_gb,
    )


def _gib(tensor: Tensor) -> float:
    return tensor.numel() * tensor.element_size() / _GIB


def tokens_within(limit_gb: float, model: Any) -> int:
    """Return how many row tokens, with padding, fit into `limit_gb` while learning.

    At least 1: a preference that alone is larger still gets its turn.
    """
    return max(1, int(limit_gb * _GIB / activation_bytes_per_token(model)))


def activation_bytes_per_token(model: Any) -> int:
    """Return the bytes that a row token keeps for the backward pass, within a factor of three.

    Per layer: about 24 vectors of the hidden size (norms, projections, their rotations and
    expansions over heads, the attention's output, residuals) and 6 of the feed-forward size,
    in the model's dtype.
    """
    config = model.config.get_text_config()
    hidden = config.hidden_size
    inner = _largest(getattr(config, "intermediate_size", None)) or 4 * hidden
    values = config.num_hidden_layers * (24 * hidden + 6 * inner)
    return int(values * model.dtype.itemsize)


def branches_within(limit_gb: float, model: Any, length: int) -> int:
    """Return how many branches of `length` tokens can be drafted at once; at least 1."""
    per_branch = length * cache_bytes_per_token(model) + _logits_bytes(model)
    return max(1, int(limit_gb * _GIB / per_branch))


def cache_bytes_per_token(model: Any) -> int:
    """Return the bytes of the keys and values of one token in all layers.

    Of a model without attention heads, which keeps a state of one size, this is more than it takes.
    """
    config = model.config.get_text_config()
    query_heads = getattr(config, "num_attention_heads", None) or 1
    heads = _largest(getattr(config, "num_key_value_heads", None)) or query_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _largest(size: int | Sequence[int] | None) -> int:
    """Return a size, the largest where each layer has its own; 0 for none."""
    return max(size, default=0) if isinstance(size, Sequence) else size or 0


def _logits_bytes(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size * model.dtype.itemsize)

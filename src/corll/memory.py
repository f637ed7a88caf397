"""How many tokens a pass may hold at once within a memory limit."""

from __future__ import annotations

from typing import Any

from corll.policy import Policy

_GIB = 2**30


def tokens_within(limit_gb: float, policy: Policy) -> int:
    """Row tokens, with padding, whose activations fit into `limit_gb` while learning.

    At least 1: a preference that alone is larger still gets its turn.
    """
    return max(1, int(limit_gb * _GIB / activation_bytes_per_token(policy.base.model)))


def activation_bytes_per_token(model: Any) -> int:
    """Bytes that one row token keeps for the backward pass, right within a factor of three.

    Per layer: about 24 vectors of the hidden size (norms, projections, their rotations and
    expansions over heads, the attention's output, residuals) and 6 of the feed-forward size,
    in the model's dtype.
    """
    config = model.config
    hidden = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    values = config.num_hidden_layers * (24 * hidden + 6 * inner)
    return int(values * model.dtype.itemsize)

"""The penalty where an edit, or what it left of the draft, falls below the reference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

from corll.losses.pair_logprobs import PairLogprobs


def shortfall(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Return ½ max(0, log π_0 − log π)², averaged over tokens: how far π fell below π_0 on them.

    Its gradient is 0 where π = π_0, and where learning made a token likelier.
    *Shapes*: T → a number, 0 for no tokens. *Units*: nats². *Source*: DPOP (Pal et al. 2024,
    arXiv 2402.13228) bounds the fall of whole chosen responses; here it is that of single tokens.
    """
    fallen = relu(reference_logprobs - logprobs)
    return fallen.square().sum() / (2 * max(len(logprobs), 1))


class ShortfallLoss:
    """The shortfall of the edit and of the tokens it left of the draft, averaged over both."""

    shared_terms_cancel = False
    needs_pair = False

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B. *Units*: nats²."""
        rows = []
        for pair in pairs.by_token():
            kept = pair.comparison.kept
            edit = shortfall(pair.chosen, pair.reference_chosen)
            draft = shortfall(pair.rejected[kept], pair.reference_rejected[kept])
            rows.append((edit + draft) / 2)
        return torch.stack(rows)

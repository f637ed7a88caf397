"""Supervision: the mean token loss of the edit, or of what the edit changed."""

from __future__ import annotations

import torch
from torch import Tensor

from corll.config import SftTokens
from corll.losses.pair_logprobs import PairLogprobs


class SupervisionLoss:
    """−log π of the chosen response, averaged over its tokens.

    `tokens` says which of them: all, or those where the edit leaves the draft. A pair without such
    a token adds 0.
    """

    def __init__(self, tokens: SftTokens) -> None:
        self.tokens = tokens

    @property
    def shared_terms_cancel(self) -> bool:
        """Whether only tokens are supervised that lie behind the shared beginning."""
        return self.tokens == "changed"

    @property
    def needs_pair(self) -> bool:
        """Whether it looks at what an edit changed, which is nothing where both sides agree."""
        return self.tokens == "changed"

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        if self.tokens == "all":
            return -pairs.chosen / pairs.lengths()[0]
        rows = [(pair.chosen, pair.comparison.changed) for pair in pairs.by_token()]
        return torch.stack([-chosen[at].sum() / max(len(at), 1) for chosen, at in rows])

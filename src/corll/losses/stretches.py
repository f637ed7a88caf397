"""DPO's loss of what was changed alone: what draft and edit share is neither pushed up nor down."""

from __future__ import annotations

import torch
from torch import Tensor

from corll.losses.logistic import smoothed_loss
from corll.losses.pair_logprobs import PairLogprobs, PairTokens
from corll.losses.registry import PreferenceLoss, register


@register("changed", takes_label_smoothing=True)
class ChangedLoss(PreferenceLoss):
    """−(1−ε) log σ(δ) − ε log σ(−δ), with rewards of the tokens where edit and draft differ.

    Of the edit these are what it changed, of the draft what it did not keep (`TokenComparison`).
    In sums of whole responses a kept sentence behind an inserted one counts twice: it is pushed up
    behind the insertion, and down without it.
    """

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        margins = torch.stack([self._margin(pair) for pair in pairs.by_token()])
        return smoothed_loss(margins, self.label_smoothing)

    def _margin(self, pair: PairTokens) -> Tensor:
        changed, kept = pair.comparison
        dropped = torch.ones(len(pair.rejected), dtype=torch.bool, device=pair.rejected.device)
        dropped[kept] = False
        chosen = (pair.chosen - pair.reference_chosen)[changed].sum()
        rejected = (pair.rejected - pair.reference_rejected)[dropped].sum()
        return self.beta * (chosen - rejected)

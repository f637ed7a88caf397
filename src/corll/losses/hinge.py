"""The hinge loss: max(0, 1 − δ). *Source*: SLiC, Zhao et al. 2023."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from corll.losses.pair_logprobs import PairLogprobs
from corll.losses.registry import PreferenceLoss, register


@register("hinge")
class HingeLoss(PreferenceLoss):
    """max(0, 1 − δ), flat from a margin of one on."""

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        return relu(1 - pairs.margins(self.beta))

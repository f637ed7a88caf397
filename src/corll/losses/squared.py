"""IPO: (δ/β − 1/(2β))² with δ of means per token. *Source*: Azar et al. 2023; means as TRL."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from corll.losses.pair_logprobs import PairLogprobs
from corll.losses.registry import PreferenceLoss, register


@register("ipo")
class IpoLoss(PreferenceLoss):
    """(δ/β − 1/(2β))².

    Each side is divided by its own length, so what both share does not cancel.
    """

    shared_terms_cancel: ClassVar[bool] = False

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B. *Raises*: ConfigError without lengths."""
        chosen, rejected = pairs.rewards(self.beta)
        chosen_lengths, rejected_lengths = pairs.lengths()
        margins = chosen / chosen_lengths - rejected / rejected_lengths
        return (margins / self.beta - 1 / (2 * self.beta)) ** 2

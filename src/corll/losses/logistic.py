"""Losses by the logistic function of the margin: DPO's own, smoothed, and robust to noise.

With the margin δ and the assumed share ε of pairs that point the wrong way:

| name    | loss of a pair                           | source                             |
|---------|------------------------------------------|------------------------------------|
| sigmoid | −(1−ε) log σ(δ) − ε log σ(−δ)            | paper, B.4; ε: cDPO, Mitchell 2023 |
| robust  | (−(1−ε) log σ(δ) + ε log σ(−δ)) / (1−2ε) | rDPO, Chowdhury et al. 2024        |

The paper states (9) as a log-likelihood to maximise and drops β in B.4: here its negative is
minimised, and β is kept.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from corll.losses.pair_logprobs import PairLogprobs
from corll.losses.registry import PreferenceLoss, register


def smoothed_loss(margins: Tensor, epsilon: float) -> Tensor:
    """Return −(1−ε) log σ(δ) − ε log σ(−δ) of margins δ. *Shapes*: B."""
    return -(1 - epsilon) * logsigmoid(margins) - epsilon * logsigmoid(-margins)


@register("sigmoid", takes_label_smoothing=True)
class SigmoidLoss(PreferenceLoss):
    """−(1−ε) log σ(δ) − ε log σ(−δ)."""

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        return smoothed_loss(pairs.margins(self.beta), self.label_smoothing)


@register("robust", takes_label_smoothing=True)
class RobustLoss(PreferenceLoss):
    """(−(1−ε) log σ(δ) + ε log σ(−δ)) / (1−2ε), unbiased where a share ε of pairs is flipped."""

    def __call__(self, pairs: PairLogprobs) -> Tensor:
        """Return the loss of each pair. *Shapes*: B."""
        margins, epsilon = pairs.margins(self.beta), self.label_smoothing
        signed = -(1 - epsilon) * logsigmoid(margins) + epsilon * logsigmoid(-margins)
        return signed / (1 - 2 * epsilon)

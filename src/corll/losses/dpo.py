"""The preference losses as one function of summed log-probabilities."""

from __future__ import annotations

from torch import Tensor

from corll.losses.objective import Objective
from corll.losses.pair_logprobs import PairLogprobs
from corll.losses.registry import preference_loss


def dpo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    reference_chosen_logprobs: Tensor,
    reference_rejected_logprobs: Tensor,
    *,
    beta: float = 0.1,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    chosen_lengths: Tensor | None = None,
    rejected_lengths: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a preference loss, averaged over pairs, and its metrics under TRL's names.

    `label_smoothing` is ε, the assumed share of pairs that point the wrong way. `Objective` adds
    supervision and the shortfall.

    *Shapes*: all B. *Units*: log-probabilities in nats, summed over the response; lengths in
    tokens, with the end token where there is one (needed by `ipo`).
    *Raises*: ConfigError for an unknown loss type, or lengths that are needed and missing.
    """
    loss = preference_loss(loss_type, beta=beta, label_smoothing=label_smoothing)
    return Objective(loss)(
        PairLogprobs(
            chosen_logprobs,
            rejected_logprobs,
            reference_chosen_logprobs,
            reference_rejected_logprobs,
            chosen_lengths,
            rejected_lengths,
        )
    )

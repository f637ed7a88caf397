"""Pairwise losses as pure functions of log-probabilities: tensors in, loss and metrics out.

With the implicit reward R_π(x, y) = β (log π(y|x) − log π_0(y|x)) and the margin
δ = R_π(x, chosen) − R_π(x, rejected):

| name    | loss of a pair                           | source                              |
|---------|------------------------------------------|-------------------------------------|
| sigmoid | −(1−ε) log σ(δ) − ε log σ(−δ)            | paper, B.4; ε: cDPO, Mitchell 2023  |
| robust  | (−(1−ε) log σ(δ) + ε log σ(−δ)) / (1−2ε) | rDPO, Chowdhury et al. 2024         |
| hinge   | max(0, 1 − δ)                            | SLiC, Zhao et al. 2023              |
| ipo     | (δ/β − 1/(2β))², δ of means per token    | IPO, Azar et al. 2023; means as TRL |

The paper states (9) as a log-likelihood to maximise and drops β in B.4: here its negative is
minimised, and β is kept.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from corll.config import CoactiveConfig, LossType
from corll.errors import ConfigError


def dpo_loss(
    chosen_logprobs: Tensor,
    rejected_logprobs: Tensor,
    reference_chosen_logprobs: Tensor,
    reference_rejected_logprobs: Tensor,
    *,
    beta: float = 0.1,
    loss_type: LossType = "sigmoid",
    label_smoothing: float = 0.0,
    preference_weight: float = 1.0,
    sft_weight: float = 0.0,
    chosen_lengths: Tensor | None = None,
    rejected_lengths: Tensor | None = None,
    supervised_logprobs: Tensor | None = None,
    supervised_lengths: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, averaged over its pairs, and its metrics under TRL's names.

    `loss` among the metrics is the preference loss alone; `loss/total`, which is returned, is
    `preference_weight` times that and `sft_weight` times the mean token loss of the chosen
    responses. `label_smoothing` is ε, the assumed share of pairs that point the wrong way.

    *Shapes*: all B. *Units*: log-probabilities in nats, summed over the response; lengths in
    tokens, with the end token where there is one (needed by `ipo` and by `sft_weight`).
    `supervised_logprobs` and `supervised_lengths` narrow supervision to some of the chosen tokens.
    *Raises*: ConfigError for an unknown loss type, or lengths that are needed and missing.
    """
    chosen_rewards = implicit_reward(chosen_logprobs, reference_chosen_logprobs, beta)
    rejected_rewards = implicit_reward(rejected_logprobs, reference_rejected_logprobs, beta)
    margins = chosen_rewards - rejected_rewards
    if loss_type == "sigmoid":
        losses = _smoothed(margins, label_smoothing)
    elif loss_type == "robust":
        losses = _unbiased(margins, label_smoothing)
    elif loss_type == "hinge":
        losses = relu(1 - margins)
    elif loss_type == "ipo":
        chosen_mean = chosen_rewards / _needed(chosen_lengths, "chosen_lengths")
        rejected_mean = rejected_rewards / _needed(rejected_lengths, "rejected_lengths")
        losses = _squared(chosen_mean - rejected_mean, beta)
    else:
        raise ConfigError(f"No loss {loss_type!r}; there are: sigmoid, robust, hinge, ipo.")
    loss = losses.mean()
    total = preference_weight * loss
    if sft_weight:
        if supervised_logprobs is None:
            supervised_logprobs, supervised_lengths = chosen_logprobs, chosen_lengths
        lengths = _needed(supervised_lengths, "chosen_lengths")
        total = total - sft_weight * (supervised_logprobs / lengths.clamp(min=1)).mean()
    metrics = {
        "loss": loss,
        "loss/total": total,
        "rewards/chosen": chosen_rewards.mean(),
        "rewards/rejected": rejected_rewards.mean(),
        "rewards/accuracies": (margins > 0).float().mean(),
        "rewards/margins": margins.mean(),
        "logps/chosen": chosen_logprobs.mean(),
        "logps/rejected": rejected_logprobs.mean(),
    }
    return total, {name: value.detach() for name, value in metrics.items()}


def shortfall(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """½ max(0, log π_0 − log π)², averaged over tokens: how far π has fallen below π_0 on them.

    Its gradient is 0 where π = π_0, and where learning made a token likelier.
    *Shapes*: T → a number, 0 for no tokens. *Units*: nats². *Source*: DPOP (Pal et al. 2024,
    arXiv 2402.13228) bounds the fall of whole chosen responses; here it is that of single tokens.
    """
    fallen = relu(reference_logprobs - logprobs)
    return fallen.square().sum() / (2 * max(len(logprobs), 1))


def shared_terms_cancel(config: CoactiveConfig) -> bool:
    """Whether the terms that chosen and rejected share drop out of the gradient.

    Not in IPO, where each side is divided by its own length, nor where tokens that both share are
    supervised or kept; what an edit changed lies behind the shared beginning.
    """
    supervised = config.sft_weight > 0 and config.sft_tokens == "all"
    return config.loss_type != "ipo" and not supervised and config.keep_weight == 0


def implicit_reward(logprobs: Tensor, reference_logprobs: Tensor, beta: float) -> Tensor:
    """R_π(x, y) = β (log π(y|x) − log π_0(y|x)), up to β log Z(x), which depends on x alone."""
    return beta * (logprobs - reference_logprobs)


def _smoothed(margins: Tensor, epsilon: float) -> Tensor:
    return -(1 - epsilon) * logsigmoid(margins) - epsilon * logsigmoid(-margins)


def _unbiased(margins: Tensor, epsilon: float) -> Tensor:
    signed = -(1 - epsilon) * logsigmoid(margins) + epsilon * logsigmoid(-margins)
    return signed / (1 - 2 * epsilon)


def _squared(margins: Tensor, beta: float) -> Tensor:
    return (margins / beta - 1 / (2 * beta)) ** 2


def _needed(lengths: Tensor | None, name: str) -> Tensor:
    if lengths is None:
        raise ConfigError(f"This loss averages over tokens: give {name}.")
    return lengths

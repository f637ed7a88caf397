"""What a step minimises: a preference loss, supervision and the shortfall, each with a weight."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from corll.config import CoactiveConfig
from corll.losses.pair_logprobs import PairLogprobs
from corll.losses.registry import Loss, PreferenceLoss, preference_loss_of
from corll.losses.shortfall import ShortfallLoss
from corll.losses.supervision import SupervisionLoss


class Objective:
    """A weighted sum of losses, and what they need taken together.

    `preference` comes first, since its loss and rewards are logged under TRL's names; `others` are
    further losses, each with its weight and the name it is logged under.
    """

    def __init__(
        self,
        preference: PreferenceLoss,
        *,
        preference_weight: float = 1.0,
        others: Sequence[tuple[str, float, Loss]] = (),
    ) -> None:
        self.preference, self.preference_weight = preference, preference_weight
        self.others = tuple(others)

    @classmethod
    def of(cls, config: CoactiveConfig) -> Objective:
        """Return the objective that a configuration names. *Raises*: ConfigError."""
        others: list[tuple[str, float, Loss]] = []
        if config.sft_weight:
            others.append(("loss/sft", config.sft_weight, SupervisionLoss(config.sft_tokens)))
        if config.keep_weight:
            others.append(("shortfall/kept", config.keep_weight, ShortfallLoss()))
        return cls(
            preference_loss_of(config), preference_weight=config.preference_weight, others=others
        )

    @property
    def shared_terms_cancel(self) -> bool:
        """Whether the terms that chosen and rejected share drop out of the gradient."""
        return all(loss.shared_terms_cancel for loss in self._losses())

    @property
    def needs_pair(self) -> bool:
        """Whether it has no meaning where both sides are the same text."""
        return any(loss.needs_pair for loss in self._losses())

    def __call__(self, pairs: PairLogprobs) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, averaged over its pairs, and its metrics.

        `loss` among the metrics is the preference loss alone; `loss/total` is what is returned.
        *Shapes*: numbers. *Units*: `rewards/…` and `logps/…` in nats, means over the pairs.
        """
        chosen_rewards, rejected_rewards = pairs.rewards(self.preference.beta)
        margins = chosen_rewards - rejected_rewards
        loss = self.preference(pairs).mean()
        total = self.preference_weight * loss
        metrics = {"loss": loss}
        for name, weight, other in self.others:
            metrics[name] = other(pairs).mean()
            total = total + weight * metrics[name]
        metrics |= {
            "loss/total": total,
            "rewards/chosen": chosen_rewards.mean(),
            "rewards/rejected": rejected_rewards.mean(),
            "rewards/accuracies": (margins > 0).float().mean(),
            "rewards/margins": margins.mean(),
            "logps/chosen": pairs.chosen.mean(),
            "logps/rejected": pairs.rejected.mean(),
        }
        return total, {name: value.detach() for name, value in metrics.items()}

    def _losses(self) -> list[Loss]:
        preference: list[Loss] = [self.preference] if self.preference_weight else []
        return preference + [loss for _, weight, loss in self.others if weight]

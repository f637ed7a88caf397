"""The learner `dpo`: the preference loss of whole texts alone, as the paper has it."""

from __future__ import annotations

from corll.config import LEARNERS, CoactiveConfig
from corll.learners.pairs import PairLearner
from corll.learners.registry import register
from corll.losses import Objective
from corll.losses.registry import preference_loss_of


@register("dpo", LEARNERS["dpo"])
class Dpo(PairLearner):
    """Learns to prefer the edit, by log-probabilities summed over each side."""

    @staticmethod
    def objective_of(config: CoactiveConfig) -> Objective:
        """Return the preference loss of `loss_type`, `beta` and `label_smoothing`."""
        return Objective(preference_loss_of(config))

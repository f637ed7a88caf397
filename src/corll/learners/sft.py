"""The learner `sft`: supervised fine-tuning on the edit."""

from __future__ import annotations

from corll.config import LEARNERS, CoactiveConfig
from corll.learners.pairs import PairLearner
from corll.learners.registry import register
from corll.losses import Objective, SupervisionLoss
from corll.losses.registry import preference_loss_of


@register("sft", LEARNERS["sft"])
class Sft(PairLearner):
    """Learns to say the edit, by the mean loss of all its tokens.

    The preference loss is logged and has no weight.
    """

    @staticmethod
    def objective_of(config: CoactiveConfig) -> Objective:
        """Return supervision on the whole edit."""
        supervision = ("loss/sft", 1.0, SupervisionLoss("all"))
        return Objective(preference_loss_of(config), preference_weight=0.0, others=[supervision])

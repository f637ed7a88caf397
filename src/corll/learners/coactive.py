"""The learner `coactive`: a preference loss, supervision and the shortfall, each by its weight."""

from __future__ import annotations

from corll.config import LEARNERS, CoactiveConfig
from corll.learners.pairs import PairLearner
from corll.learners.registry import register
from corll.losses import Objective


@register("coactive", LEARNERS["coactive"])
class Coactive(PairLearner):
    """Learns what to prefer and what to say, and is held to what the user let stand."""

    @staticmethod
    def objective_of(config: CoactiveConfig) -> Objective:
        """Return the sum of the losses by the weights of the configuration."""
        return Objective.of(config)

"""Losses of preferences: one file a family, each saying what it needs, known by name.

A loss is a function of log-probabilities: tensors in, a number for each pair out. With the
implicit reward R_π(x, y) = β (log π(y|x) − log π_0(y|x)) the margin of a pair is
δ = R_π(x, chosen) − R_π(x, rejected).
"""

from __future__ import annotations

from corll.losses import hinge, logistic, squared, stretches
from corll.losses.dpo import dpo_loss
from corll.losses.objective import Objective
from corll.losses.pair_logprobs import PairLogprobs, PairTokens, implicit_reward
from corll.losses.registry import PREFERENCE_LOSSES, Loss, PreferenceLoss, register
from corll.losses.shortfall import ShortfallLoss, shortfall
from corll.losses.supervision import SupervisionLoss

__all__ = [
    "PREFERENCE_LOSSES",
    "Loss",
    "Objective",
    "PairLogprobs",
    "PairTokens",
    "PreferenceLoss",
    "ShortfallLoss",
    "SupervisionLoss",
    "dpo_loss",
    "hinge",
    "implicit_reward",
    "logistic",
    "register",
    "shortfall",
    "squared",
    "stretches",
]

"""Learners by name: one file each, all behind what `PreferenceOptimizer` asks of a learner.

A learner says what it needs of a preference and what a step of it computes, and leaves the gradient
of a batch on what learns. `CoactiveConfig.learner` names one.
"""

from __future__ import annotations

from corll.learners import coactive, distil, dpo, sft
from corll.learners.pairs import PairLearner
from corll.learners.registry import KINDS, Item, Learner, learner_of, register

__all__ = [
    "KINDS",
    "Item",
    "Learner",
    "PairLearner",
    "coactive",
    "distil",
    "dpo",
    "learner_of",
    "register",
    "sft",
]

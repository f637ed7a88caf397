"""The paper's three axes of feedback, by which a simulated user picks an edit (4.1, 4.4).

The user has candidates, and knows the true reward of each and of the draft. `strength` says which
of the better candidates the user gives, `nothing_better` what happens where there is none, and
`mislabel_probability` how often the user errs on purpose.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from corll.configuring import Config

DROPPED = -1
"""The place of no candidate: the prompt is dropped."""


class Strength(StrEnum):
    """The choice among the better candidates."""

    MINIMAL = "minimal"
    ALPHA = "alpha"
    BEST = "best"


class NothingBetter(StrEnum):
    """The answer where no candidate beats the draft.

    `BEST_ANYWAY` points the wrong way: it is the paper's noisy feedback. `DROP` is its noise-free
    one.
    """

    BEST_ANYWAY = "best_anyway"
    DROP = "drop"


class FeedbackAxes(Config):
    """A kind of feedback; the paper's for IMDB by default."""

    strength: Strength = Field(Strength.ALPHA, description="Which better candidate is given.")
    alpha: float = Field(0.6, gt=0, le=1, description="Share of the possible gain, for `alpha`.")
    nothing_better: NothingBetter = Field(
        NothingBetter.BEST_ANYWAY, description="What is given where no candidate beats the draft."
    )
    mislabel_probability: float = Field(
        0.0, ge=0, le=1, description="How often a worse candidate is given on purpose."
    )


def choose_edit(
    rewards: Sequence[float], draft_reward: float, axes: FeedbackAxes, generator: random.Random
) -> int | None:
    """Choose which candidate becomes the edit of one draft; None where the prompt is dropped.

    The rule is that of `choose_edits`. *Shapes*: `rewards` one a candidate, in any order.
    """
    chosen = choose_edits(
        np.array([rewards]), np.array([draft_reward]), axes, np.array([generator.random()])
    )
    return None if chosen[0] == DROPPED else int(chosen[0])


def choose_edits(
    rewards: NDArray[np.float64],
    draft_rewards: NDArray[np.float64],
    axes: FeedbackAxes,
    draws: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Choose for each of B drafts which candidate becomes its edit; DROPPED where none does.

    A mislabel, where a draw from [0, 1) is below `mislabel_probability`, is the best of the worse
    candidates, or, where none is worse, the worst of all. *Shapes*: `rewards` B × L candidates, in
    any order, the rest and the result B.
    """
    order = np.argsort(rewards, axis=-1, kind="stable")
    ranked = np.take_along_axis(rewards, order, axis=-1)
    drafts = draft_rewards[:, None]
    last = rewards.shape[-1] - 1
    worse, not_better = (ranked < drafts).sum(-1), (ranked <= drafts).sum(-1)
    if axes.strength is Strength.MINIMAL:
        place = not_better
    elif axes.strength is Strength.BEST:
        place = np.full_like(not_better, last)
    else:
        enough = drafts + axes.alpha * (ranked[:, -1:] - drafts)
        # The best is α-informative for every α ≤ 1; rounding must not say otherwise.
        place = np.minimum(np.maximum((ranked < enough).sum(-1), not_better), last)
    place = np.where(not_better > last, last, place)
    mislabelled = draws < axes.mislabel_probability
    place = np.where(mislabelled, np.maximum(worse - 1, 0), place)
    chosen: NDArray[np.intp] = np.take_along_axis(order, place[:, None], axis=-1)[:, 0]
    if axes.nothing_better is NothingBetter.DROP:
        chosen[(not_better > last) & ~mislabelled] = DROPPED
    return chosen


def estimated_alpha(gains: Sequence[float], regrets: Sequence[float]) -> tuple[float, float]:
    """Return α̂ = Σ gain / Σ regret where something was better, and the share of rounds left out.

    α̂ is not a number where nothing ever was better. *Shapes*: one of each a round: what the edit
    gained over the draft, 0 without one, and what the best would have gained. *Source*: paper, 4.4.
    """
    improvable = [n for n, regret in enumerate(regrets) if regret > 0]
    possible = sum(regrets[n] for n in improvable)
    estimate = sum(gains[n] for n in improvable) / possible if improvable else math.nan
    return estimate, 1 - len(improvable) / len(regrets) if len(regrets) else math.nan

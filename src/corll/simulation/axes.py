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

from pydantic import Field

from corll.config import Config


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
    """Choose which candidate becomes the edit; None where the prompt is dropped.

    A mislabel is the best of the worse candidates, or, where none is worse, the worst of all.
    *Shapes*: `rewards` one a candidate, in any order.
    """
    by_reward = sorted(range(len(rewards)), key=lambda n: rewards[n])
    if generator.random() < axes.mislabel_probability:
        worse = [n for n in by_reward if rewards[n] < draft_reward]
        return worse[-1] if worse else by_reward[0]
    better = [n for n in by_reward if rewards[n] > draft_reward]
    best = by_reward[-1]
    if not better:
        return best if axes.nothing_better is NothingBetter.BEST_ANYWAY else None
    if axes.strength is Strength.MINIMAL:
        return better[0]
    if axes.strength is Strength.BEST:
        return best
    enough = draft_reward + axes.alpha * (rewards[best] - draft_reward)
    # The best is α-informative for every α ≤ 1; rounding must not say otherwise.
    return next((n for n in better if rewards[n] >= enough), best)


def estimated_alpha(gains: Sequence[float], regrets: Sequence[float]) -> tuple[float, float]:
    """Return α̂ = Σ gain / Σ regret where something was better, and the share of rounds left out.

    α̂ is not a number where nothing ever was better. *Shapes*: one of each a round: what the edit
    gained over the draft, 0 without one, and what the best would have gained. *Source*: paper, 4.4.
    """
    improvable = [n for n, regret in enumerate(regrets) if regret > 0]
    possible = sum(regrets[n] for n in improvable)
    estimate = sum(gains[n] for n in improvable) / possible if improvable else math.nan
    return estimate, 1 - len(improvable) / len(regrets) if len(regrets) else math.nan

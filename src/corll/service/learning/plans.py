"""How the numbers of steps came about, kept so that the steps can be taken again to the bit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from corll.policy import Policy
from corll.service.learning.kernel_modes import Mode

_OF_DRAFTS_OR_LOAD = ("threads", "weights of drafts", "drafts")
"""What a policy tells of itself that a step does not depend on, or that its plan says."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a step was computed with.

    torch had so many `threads`, and `max_tokens` were worked at together at most, which decides on
    the micro-batches; None: as it comes. `share` is that of the learning rate.
    """

    threads: int | None = None
    max_tokens: int | None = None
    share: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return asdict(self)


def plans_of(recipe: Mapping[str, Any]) -> list[StepPlan]:
    """Return the plan of each step of a recipe; of one that has none, what is known."""
    kept = recipe.get("plans")
    if kept is None:
        return [StepPlan(recipe.get("threads"))] * len(recipe["batches"])
    return [StepPlan(**plan) for plan in kept]


class Before:
    """How preferences were learned before, by recipes of versions, the oldest first.

    `kept` are the ids of the preferences that are learned again.
    """

    def __init__(self, recipes: Sequence[Mapping[str, Any]], kept: Collection[str]) -> None:
        self._plans: dict[str, StepPlan] = {}
        self._strengths: dict[str, float] = {}
        self._modes: dict[str, Mode] = {}
        for recipe in recipes:
            batches = recipe["batches"]
            for batch, plan in zip(batches, plans_of(recipe), strict=True):
                self._plans.update(dict.fromkeys(batch, plan))
                if (mode := recipe.get("kernel_mode")) is not None:
                    self._modes.update(dict.fromkeys(batch, mode))
            strength = recipe.get("strength", 1.0)
            last = [one for batch in batches for one in batch if one in kept]
            if strength != 1 and last:
                self._strengths[last[-1]] = strength

    def plan_for(self, ids: Iterable[str]) -> StepPlan:
        """Return the plan of a step on these: that of the first, at the smallest share of any."""
        plans = [self._plans[one] for one in ids if one in self._plans]
        if not plans:
            return StepPlan()
        return replace(plans[0], share=min(plan.share for plan in plans))

    def mode_of(self, ids: Iterable[str]) -> Mode | None:
        """Return the mode of a step on these: that of the first whose mode is known."""
        return next((self._modes[one] for one in ids if one in self._modes), None)

    def strength_after(self, ids: Iterable[str]) -> float:
        """Return the strength that weights got after a step on these; 1 where none was given."""
        return min((self._strengths.get(one, 1.0) for one in ids), default=1.0)


def computed_by(base: Policy) -> dict[str, str]:
    """Return which path each part of the model takes in a step, by the part's name."""
    told = base.describe()
    return {part: path for part, path in told.items() if part not in _OF_DRAFTS_OR_LOAD}


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> Sequence[str]:
    """Return in words where two models are computed by different paths."""
    parts = sorted(one.keys() | other.keys())
    return [
        f"{part}: {one.get(part)}, and here {other.get(part)}"
        for part in parts
        if one.get(part) != other.get(part)
    ]

"""What a version's own steps taught it, and its recipe: how they were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from sqlalchemy import Connection

from corll.config import CoactiveConfig
from corll.errors import StaleParentError
from corll.memory.masking import Mask
from corll.model.strength import fold_in_place
from corll.policy import Policy
from corll.records import Preference, StepResult
from corll.service.learning.kernel_modes import own_mode
from corll.service.learning.plans import StepPlan, computed_by
from corll.service.store import preferences
from corll.service.store.lineages import Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.remembered import missing_letters

Learned = Sequence[tuple[PreferenceRow, Preference]]


@dataclass
class Lesson:
    """Steps in order: the preferences and plan of each, the letters they were learned behind, the
    time. `strength` is that of the weights in the end, by what the last step came to.

    `masks` says what was masked of which preference. *Units*: `seconds` of the clock, pauses for
    drafts included. `metrics` are of the last step.
    """

    learned: list[tuple[PreferenceRow, Preference]] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)
    plans: list[StepPlan] = field(default_factory=list)
    memory: set[str] = field(default_factory=set)
    masks: dict[str, Mask] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    strength: float = 1.0

    def add(
        self,
        rows: Sequence[PreferenceRow],
        result: StepResult,
        plan: StepPlan,
        *,
        reads_memory: bool,
        mask: Mask = "none",
    ) -> None:
        """Add a step on these rows, masked by `mask`, and on what it replayed behind them."""
        self.plans.append(plan)
        self.learned += zip(rows, result.learned[: len(rows)], strict=True)
        self.batches.append([row.id for row in rows])
        self.metrics = result.metrics
        if mask != "none":
            self.masks.update({row.id: mask for row in rows})
        if reads_memory:
            self.memory.update(one.id for taught in result.learned for one in taught.memory)

    def fold(self, policy: Policy, strength: float) -> None:
        """Give a policy's weights, to which the steps came, another strength."""
        fold_in_place(policy.trainable_parameters(), strength)
        self.strength = strength
        self.metrics = {**self.metrics, "strength": strength}

    def recipe(
        self, base: Policy, config: CoactiveConfig, *, replay_slack: float | None = None
    ) -> dict[str, Any]:
        """Return what is kept of how the steps were taken, and of what computed them.

        By `replay_slack` the states of versions before this one are kept (`store.thinning`).
        """
        return {
            "batches": self.batches,
            "memory": sorted(self.memory),
            "masks": self.masks,
            "seconds": self.seconds,
            "plans": [plan.to_dict() for plan in self.plans],
            "strength": self.strength,
            "torch": torch.__version__,
            "computed_by": computed_by(base),
            "kernel_mode": own_mode(),
            "config": config.model_dump(mode="json"),
            "replay_slack": replay_slack,
        }


def keep_references(db: Connection, learned: Learned) -> None:
    """Keep log π_0 beside what was learned."""
    for row, preference in learned:
        if preference.reference is not None:
            preferences.keep_reference(db, row.id, asdict(preference.reference))


def check_letters(db: Connection, version: Version) -> None:
    """Check that the letters that a version learned behind are there.

    *Raises*: StaleParentError where one was deleted meanwhile.
    """
    memory = [] if version.recipe is None else version.recipe["memory"]
    if missing_letters(db, version.user_id, memory):
        raise StaleParentError(
            f"a letter that version {version.number} learned behind was deleted; "
            "start the step again from what serves now"
        )

"""A copy of a lineage, learned again in memory by the service's own steps, with canaries in it.

The store is only read: nothing is registered, set aside or written, and no folder is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from corll.errors import CorllError, InputError
from corll.memory.masking import Mask
from corll.model.strength import fold_in_place
from corll.policy import Policy
from corll.records import Preference
from corll.service.audit.canaries import Planting
from corll.service.learning.plans import StepPlan, plans_of
from corll.service.learning.reading import PreferenceReader
from corll.service.learning.stepping import Steps
from corll.service.learning.trainer import Trainer
from corll.service.settings import ServiceSettings
from corll.service.store import lineages, preferences, replays
from corll.service.store.database import Database
from corll.service.store.lineages import Reference, Version
from corll.service.store.preferences import PreferenceRow
from corll.verdicts.rejections import STEP_SHARES


@dataclass(frozen=True)
class TaughtBatches:
    """What a version's own steps were taught, a batch for each step.

    `shares` are those of the learning rate, a step each, and `strength` is what the weights got in
    the end: by the version's recipe. One of before these were recorded is taken to have halved its
    steps where a rejected version was taught some of it.
    """

    version: Version
    batches: Sequence[Sequence[PreferenceRow]]
    shares: Sequence[float]
    strength: float


def taught_batches(db: Connection, serving: Version, size: int) -> list[TaughtBatches]:
    """Return what a version and its ancestors were taught, the oldest first.

    Of versions without a recipe the batches are those that `size` preferences a step make.
    """
    return [_taught(db, version, size) for version in reversed(lineages.ancestry(db, serving.id))]


def _taught(db: Connection, version: Version, size: int) -> TaughtBatches:
    taught = replays.taught_to(db, [version])
    rows = preferences.find_preferences(db, sorted(taught))
    recipe = version.recipe or {}
    if recipe:
        ids = [[one for one in batch if one in rows] for batch in recipe["batches"]]
    else:
        ordered = sorted(rows, key=lambda one: rows[one].number)
        ids = [ordered[n : n + size] for n in range(0, len(ordered), size)]
    if "plans" in recipe:
        shares = [plan.share for plan in plans_of(recipe)]
        strength = recipe["strength"]
    else:
        in_vain = bool(preferences.taught_in_vain(db, list(rows)))
        shares = [STEP_SHARES[in_vain]] * len(ids)
        strength = version.metrics.get("strength", 1.0)
    kept = [(batch, share) for batch, share in zip(ids, shares, strict=True) if batch]
    return TaughtBatches(
        version,
        [[rows[one] for one in batch] for batch, _ in kept],
        [share for _, share in kept],
        strength,
    )


class Rehearsal(Trainer):
    """A trainer that takes the service's steps on planted texts, and keeps nothing of them.

    `left_out` counts the preferences that could not be learned from.
    """

    def __init__(
        self, base: Policy, database: Database, settings: ServiceSettings, planting: Planting
    ) -> None:
        super().__init__(base, database, settings)
        self.reader = _PlantingReader(base, database, settings, planting)
        self.steps = Steps(self.reader, self.threads, self._set_aside)
        self.left_out = 0

    def _set_aside(self, rows: Sequence[PreferenceRow], error: CorllError) -> None:
        """Count preferences that cannot be learned from; in the store they stay what they are."""
        self.left_out += len(rows)

    @contextmanager
    def rehearsed(
        self,
        taught: Sequence[TaughtBatches],
        reference: Reference,
        *,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[Policy]:
        """Yield a new adapter that learned these batches; unload it afterwards."""
        with self.policies.of_version(None, reference) as policy:
            optimizer = self.optimizer(policy, None)
            past: list[str] = []
            for number, one in enumerate(taught, start=1):
                say(f"version {number} of {len(taught)}: {len(one.batches)} steps")
                # With the threads that are free now: it is no replay to the bit.
                plans = [StepPlan(share=share) for share in one.shares]
                self.steps.take(optimizer, one.batches, past, plans)
                past += [row.id for batch in one.batches for row in batch]
                if one.strength != 1:
                    fold_in_place(policy.trainable_parameters(), one.strength)
                    steps = optimizer.steps_taken
                    optimizer = self.optimizer(policy, None)
                    optimizer.steps_taken = steps
            yield policy


class _PlantingReader(PreferenceReader):
    """Reads preferences with canaries in them."""

    def __init__(
        self, base: Policy, database: Database, settings: ServiceSettings, planting: Planting
    ) -> None:
        super().__init__(base, database, settings.mask)
        self._planting = planting

    def to_preferences(
        self,
        rows: Sequence[PreferenceRow],
        check: Callable[[Preference], None] = lambda _: None,
        mask: Mask | None = None,
    ) -> list[Preference | InputError]:
        """Return what is learned from, as `PreferenceReader` does, with the canaries."""
        return super().to_preferences(list(self._planting.planted(rows)), check, mask)

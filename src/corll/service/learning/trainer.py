"""From preferences in the store to a version that serves: step 4 of Algorithm 1, for one user.

A step starts from the version that the user's alias names. The new version is published as a
folder, loaded afresh and examined; only then does a row register it, if the alias still names its
parent. A crash at any point leaves an old version serving and the preferences waiting.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from corll.buffer import REPLAY_MEMORY, draw
from corll.config import CoactiveConfig
from corll.errors import DeviceMemoryError, InputError, StaleParentError, TrainingError
from corll.model.strength import fold_in_place
from corll.policy import Policy
from corll.records import Preference, StepResult
from corll.service.learning.checks import Examined, OfReferences, reasons_against
from corll.service.learning.falling_back import FallBack, FallingBack
from corll.service.learning.policies import VersionPolicies
from corll.service.learning.reading import PreferenceReader
from corll.service.learning.starting_points import Former, StartingPoint, starting_point
from corll.service.learning.weighing import keep, weigh
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, coins, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.rows import new_id
from corll.service.versions import publishing
from corll.service.versions.retention import remove_pruned
from corll.step import PreferenceOptimizer
from corll.verdicts.rejections import STEP_SHARES

log = logging.getLogger(__name__)

_WEAKER = 0.5
"""The strength of a version that learned where learning does harm."""


class Trainer:
    """Teaches users' adapters on one base model; `base` may be used by nobody else meanwhile.

    `give_way` is called before whatever computes for long, so that drafts come first.
    """

    def __init__(
        self,
        base: Policy,
        database: Database,
        settings: ServiceSettings,
        *,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.base, self.database, self.settings = base, database, settings
        self.give_way = give_way
        self.reader = PreferenceReader(base, database)
        self.policies = VersionPolicies(base, database, settings.lora)
        self._of_references = OfReferences()
        self._falling_back = FallingBack(database, self.policies)

    def learn(self, user_id: str, *, all_that_waits: bool = False) -> Version | None:
        """Make a version from the preferences that wait, N a step; None where there was no step.

        `all_that_waits` takes fewer than N too. A version that fails its examination is registered
        as rejected, with the reasons. Its preferences are tried once more, with half the step, and
        then set aside.
        """
        start = starting_point(self.database, self.base, self.settings.coactive, user_id)
        if start is None:
            return None
        batches = self._batches(start.waiting, all_that_waits=all_that_waits)
        if not batches:
            return None
        with ExitStack() as loaded:
            former = Former(start, self.policies, self.reader, loaded)
            policy = loaded.enter_context(self.policies.of_version(start.serving, start.reference))
            optimizer = self._optimizer(policy, start.serving, self._config(start, batches))
            past: deque[str | Preference] = deque(start.past, maxlen=REPLAY_MEMORY)
            learned: list[tuple[PreferenceRow, Preference]] = []
            metrics: Mapping[str, float] = {}
            for batch in batches:
                rows, result = self._step(optimizer, batch, past)
                if result is not None:
                    taught = result.learned[: len(rows)]
                    past.extend(taught)
                    learned += zip(rows, taught, strict=True)
                    metrics = result.metrics
            if not learned:
                return None
            if start.is_too_strong:
                fold_in_place(policy.trainable_parameters(), _WEAKER)
                metrics = {**metrics, "strength": _WEAKER}
            version = self._publish(user_id, former, optimizer, learned, metrics)
            if version is not None:
                self._weigh(user_id, former, learned)
            return version

    def examined(
        self,
        policy: Policy,
        learned: Sequence[Preference] = (),
        *,
        past: Sequence[Preference],
        parent: Policy | None = None,
        base: Policy | None = None,
    ) -> Examined:
        """Return weights under examination by the service's settings; as `Examined` has them."""
        settings = self.settings
        return Examined(
            policy,
            learned,
            settings.max_drift,
            self.give_way,
            max_loosening=settings.max_loosening,
            looked_at=settings.veto_drafts,
            past=past,
            parent=parent,
            base=base,
            sampling=settings.coactive.sampling,
            of_references=self._of_references,
        )

    def _batches(
        self, waiting: Sequence[PreferenceRow], *, all_that_waits: bool
    ) -> list[Sequence[PreferenceRow]]:
        size = self.settings.coactive.preferences_per_step
        batches = [waiting[n : n + size] for n in range(0, len(waiting), size)]
        if batches and len(batches[-1]) < size and not all_that_waits:
            batches.pop()
        return batches

    def _config(
        self, start: StartingPoint, batches: Sequence[Sequence[PreferenceRow]]
    ) -> CoactiveConfig:
        """Return the settings of steps, half as large where some were learned in vain before."""
        config = self.settings.coactive
        if start.in_vain.isdisjoint(row.id for batch in batches for row in batch):
            return config
        return config.with_settings(learning_rate=config.learning_rate * STEP_SHARES[1])

    def _optimizer(
        self, policy: Policy, serving: Version | None, config: CoactiveConfig
    ) -> PreferenceOptimizer:
        """Return an optimiser that goes on from the version that serves."""
        optimizer = PreferenceOptimizer(policy, config, give_way=self.give_way)
        if serving is not None:
            optimizer.steps_taken = serving.steps
            if serving.has_optimizer and serving.folder is not None:
                folder = self.database.path_of(serving.folder)
                optimizer.restore(folder, steps_taken=serving.steps)
        return optimizer

    def _step(
        self,
        optimizer: PreferenceOptimizer,
        batch: Sequence[PreferenceRow],
        past: Sequence[str | Preference],
    ) -> tuple[list[PreferenceRow], StepResult | None]:
        """Step on those that can be learned from, and say which; set the others aside."""
        usable: list[tuple[PreferenceRow, Preference]] = []
        for row, found in zip(
            batch, self.reader.to_preferences(batch, optimizer.check), strict=True
        ):
            if isinstance(found, InputError):
                self._set_aside([row], str(found))
            else:
                usable.append((row, found))
        if not usable:
            return [], None
        rows = [row for row, _ in usable]
        replayed = self._replayed(past, optimizer)
        try:
            return rows, optimizer.step([*(found for _, found in usable), *replayed])
        except (TrainingError, DeviceMemoryError) as error:
            self._set_aside(rows, str(error))
            return [], None

    def _replayed(
        self, past: Sequence[str | Preference], optimizer: PreferenceOptimizer
    ) -> list[Preference]:
        """Draw what a step replays of the past, of which only that is read and encoded."""
        config = self.settings.coactive
        drawn = draw(past, config.replay_per_step, seed=config.replay_seed(optimizer.steps_taken))
        read = self.reader.find([one for one in drawn if isinstance(one, str)], optimizer.check)
        found = (read.get(one) if isinstance(one, str) else one for one in drawn)
        return [one for one in found if one is not None]

    def _set_aside(self, rows: Sequence[PreferenceRow], reason: str) -> None:
        log.warning("%d preferences were set aside: %s", len(rows), reason)

        def set_aside(db: Connection) -> Any:
            for row in rows:
                preferences.set_one_aside(db, row.id, reason)
                accounts.audit(
                    db,
                    actor="learner",
                    action="set_aside",
                    subject=row.id,
                    details={"reason": reason},
                    now=time.time(),
                )

        self.database.write(set_aside)

    def _publish(
        self,
        user_id: str,
        former: Former,
        optimizer: PreferenceOptimizer,
        learned: Sequence[tuple[PreferenceRow, Preference]],
        metrics: Mapping[str, float],
    ) -> Version | None:
        version_id, start = new_id("ver"), former.start
        place = f"{lineages.VERSIONS}/{version_id}"
        folder = self.database.path_of(place)

        # What the optimiser knows is of weights of another strength.
        goes_on = not start.is_too_strong

        def save(to: Path) -> None:
            optimizer.policy.save(to)
            if goes_on:
                optimizer.save(to)

        digest = publishing.publish(folder, save)
        learned_from = [preference for _, preference in learned]
        reasons, fall_back = self._examine(folder, former, learned_from)
        parent = None if start.serving is None else start.serving.id
        version = Version(
            id=version_id,
            user_id=user_id,
            lineage_id=start.lineage.id,
            number=0,  # given when it is registered
            parent_id=parent,
            reference_id=start.lineage.reference_id,
            state="rejected" if reasons else "candidate",
            reasons=reasons,
            metrics=dict(metrics),
            folder=place,
            manifest_sha256=digest,
            has_optimizer=goes_on,
            steps=optimizer.steps_taken,
            created_at=time.time(),
            served_at=None,
        )
        try:
            anew = start.is_too_strong
            registered = self._register(version, learned, anew=anew, fall_back=fall_back)
        except StaleParentError as error:
            log.info("%s; the step is taken again from what serves now", error)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        # What was fallen back from keeps its weights until the next version, as in any rollback.
        if fall_back is None:
            remove_pruned(self.database, user_id, actor="learner")
        return registered

    def _examine(
        self, folder: Path, former: Former, learned: Sequence[Preference]
    ) -> tuple[list[str], FallBack | None]:
        """Return the reasons against a version, and where to fall back to, if so."""
        start, looks = former.start, self.settings.veto_drafts > 0
        reference = start.reference
        with self.policies.of_folder(folder, reference) as policy:
            version = self.examined(
                policy,
                learned,
                past=former.latest if looks else (),
                parent=former.policy if looks else None,
                base=None if reference.folder is None else self.base,
            )
            reasons = reasons_against(version)
            if not reasons:
                return [], None
            return reasons, self._falling_back.find(version, start.serving, reference)

    def _weigh(
        self, user_id: str, former: Former, learned: Sequence[tuple[PreferenceRow, Preference]]
    ) -> None:
        """Keep what edits say of the version that served before it learned from them.

        Nothing is kept where its user starts from another reference by now. What a rejected version
        was taught was weighed then, and is not weighed again.
        """
        if not self.settings.weigh_edits or former.policy is None:
            return
        own = [
            preference
            for row, preference in learned
            if row.source == "edit" and row.id not in former.start.in_vain
        ]
        found = weigh(former.policy, own, former.latest, give_way=self.give_way)

        def keep_where_it_goes_on(db: Connection) -> None:
            lineage = lineages.current_lineage(db, user_id)
            if lineage is not None and lineage.id == former.start.lineage.id:
                keep(db, user_id, self.settings, found)

        self.database.write(keep_where_it_goes_on)

    def _register(
        self,
        version: Version,
        learned: Sequence[tuple[PreferenceRow, Preference]],
        *,
        anew: bool,
        fall_back: FallBack | None,
    ) -> Version:
        """Commit a version; `anew`: what edits said before was of a stronger one.

        A rejected one may have its parent `fall_back` in the same transaction.
        """

        def register(db: Connection) -> Any:
            for row, preference in learned:
                if preference.reference is not None:
                    preferences.keep_reference(db, row.id, asdict(preference.reference))
            if anew and not version.reasons:
                coins.weigh_anew(db, version.user_id, now=time.time())
            registered = lineages.register_version(
                db,
                replace(version, number=lineages.next_number(db, version.user_id)),
                preference_ids=[row.id for row, _ in learned],
                expected_parent=version.parent_id,
                serve=not version.reasons,
                now=time.time(),
            )
            if fall_back is not None:
                self._falling_back.carry_out(db, fall_back)
            return registered

        registered: Version = self.database.write(register)
        return registered

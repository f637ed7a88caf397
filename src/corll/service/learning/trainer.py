"""From preferences in the store to a version that serves: step 4 of Algorithm 1, for one user.

A step starts from the version that the user's alias names. The new version is published as a
folder, loaded afresh and examined; only then does a row register it, if the alias still names its
parent. A crash at any point leaves an old version serving and the preferences waiting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from corll.compute.free_processors import GivingThreads
from corll.durable_points import reached
from corll.errors import AdapterError, CorllError, LeaseLostError, StaleParentError, StoreError
from corll.policy import Policy
from corll.records import Preference
from corll.service.learning import other_modes
from corll.service.learning.checks import Examined, OfReferences, reasons_against
from corll.service.learning.falling_back import FallBack, FallingBack
from corll.service.learning.lesson import Lesson, check_letters, keep_references
from corll.service.learning.other_modes import Task
from corll.service.learning.plans import StepPlan
from corll.service.learning.policies import VersionPolicies
from corll.service.learning.reading import PreferenceReader
from corll.service.learning.starting_points import Former, StartingPoint, starting_point
from corll.service.learning.step_spans import about_learning, about_swap
from corll.service.learning.stepping import Steps
from corll.service.learning.weighing import keep, weigh
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, coins, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.lineages import Lineage, Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.rows import new_id
from corll.service.tracing import GATE, LEARN, NO_TRACING, SWAP, Tracing
from corll.service.versions.retention import remove_pruned
from corll.step import PreferenceOptimizer
from corll.verdicts.rejections import STEP_SHARES

log = logging.getLogger(__name__)

_WEAKER = 0.5
"""The strength of a version that learned where learning does harm."""


class Trainer:
    """Teaches users' adapters on one base model; `base` may be used by nobody else meanwhile.

    `give_way` is called before whatever computes for long, so that drafts come first. `threads` are
    what steps are computed with, by default those that the settings give. `hand_over` has a task
    done by a process in another mode.
    """

    def __init__(
        self,
        base: Policy,
        database: Database,
        settings: ServiceSettings,
        *,
        give_way: Callable[[], None] = lambda: None,
        tracing: Tracing = NO_TRACING,
        threads: GivingThreads | None = None,
    ) -> None:
        self.base, self.database, self.settings = base, database, settings
        self.give_way, self.tracing = give_way, tracing
        self.reader = PreferenceReader(base, database, settings.mask)
        self.threads = threads or GivingThreads.of(settings.threads)
        self.steps = Steps(self.reader, self.threads, self._set_aside, tracing)
        self.policies = VersionPolicies(base, database, settings.lora)
        self._of_references = OfReferences()
        self.falling_back = FallingBack(database, self.policies)
        self.hand_over: Callable[[Task], Any] = other_modes.run

    def learn(self, user_id: str, *, all_that_waits: bool = False) -> Version | None:
        """Make a version from the preferences that wait, N a step; None where there was no step.

        `all_that_waits` takes fewer than N too. A version that fails its examination is registered
        as rejected, with the reasons. Its preferences are tried once more, with half the step, and
        then set aside. Where a deletion or a rollback takes away meanwhile what the step started
        from, nothing is learned.
        """
        start = starting_point(self.database, self.base, self.settings.coactive, user_id)
        if start is None:
            return None
        batches = self.batches(start.waiting, all_that_waits=all_that_waits)
        if not batches:
            return None
        reached("batch claimed")
        try:
            return self._learn(user_id, start, batches)
        except (StaleParentError, AdapterError, OSError) as error:
            if isinstance(error, LeaseLostError | StoreError) or self._serves(user_id, start):
                raise
            log.info("what %s learned on serves no more; it begins again from what does", user_id)
            return None

    def _serves(self, user_id: str, start: StartingPoint) -> bool:
        """Say whether what a step started from still serves its user."""
        with self.database.read() as db:
            serving = lineages.serving_version(db, user_id)
        return (serving and serving.id) == (start.serving and start.serving.id)

    def _learn(
        self, user_id: str, start: StartingPoint, batches: list[Sequence[PreferenceRow]]
    ) -> Version | None:
        with ExitStack() as loaded:
            loaded.enter_context(self.tracing.span(LEARN, about_learning(user_id, batches)))
            former = Former(start, self.policies, self.reader, loaded)
            policy = loaded.enter_context(self.policies.of_version(start.serving, start.reference))
            optimizer = self.optimizer(policy, start.serving)
            plans = [self._plan(start, batches)] * len(batches)
            lesson = self.steps.take(optimizer, batches, start.past, plans)
            if not lesson.learned:
                return None
            if start.is_too_strong:
                lesson.fold(policy, _WEAKER)
            version = self._publish(user_id, former, optimizer, lesson)
            if version is not None:
                self._weigh(user_id, former, lesson.learned)
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
        return Examined.by_settings(
            self.settings,
            policy,
            learned,
            give_way=self.give_way,
            past=past,
            parent=parent,
            base=base,
            of_references=self._of_references,
        )

    def batches(
        self, waiting: Sequence[PreferenceRow], *, all_that_waits: bool = False
    ) -> list[Sequence[PreferenceRow]]:
        """Return what waits in batches of N; with `all_that_waits` the last may have fewer."""
        size = self.settings.coactive.preferences_per_step
        batches = [waiting[n : n + size] for n in range(0, len(waiting), size)]
        if batches and len(batches[-1]) < size and not all_that_waits:
            batches.pop()
        return batches

    def _plan(self, start: StartingPoint, batches: Sequence[Sequence[PreferenceRow]]) -> StepPlan:
        tried = {row.id for batch in batches for row in batch}
        return self.plan_of_steps(in_vain=not start.in_vain.isdisjoint(tried))

    def plan_of_steps(self, *, in_vain: bool) -> StepPlan:
        """Return how steps are taken: half as large where some were learned in vain before."""
        return StepPlan(share=STEP_SHARES[1] if in_vain else STEP_SHARES[0])

    def optimizer(self, policy: Policy, serving: Version | None) -> PreferenceOptimizer:
        """Return an optimiser that goes on from a version, or begins where that is None."""
        config = self.settings.coactive
        optimizer = PreferenceOptimizer(policy, config, give_way=self.give_way)
        if serving is not None:
            optimizer.steps_taken = serving.steps
            if serving.has_optimizer and serving.folder is not None:
                folder = self.database.versions.fetch(serving.folder, optimizer=True)
                optimizer.restore(folder, steps_taken=serving.steps)
        return optimizer

    def _set_aside(self, rows: Sequence[PreferenceRow], error: CorllError) -> None:
        log.warning("%d preferences were set aside: %s", len(rows), error)
        reason = str(error)

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
        lesson: Lesson,
    ) -> Version | None:
        start = former.start
        version = self.published(start.lineage, start.serving, optimizer, lesson)
        assert version.folder is not None
        folder = self.database.versions.at(version.folder)
        learned_from = [preference for _, preference in lesson.learned]
        reasons, fall_back = self.examine(folder, former, learned_from)
        version = replace(version, state="rejected" if reasons else "candidate", reasons=reasons)
        reached("version examined")
        try:
            registered = self._register(
                version, lesson.learned, anew=start.is_too_strong, fall_back=fall_back
            )
        except StaleParentError as error:
            log.info("%s; the step is taken again from what serves now", error)
            self.discard(version)
            return None
        # What was fallen back from keeps its weights until the next version, as in any rollback.
        if fall_back is None:
            remove_pruned(self.database, user_id, actor="learner")
        return registered

    def published(
        self,
        lineage: Lineage,
        parent: Version | None,
        optimizer: PreferenceOptimizer,
        lesson: Lesson,
    ) -> Version:
        """Write a version's folder; return it as a candidate without a number."""
        # What the optimiser knows is of weights of another strength.
        goes_on = lesson.strength == 1
        version_id, settings = new_id("ver"), self.settings

        def save(to: Path) -> None:
            optimizer.policy.save(to)
            if goes_on:
                optimizer.save(to)

        place, digest = self.database.versions.publish(version_id, save)
        return Version(
            id=version_id,
            user_id=lineage.user_id,
            lineage_id=lineage.id,
            number=0,  # given when it is registered
            parent_id=None if parent is None else parent.id,
            reference_id=lineage.reference_id,
            state="candidate",
            reasons=[],
            metrics=dict(lesson.metrics),
            folder=place,
            manifest_sha256=digest,
            has_optimizer=goes_on,
            steps=optimizer.steps_taken,
            created_at=time.time(),
            served_at=None,
            recipe=lesson.recipe(self.base, settings.coactive, replay_slack=settings.replay_slack),
        )

    def discard(self, version: Version) -> None:
        """Remove the folder of a version that was not registered."""
        if version.folder is not None:
            self.database.versions.remove(version.folder)

    def examine(
        self, folder: Path, former: Former, learned: Sequence[Preference]
    ) -> tuple[list[str], FallBack | None]:
        """Return the reasons against the version in a folder, and where to fall back to, if so."""
        start, looks = former.start, self.settings.veto_drafts > 0
        reference = start.reference
        about = {
            "corll.user.id": start.lineage.user_id,
            "corll.version.id": folder.name.partition(".")[0],
        }
        with (
            self.tracing.span(GATE, about) as span,
            self.policies.of_folder(folder, reference) as policy,
        ):
            version = self.examined(
                policy,
                learned,
                past=former.latest if looks else (),
                parent=former.policy if looks else None,
                base=None if reference.folder is None else self.base,
            )
            reasons = reasons_against(version)
            span.note({"corll.gate.reasons": len(reasons)})
            if not reasons:
                return [], None
            return reasons, self.falling_back.find(version, start.serving, reference)

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
            keep_references(db, learned)
            check_letters(db, version)
            if anew and not version.reasons:
                coins.weigh_anew(db, version.user_id, now=time.time())
            registered = lineages.register_version(
                db,
                lineages.numbered(db, version),
                preference_ids=[row.id for row, _ in learned],
                expected_parent=version.parent_id,
                serve=not version.reasons,
                now=time.time(),
            )
            if fall_back is not None:
                self.falling_back.carry_out(db, fall_back)
            return registered

        with self.tracing.span(SWAP, {"corll.user.id": version.user_id}) as span:
            registered: Version = self.database.write(register)
            reached("version committed")
            span.note(about_swap(registered))
        return registered

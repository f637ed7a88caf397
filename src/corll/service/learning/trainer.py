"""From preferences in the store to a version that serves: step 4 of Algorithm 1, for one user.

A step starts from the version that the user's alias names. The new version is published as a
folder, loaded afresh and examined; only then does a row register it, if the alias still names its
parent. A crash at any point leaves an old version serving and the preferences waiting.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from corll.errors import DeviceMemoryError, InputError, StaleParentError, TrainingError
from corll.gradient import encode_pair
from corll.learner import REPLAY_MEMORY, CoactiveLearner
from corll.model import file_names
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs, Sample, StepResult
from corll.service.learning.checks import Examined, reasons_against
from corll.service.prompts import as_prompt
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.lineages import Lineage, Reference, Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.rows import new_id
from corll.service.versions import publishing
from corll.service.versions.retention import remove_pruned

log = logging.getLogger(__name__)

_BATCHES_A_VERSION = 8
"""Steps that one version takes at most, where many preferences wait."""


@dataclass(frozen=True)
class _Start:
    """What a step starts from. `waiting` are the preferences to be learned, in order."""

    lineage: Lineage
    reference: Reference
    serving: Version | None
    waiting: list[PreferenceRow]
    past: list[PreferenceRow]


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

    def learn(self, user_id: str, *, all_that_waits: bool = False) -> Version | None:
        """A new version from the preferences that wait, N a step; None where there was no step.

        `all_that_waits` takes fewer than N too. A version that fails its examination is registered
        as rejected, with the reasons, and its preferences are set aside.
        """
        start = self._start(user_id)
        if start is None:
            return None
        batches = self._batches(start.waiting, all_that_waits=all_that_waits)
        if not batches:
            return None
        with self.policy_of(start.serving, start.reference) as policy:
            learner = self._learner(policy, start)
            learned: list[tuple[PreferenceRow, Preference]] = []
            metrics: Mapping[str, float] = {}
            for batch in batches:
                rows, result = self._step(learner, batch)
                if result is not None:
                    learned += zip(rows, result.learned, strict=False)
                    metrics = result.metrics
            if not learned:
                return None
            return self._publish(user_id, start, learner, learned, metrics)

    @contextmanager
    def serving_policy(self, user_id: str) -> Iterator[Policy]:
        """The policy that drafts for a user; unloaded afterwards."""
        with self.database.read() as db:
            version = lineages.serving_version(db, user_id)
            reference = lineages.current_reference(db, user_id)
        with self.policy_of(version, reference) as policy:
            yield policy

    @contextmanager
    def policy_of(
        self, version: Version | None, reference: Reference | None = None
    ) -> Iterator[Policy]:
        """The policy of a version, or a new one that is its reference; unloaded afterwards."""
        folder = None if version is None else self._verified(version)
        own = self._folder_of(reference)
        policy = self.base.with_adapter(folder, lora=self.settings.lora, reference=own)
        try:
            yield policy
        finally:
            policy.unload()

    def to_preferences(self, rows: Sequence[PreferenceRow]) -> list[Preference | InputError]:
        """What is learned from: the draft's ids, and the edit on them; or why nothing can be."""
        with self.database.read() as db:
            preferred = comparisons.chosen_drafts(db, [row.id for row in rows])
            sides = [row.draft_id for row in rows] + list(preferred.values())
            kinds = drafts.kinds_of_complete(db, sides)
        found: list[Preference | InputError] = []
        for row in rows:
            complete = preferred.get(row.id, row.draft_id) in kinds
            try:
                found.append(
                    self._to_preference(row, kinds.get(row.draft_id) if complete else None)
                )
            except InputError as error:
                found.append(error)
        return found

    def _to_preference(self, row: PreferenceRow, kind: str | None) -> Preference:
        """*Raises*: InputError where the edit cannot be encoded, or is the draft to the id."""
        if kind is None:
            raise InputError("A draft was cancelled before its end.")
        rejected = Sample.from_dict(row.rejected)
        if "token_ids" in row.chosen:
            chosen = Sample.from_dict(row.chosen)
        else:
            chosen = self.base.codec.encode_edit(rejected, row.chosen["text"])
        scored = None if row.reference is None else ReferenceLogprobs.from_dict(row.reference)
        preference = Preference(as_prompt(row.prompt, kind), chosen, rejected, scored)
        encode_pair(self.base, preference)
        return preference

    def _start(self, user_id: str) -> _Start | None:
        def read(db: Connection) -> Any:
            user = accounts.find_user(db, user_id)
            if user is None or not user.learn:
                return None
            lineage = lineages.current_lineage(db, user_id) or self._new_lineage(db, user_id)
            most = _BATCHES_A_VERSION * self.settings.coactive.preferences_per_step
            reference = lineages.find_reference(db, lineage.reference_id)
            assert reference is not None
            return _Start(
                lineage,
                reference,
                lineages.serving_version(db, user_id),
                preferences.waiting_preferences(db, user_id, limit=most),
                preferences.learned_preferences(db, user_id, limit=REPLAY_MEMORY),
            )

        found: _Start | None = self.database.write(read)
        return found

    def _new_lineage(self, db: Connection, user_id: str) -> Lineage:
        reference = lineages.get_or_create_base_reference(
            db,
            base_model=self.base.name,
            base_fingerprint=self.base.base.fingerprint,
            now=time.time(),
        )
        return lineages.start_lineage(
            db, user_id=user_id, reference_id=reference.id, now=time.time()
        )

    def _batches(
        self, waiting: Sequence[PreferenceRow], *, all_that_waits: bool
    ) -> list[Sequence[PreferenceRow]]:
        size = self.settings.coactive.preferences_per_step
        batches = [waiting[n : n + size] for n in range(0, len(waiting), size)]
        if batches and len(batches[-1]) < size and not all_that_waits:
            batches.pop()
        return batches

    def _learner(self, policy: Policy, start: _Start) -> CoactiveLearner:
        learner = CoactiveLearner(policy, self.settings.coactive, give_way=self.give_way)
        if start.serving is not None:
            learner.optimizer.steps_taken = start.serving.steps
            if start.serving.has_optimizer and start.serving.folder is not None:
                folder = self.database.path_of(start.serving.folder)
                learner.optimizer.restore(folder, steps_taken=start.serving.steps)
        if self.settings.coactive.replay_per_step:
            past = self.to_preferences(start.past)
            learner.buffer.past.extend(p for p in past if isinstance(p, Preference))
        return learner

    def _step(
        self, learner: CoactiveLearner, batch: Sequence[PreferenceRow]
    ) -> tuple[list[PreferenceRow], StepResult | None]:
        """Step on those that can be learned from, and say which; set the others aside."""
        usable: list[tuple[PreferenceRow, Preference]] = []
        for row, found in zip(batch, self.to_preferences(batch), strict=True):
            if isinstance(found, InputError):
                self._set_aside([row], str(found))
            else:
                usable.append((row, found))
        rows = [row for row, _ in usable]
        if not usable:
            return rows, None
        try:
            return rows, learner.learn_batch([preference for _, preference in usable])
        except (TrainingError, DeviceMemoryError) as error:
            self._set_aside(rows, str(error))
            return [], None

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
        start: _Start,
        learner: CoactiveLearner,
        learned: Sequence[tuple[PreferenceRow, Preference]],
        metrics: Mapping[str, float],
    ) -> Version | None:
        version_id = new_id("ver")
        place = f"{lineages.VERSIONS}/{version_id}"
        folder = self.database.path_of(place)
        digest = publishing.publish(folder, lambda to: learner.save(to, with_preferences=False))
        learned_from = [preference for _, preference in learned]
        reasons = self._examine(folder, start.reference, learned_from)
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
            has_optimizer=True,
            steps=learner.steps_taken,
            created_at=time.time(),
            served_at=None,
        )
        try:
            registered = self._register(version, learned)
        except StaleParentError as error:
            log.info("%s; the step is taken again from what serves now", error)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        remove_pruned(self.database, user_id, actor="learner")
        return registered

    def _examine(
        self, folder: Path, reference: Reference, learned: Sequence[Preference]
    ) -> list[str]:
        loaded = self.base.with_adapter(folder, reference=self._folder_of(reference))
        try:
            budget = self.settings.max_drift
            return reasons_against(Examined(loaded, learned, budget, self.give_way))
        finally:
            loaded.unload()

    def _register(
        self, version: Version, learned: Sequence[tuple[PreferenceRow, Preference]]
    ) -> Version:
        def register(db: Connection) -> Any:
            for row, preference in learned:
                if preference.reference is not None:
                    preferences.keep_reference(db, row.id, asdict(preference.reference))
            return lineages.register_version(
                db,
                replace(version, number=lineages.next_number(db, version.user_id)),
                preference_ids=[row.id for row, _ in learned],
                expected_parent=version.parent_id,
                serve=not version.reasons,
                now=time.time(),
            )

        registered: Version = self.database.write(register)
        return registered

    def _folder_of(self, reference: Reference | None) -> Path | None:
        """Return where an imported reference lies; None where the base model is it."""
        if reference is None or reference.folder is None:
            return None
        return self.database.path_of(reference.folder)

    def _verified(self, version: Version) -> Path:
        """Return a version's folder. *Raises*: AdapterError where it is not what was published."""
        if version.folder is None:
            raise StaleParentError(f"Version {version.number} has no folder any more.")
        folder = self.database.path_of(version.folder)
        assert version.manifest_sha256 is not None
        publishing.verify(folder, version.manifest_sha256, without=(file_names.OPTIMIZER,))
        return folder

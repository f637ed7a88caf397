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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from corll.buffer import REPLAY_MEMORY, draw
from corll.errors import DeviceMemoryError, InputError, StaleParentError, TrainingError
from corll.gradient import encode_pair
from corll.model import file_names
from corll.policy import Policy
from corll.records import Preference, ReferenceLogprobs, Sample, StepResult
from corll.service.learning.checks import Examined, reasons_against
from corll.service.prompts import as_prompt
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.drafts import Origin
from corll.service.store.lineages import Lineage, Reference, Version
from corll.service.store.preferences import PreferenceRow
from corll.service.store.rows import new_id
from corll.service.versions import publishing
from corll.service.versions.retention import remove_pruned
from corll.step import PreferenceOptimizer

log = logging.getLogger(__name__)

_BATCHES_A_VERSION = 8
"""Steps that one version takes at most, where many preferences wait."""

_LOOKED_BACK = 24
"""Preferences of before whose texts show what a user's texts are like."""


@dataclass(frozen=True)
class _Start:
    """What a version starts from.

    `waiting` are the preferences to be learned, in order; `past` the ids of those of which each
    step replays some.
    """

    lineage: Lineage
    reference: Reference
    serving: Version | None
    waiting: list[PreferenceRow]
    past: list[str]


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
        self._refusals_of: dict[str, list[float]] = {}

    def learn(self, user_id: str, *, all_that_waits: bool = False) -> Version | None:
        """Make a version from the preferences that wait, N a step; None where there was no step.

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
            optimizer = self._optimizer(policy, start.serving)
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
            return self._publish(user_id, start, optimizer, learned, metrics)

    @contextmanager
    def serving_policy(self, user_id: str) -> Iterator[Policy]:
        """Yield the policy that drafts for a user; unload it afterwards."""
        with self.database.read() as db:
            version = lineages.serving_version(db, user_id)
            reference = lineages.current_reference(db, user_id)
        with self.policy_of(version, reference) as policy:
            yield policy

    @contextmanager
    def policy_of(
        self, version: Version | None, reference: Reference | None = None
    ) -> Iterator[Policy]:
        """Yield the policy of a version, or a new one that is its reference; unload it then."""
        folder = None if version is None else self._verified(version)
        own = self._folder_of(reference)
        policy = self.base.with_adapter(folder, lora=self.settings.lora, reference=own)
        try:
            yield policy
        finally:
            policy.unload()

    def to_preferences(self, rows: Sequence[PreferenceRow]) -> list[Preference | InputError]:
        """Return what is learned from: the draft's ids and the edit's; or why nothing can be."""
        with self.database.read() as db:
            preferred = comparisons.chosen_drafts(db, [row.id for row in rows])
            sides = [row.draft_id for row in rows] + list(preferred.values())
            origins = drafts.origins_of_complete(db, sides)
        found: list[Preference | InputError] = []
        for row in rows:
            chosen_draft = preferred.get(row.id, row.draft_id)
            try:
                found.append(
                    self._to_preference(row, origins.get(row.draft_id), origins.get(chosen_draft))
                )
            except InputError as error:
                found.append(error)
        return found

    def _to_preference(
        self, row: PreferenceRow, draft: Origin | None, chosen_draft: Origin | None
    ) -> Preference:
        """*Raises*: InputError where the edit cannot be encoded, or is the draft to the id."""
        if draft is None or chosen_draft is None:
            raise InputError("A draft was cancelled before its end.")
        rejected = self._sample(row.rejected, draft)
        if "token_ids" in row.chosen:
            chosen = self._sample(row.chosen, chosen_draft)
        else:
            chosen = self.base.codec.encode_edit(rejected, row.chosen["text"])
        scored = None if row.reference is None else ReferenceLogprobs.from_dict(row.reference)
        preference = Preference(as_prompt(row.prompt, draft.kind), chosen, rejected, scored)
        encode_pair(self.base, preference)
        return preference

    def _sample(self, fields: Mapping[str, Any], draft: Origin) -> Sample:
        """Return a stored sample: by its ids, or by its text where another base has drawn it.

        *Raises*: InputError where that text cannot be encoded.
        """
        sample = Sample.from_dict(fields)
        if drafts.holds_ids_of(self.base.base.fingerprint, draft.base_fingerprint):
            return sample
        return self.base.codec.encode_edit(replace(sample, token_ids=()), sample.text)

    def _start(self, user_id: str) -> _Start | None:
        """Read what a version starts from; None where its user does not let anything be learned.

        Nothing is locked meanwhile: whatever changes until the version is registered is noticed
        then.
        """
        with self.database.read() as db:
            user = accounts.find_user(db, user_id)
            lineage = lineages.current_lineage(db, user_id)
        if user is None or not user.learn:
            return None
        if lineage is None:
            lineage = self.database.write(lambda db: self._first_lineage(db, user_id))
        config = self.settings.coactive
        most = _BATCHES_A_VERSION * config.preferences_per_step
        memory = REPLAY_MEMORY if config.replay_per_step else 0
        with self.database.read() as db:
            reference = lineages.find_reference(db, lineage.reference_id)
            assert reference is not None
            return _Start(
                lineage,
                reference,
                lineages.serving_version(db, user_id),
                preferences.waiting_preferences(db, user_id, limit=most),
                preferences.learned_ids(db, user_id, limit=memory),
            )

    def _first_lineage(self, db: Connection, user_id: str) -> Lineage:
        """Return the lineage of a user, begun from the base where there is none."""
        if (current := lineages.current_lineage(db, user_id)) is not None:
            return current
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

    def _optimizer(self, policy: Policy, serving: Version | None) -> PreferenceOptimizer:
        """Return an optimiser that goes on from the version that serves."""
        config = self.settings.coactive
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
        for row, found in zip(batch, self.to_preferences(batch), strict=True):
            if isinstance(found, InputError):
                self._set_aside([row], str(found))
            else:
                usable.append((row, found))
        if not usable:
            return [], None
        rows = [row for row, _ in usable]
        replayed = self._replayed(past, optimizer.steps_taken)
        try:
            return rows, optimizer.step([*(found for _, found in usable), *replayed])
        except (TrainingError, DeviceMemoryError) as error:
            self._set_aside(rows, str(error))
            return [], None

    def _replayed(self, past: Sequence[str | Preference], steps_taken: int) -> list[Preference]:
        """Draw what a step replays of the past, of which only that is read and encoded."""
        config = self.settings.coactive
        drawn = draw(past, config.replay_per_step, seed=config.replay_seed(steps_taken))
        with self.database.read() as db:
            rows = preferences.find_preferences(db, [one for one in drawn if isinstance(one, str)])
        read = dict(zip(rows, self.to_preferences(list(rows.values())), strict=True))
        found = (read.get(one) if isinstance(one, str) else one for one in drawn)
        return [one for one in found if isinstance(one, Preference)]

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
        optimizer: PreferenceOptimizer,
        learned: Sequence[tuple[PreferenceRow, Preference]],
        metrics: Mapping[str, float],
    ) -> Version | None:
        version_id = new_id("ver")
        place = f"{lineages.VERSIONS}/{version_id}"
        folder = self.database.path_of(place)

        def save(to: Path) -> None:
            optimizer.policy.save(to)
            optimizer.save(to)

        digest = publishing.publish(folder, save)
        learned_from = [preference for _, preference in learned]
        reasons = self._examine(folder, start, learned_from)
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
            steps=optimizer.steps_taken,
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

    def _examine(self, folder: Path, start: _Start, learned: Sequence[Preference]) -> list[str]:
        settings, reference = self.settings, start.reference
        with ExitStack() as loaded:
            policy = self.base.with_adapter(folder, reference=self._folder_of(reference))
            loaded.callback(policy.unload)
            parent, past = None, list[Preference]()
            if settings.veto_drafts:
                past = self._past(start.past)
                if start.serving is not None:
                    parent = loaded.enter_context(self.policy_of(start.serving, reference))
            version = Examined(
                policy,
                learned,
                settings.max_drift,
                self.give_way,
                max_loosening=settings.max_loosening,
                looked_at=settings.veto_drafts,
                past=past,
                parent=parent,
                base=None if self._folder_of(reference) is None else self.base,
                sampling=settings.coactive.sampling,
                refusals_of=self._refusals_of,
            )
            return reasons_against(version)

    def _past(self, ids: Sequence[str]) -> list[Preference]:
        """Return the latest of what was learned before that can still be read, in order."""
        latest = ids[-_LOOKED_BACK:]
        with self.database.read() as db:
            rows = preferences.find_preferences(db, latest)
        found = self.to_preferences([rows[one] for one in latest if one in rows])
        return [one for one in found if isinstance(one, Preference)]

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

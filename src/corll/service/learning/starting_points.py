"""What a user's next version starts from: read out of the store, and loaded where it is needed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from corll.buffer import REPLAY_MEMORY
from corll.config import CoactiveConfig
from corll.policy import Policy
from corll.records import Preference
from corll.service.learning.policies import VersionPolicies
from corll.service.learning.reading import PreferenceReader
from corll.service.store import accounts, coins, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.lineages import Lineage, Reference, Version
from corll.service.store.preferences import PreferenceRow

_BATCHES_A_VERSION = 8
"""Steps that one version takes at most, where many preferences wait."""

LOOKED_BACK = 24
"""Preferences of before whose texts show what a user's texts are like."""


@dataclass(frozen=True)
class StartingPoint:
    """What a version starts from.

    `waiting` are the preferences to be learned, in order; `in_vain` the ids of those of them that a
    version was taught which was rejected; `past` the ids of those of which each step replays some,
    and `latest` of those whose texts show what the user's texts are like. `is_too_strong`: by the
    user's edits π_0 would have drafted better than what was learned.
    """

    lineage: Lineage
    reference: Reference
    serving: Version | None
    waiting: list[PreferenceRow]
    past: list[str]
    latest: list[str]
    in_vain: set[str]
    is_too_strong: bool


def starting_point(
    database: Database, base: Policy, config: CoactiveConfig, user_id: str
) -> StartingPoint | None:
    """Read what a version starts from; None where its user does not let anything be learned.

    Nothing is locked meanwhile: whatever changes until the version is registered is noticed then.
    """
    with database.read() as db:
        user = accounts.find_user(db, user_id)
        lineage = lineages.current_lineage(db, user_id)
    if user is None or not user.learn:
        return None
    if lineage is None:
        lineage = database.write(lambda db: first_lineage(db, base, user_id))
    most = _BATCHES_A_VERSION * config.preferences_per_step
    memory = REPLAY_MEMORY if config.replay_per_step else 0
    with database.read() as db:
        reference = lineages.find_reference(db, lineage.reference_id)
        assert reference is not None
        waiting = preferences.waiting_preferences(db, user_id, limit=most)
        learned = preferences.learned_ids(db, user_id, limit=max(memory, LOOKED_BACK))
        return StartingPoint(
            lineage,
            reference,
            lineages.serving_version(db, user_id),
            waiting,
            learned[-memory:] if memory else [],
            learned[-LOOKED_BACK:],
            preferences.taught_in_vain(db, [row.id for row in waiting]),
            coins.evidence_of(db, user_id).learned.verdict == "worse",
        )


class Former:
    """What a new version starts from, loaded to be held to and weighed by: once, where asked for.

    Whoever owns `loaded` closes it once the version is made.
    """

    def __init__(
        self,
        start: StartingPoint,
        policies: VersionPolicies,
        reader: PreferenceReader,
        loaded: ExitStack,
    ) -> None:
        self.start = start
        self._policies, self._reader, self._loaded = policies, reader, loaded

    @cached_property
    def policy(self) -> Policy | None:
        """The version that served, as it was published; None where its reference did."""
        start = self.start
        if start.serving is None:
            return None
        version = self._policies.of_version(start.serving, start.reference)
        return self._loaded.enter_context(version)

    @cached_property
    def latest(self) -> list[Preference]:
        """The latest of what was learned before that can still be read, in order."""
        return list(self._reader.find(self.start.latest).values())


def first_lineage(db: Connection, base: Policy, user_id: str) -> Lineage:
    """Return the lineage of a user, begun from the base where there is none."""
    if (current := lineages.current_lineage(db, user_id)) is not None:
        return current
    reference = lineages.get_or_create_base_reference(
        db, base_model=base.name, base_fingerprint=base.base.fingerprint, now=time.time()
    )
    return lineages.start_lineage(db, user_id=user_id, reference_id=reference.id, now=time.time())

"""Whose weights draft: a user's serving version, one that was named, or π_0 in its place."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from corll.frames import Filled
from corll.memory.meaning import forget_embeddings
from corll.schemas.states import DraftKind
from corll.service.drafting.drafter import Drafter
from corll.service.drafting.requests import (
    DraftRequest,
    Drawn,
    EngineBusyError,
    VersionFolder,
)
from corll.service.store import accounts, bases, lineages
from corll.service.store.accounts import User
from corll.service.store.drafts import DraftRow
from corll.service.store.lineages import Reference, Version
from corll.service.version_store.folders import VersionStore
from corll.verdicts.arms import Arm, Toss, has_weights, within

_LONGEST_NUMBER = 9


@dataclass(frozen=True, slots=True)
class Serving:
    """For whom a draft is, and which version writes it; without a version, π_0 does.

    `held_back` says that π_0 drafts in place of the version that serves, so that learning can be
    measured; `blind` says that the reply must not tell which of the two drafted. `arm` drafts, and
    `toss` decided on it; both are None where a model was named.
    """

    user: User
    version: Version | None
    held_back: bool = False
    blind: bool = False
    reference: Reference | None = None
    arm: Arm | None = None
    toss: Toss | None = None

    def by(self, arm: Arm, toss: Toss | None = None) -> Serving:
        """Return who drafts where an arm was chosen: π_0 for one without what was learned.

        Where π_0 drafts anyway, nothing is held back.
        """
        if has_weights(arm):
            drafts = within(arm, memory=True, weights=not self.held_back)
            return replace(self, arm=drafts, toss=toss, blind=self.blind or toss is not None)
        blind = toss is not None
        return replace(self, version=None, held_back=False, arm=arm, toss=toss, blind=blind)

    def row_of(
        self,
        request: DraftRequest,
        drawn: Drawn,
        *,
        draft_id: str,
        key_id: str | None,
        kind: DraftKind,
        model: str,
        asked: Filled | None,
        created_at: float,
    ) -> DraftRow:
        """Return a draft as it is kept. *Units*: `created_at` in seconds since 1970."""
        toss = self.toss
        return DraftRow(
            id=draft_id,
            user_id=self.user.id,
            key_id=key_id,
            kind=kind,
            model=model,
            prompt=request.prompt,
            version_id=None if self.version is None else self.version.id,
            candidates=[asdict(sample) for sample in drawn.candidates],
            shown=list(drawn.shown),
            scores=None if drawn.scores is None else list(drawn.scores),
            sampling=request.sampling.model_dump()
            if request.passed_on is None
            else dict(request.passed_on),
            seed=drawn.seed,
            status="cancelled" if drawn.cancelled else "complete",
            held_back=self.held_back,
            blind=self.blind,
            source="live",
            created_at=created_at,
            asked=asked,
            memory=list(drawn.memory),
            arm=self.arm,
            trial=None if toss is None else toss.trial,
            share=None if toss is None else toss.share,
            upstream=drawn.upstream,
        )

    def folder_in(self, versions: VersionStore) -> VersionFolder | None:
        """Return where the engine finds what drafts: the version, else an imported reference."""
        version, reference = self.version, self.reference
        imported, fingerprint = None, None
        if reference is not None and reference.folder is not None:
            imported, fingerprint = versions.at(reference.folder), reference.fingerprint
        if version is not None and version.folder is not None:
            folder, digest = versions.at(version.folder), version.manifest_sha256
            return VersionFolder(version.id, folder, imported, digest, fingerprint)
        if reference is None or imported is None:
            return None
        return VersionFolder(reference.id, imported, imported, fingerprint=fingerprint)


def ready_for(serving: Serving, drafter: Drafter, versions: VersionStore) -> VersionFolder | None:
    """Return where the engine finds what drafts, which is on this machine then, or in memory.

    *Raises*: AdapterError where it is damaged or gone; StoreUnavailableError where it has to be
    fetched from a store that cannot be reached.
    """
    found = serving.folder_in(versions)
    if found is not None and not drafter.has(found.id):
        reference = serving.reference
        for row in (serving.version, reference):
            if row is not None and row.folder is not None:
                versions.fetch(row.folder)
    return found


def serving_for(
    db: Connection, user: User, *, chance: Callable[[], float] = random.random
) -> Serving:
    """Choose what drafts for a user: the serving version, or by the holdback's chance its π_0.

    `chance` draws a number from [0, 1). Who withdrew consent to learn gets the plain base at once.
    """
    if not user.learn:
        return Serving(user, None)
    own = lineages.serving_version(db, user.id)
    reference = lineages.current_reference(db, user.id)
    blind = user.holdback > 0 and own is not None
    if blind and chance() < user.holdback:
        return Serving(user, None, held_back=True, blind=True, reference=reference)
    return Serving(user, own, blind=blind, reference=reference)


def serving_of(db: Connection, user_id: str) -> Serving | None:
    """Choose as `serving_for` does, for a user by their id; None for one who is gone."""
    user = accounts.find_user(db, user_id)
    return None if user is None else serving_for(db, user)


def named_serving(
    db: Connection, name: str, *, namespace: str, may_see: Callable[[User], bool]
) -> Serving | None:
    """Find the version that NAME@7 names; None where there is none that may draft for a caller."""
    owner_name, _, number = name.rpartition("@")
    is_number = number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER
    if not owner_name or not is_number:
        return None
    owner = accounts.find_user_called(db, namespace, owner_name)
    if owner is None or not may_see(owner) or not owner.learn:
        return None
    version = lineages.find_version_by_number(db, owner.id, int(number))
    if version is None:
        return None
    reference = lineages.find_reference(db, version.reference_id)
    if not _may_draft(version, reference, bases.served_fingerprint(db)):
        return None
    return Serving(owner, version, reference=reference)


def draftable(db: Connection, versions: Sequence[Version]) -> list[Version]:
    """Return those that may be asked for: they served, still have their weights, and fit the base.

    A version of a base that was served before fits again once the folder is switched back to it.
    """
    served = bases.served_fingerprint(db)
    references = {reference.id: reference for reference in lineages.all_references(db)}
    return [one for one in versions if _may_draft(one, references.get(one.reference_id), served)]


def _may_draft(version: Version, reference: Reference | None, served: str | None) -> bool:
    """Say whether a version may be asked for where the base of a fingerprint is served."""
    if reference is None:
        return False
    fits = served is None or reference.base_fingerprint in (served, bases.UNKNOWN_BASE)
    return fits and version.folder is not None and version.state in ("serving", "retired")


def let_go(drafter: Drafter, version_ids: Collection[str]) -> None:
    """Let memory forget what is kept for speed: weights of these versions, beginnings of prompts,
    embeddings.
    """
    with suppress(EngineBusyError):  # who stops forgets everything
        drafter.let_go(version_ids)
    forget_embeddings()

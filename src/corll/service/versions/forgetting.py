"""Deletion that unlearns: rows in one transaction, then folders and bytes, as often as it takes.

From the transaction on no version serves that saw what was deleted. What dies before folders and
bytes are gone is taken up by `clean` when the service starts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from corll.durable_points import reached
from corll.errors import InputError, StoreError, StoreUnavailableError
from corll.model.file_names import ADAPTER_WEIGHTS
from corll.schemas.deletions import (
    DeletedCounts,
    ErasedVersion,
    Receipt,
    Replay,
)
from corll.schemas.events import VersionEvent
from corll.schemas.states import Deletable, DeletionKind
from corll.service.store import ages, deleting, deletions, lineages, unlearning
from corll.service.store.accounts import User, audit, find_user
from corll.service.store.database import Database
from corll.service.store.deleting import Doomed
from corll.service.store.deletions import DeletionRow
from corll.service.store.drafts import find_draft, find_edit
from corll.service.store.imports import find_import
from corll.service.store.lineages import Version
from corll.service.store.replays import about, close_replay, find_replay
from corll.service.store.rows import new_id
from corll.service.store.unlearning import Seen, WeightsOf
from corll.service.version_store.folders import VersionStore
from corll.service.versions.publishing import MANIFEST
from corll.service.versions.tombstones import write_tombstones

log = logging.getLogger(__name__)

_OF_ALL = ("texts", "model", "user")
"""Kinds of which nothing that was learned remains."""


class DryRunError(Exception):
    """Ends the transaction of a dry run, so that it changes nothing; `receipt` is what it gave."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__("a dry run changes nothing")
        self.receipt = receipt


class Target(NamedTuple):
    """What is to be deleted: one thing by its id, or of a user all texts, the model, or all.

    Of kind `age` it is the user's texts of the time `until` and before, in seconds since 1970.
    """

    kind: DeletionKind
    subject: str
    user: User
    until: float | None = None


def find_target(db: Connection, kind: Deletable, subject: str) -> Target | None:
    """Return what is to be deleted by its id; None where it is not there."""
    row: Any
    if kind in _OF_ALL:
        owner = find_user(db, subject)
        return None if owner is None else Target(kind, subject, owner)
    if kind == "edit":
        row = find_edit(db, subject)
    elif kind == "draft":
        row = find_draft(db, subject)
    else:
        row = find_import(db, subject)
    # Asked either way, so that what is another's takes as long as what is not there.
    owner = find_user(db, "" if row is None else row.user_id)
    return None if owner is None else Target(kind, subject, owner)


def forget(
    db: Connection,
    target: Target,
    *,
    weights_of: WeightsOf,
    actor: str,
    now: float,
    dry_run: bool = False,
) -> Receipt:
    """Delete what is meant, with all weights that saw it; return the receipt.

    The versions' folders and the bytes in the database's files go by `clean`, afterwards.
    `weights_of` is that of `weights_in`.
    *Raises*: DryRunError in a dry run, with the receipt that it would have given.
    """
    user = target.user
    doomed = _doomed(db, target)
    seen = _seen(db, target, doomed, weights_of)
    planned = _planned(db, target, doomed, seen, now=now)
    seconds = _seconds_a_preference(db, user.id)
    _step_back(db, target, seen, planned.id, now=now)
    folders = unlearning.erase(db, seen, now=now)
    deleting.delete_rows(db, user.id, doomed, now=now)
    if target.kind == "texts":
        deleting.delete_memory(db, user.id)
    receipt = _settled(db, planned, seconds)
    row = DeletionRow(
        id=receipt.id,
        user_id=user.id,
        namespace=user.namespace,
        kind=target.kind,
        receipt=receipt.model_dump(),
        folders=folders,
        created_at=now,
    )
    deletions.add_deletion(db, row)
    _redact(db, target, receipt.id, doomed)
    if dry_run:
        raise DryRunError(receipt)
    details = {"deletion": receipt.id}
    if target.subject != user.id:
        details[target.kind] = target.subject
    action = f"{target.kind} deleted"
    audit(db, actor=actor, action=action, subject=user.id, details=details, now=now)
    reached("deletion written")
    return receipt


def clean(database: Database) -> list[str]:
    """Remove the folders, and the bytes in the database's files, of what was deleted.

    Return the ids of the deletions that were finished; the others are tried again when it is
    called the next time.
    """
    with database.read() as db:
        waiting = deletions.uncleaned(db)
    if not waiting:
        return []
    reached("deletion begun")
    try:
        write_tombstones(database)
    except StoreError as error:  # of a version store that is away, as are the folders
        log.warning("what was deleted is removed later: %s", error)
        return []
    left = [row for row in waiting if not _removed(database, row.folders)]
    done = [row.id for row in waiting if row not in left]
    reached("deleted folders removed")
    if not done or not database.purge():
        return []
    reached("deleted bytes purged")
    database.write(lambda db: deletions.note_cleaned(db, done, now=time.time()))
    return done


def news_of(receipt: Receipt) -> VersionEvent | None:
    """Return what a user's browsers are told of who serves after a deletion; None where it is who
    served before.
    """
    if not receipt.erased:
        return None
    if receipt.stands_in is None:
        return VersionEvent(number=receipt.erased[-1].number, state="retired")
    return VersionEvent(number=receipt.stands_in.number, state="serving")


def delete_now(
    database: Database, kind: Deletable, subject: str, *, actor: str, dry_run: bool = False
) -> Receipt:
    """Delete what is meant, and clean; for whoever has the database to themselves.

    *Raises*: InputError where it is not there.
    """

    def work(db: Connection) -> Receipt:
        target = find_target(db, kind, subject)
        if target is None:
            raise InputError(f"There is no {kind} {subject!r}; nothing was deleted.")
        return forget(
            db,
            target,
            weights_of=weights_in(database),
            actor=actor,
            now=time.time(),
            dry_run=dry_run,
        )

    try:
        receipt = database.write(work)
    except DryRunError as rehearsed:
        return rehearsed.receipt
    clean(database)
    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
    assert row is not None
    return row.to_receipt()


def _doomed(db: Connection, target: Target) -> Doomed:
    subject = target.subject
    if target.kind == "edit":
        edit = find_edit(db, subject)
        assert edit is not None
        return deleting.with_edit(db, edit)
    if target.kind == "draft":
        return deleting.with_drafts(db, [subject])
    if target.kind == "import":
        return deleting.with_import(db, subject)
    if target.until is not None:
        return _as_old_as(db, target.user.id, target.until)
    return Doomed() if target.kind == "model" else deleting.all_of_user(db, target.user.id)


def _as_old_as(db: Connection, user_id: str, until: float) -> Doomed:
    old = deleting.with_drafts(db, ages.drafts_as_old_as(db, user_id, until))
    jobs = [deleting.with_import(db, one) for one in ages.imports_as_old_as(db, user_id, until)]
    return deleting.all_of([old, *jobs])


def _seen(db: Connection, target: Target, doomed: Doomed, weights_of: WeightsOf) -> Seen:
    if target.kind in _OF_ALL:
        return unlearning.all_versions(db, target.user.id, weights_of)
    return unlearning.who_saw(db, target.user.id, doomed, weights_of)


def _redact(db: Connection, target: Target, deletion_id: str, doomed: Doomed) -> None:
    if target.kind == "model":
        return
    deleting.redact(db, target.user.id, deletion_id, doomed)
    if target.kind == "user":
        if (row := find_replay(db, target.user.id)) is not None:
            close_replay(db, row, "withdrawn")
        deleting.delete_account(db, target.user.id, deletion_id)


def _planned(db: Connection, target: Target, doomed: Doomed, seen: Seen, *, now: float) -> Receipt:
    """Return the receipt as far as it is known before anything has changed."""
    by_erased, behind = _drafts_that_stay(db, target.user.id, doomed, seen)
    return Receipt(
        object="deletion",
        id=new_id("deletion"),
        kind=target.kind,
        subject=target.subject,
        user=target.user.id,
        deleted_at=now,
        until=target.until,
        counts=_counts(db, doomed),
        erased=_told(seen.versions),
        references=sorted(_numbers(db, seen)),
        stands_in=None,
        replay=Replay(state="none", edits=0, seconds=0.0),
        first_without=None,
        drafts_of_erased=by_erased,
        drafts_behind=behind,
        cleaned=False,
        sha256="",
    )


def _step_back(db: Connection, target: Target, seen: Seen, deletion_id: str, *, now: float) -> None:
    """Let nobody be served by what is erased."""
    user_id = target.user.id
    others = {one.user_id for one in seen.versions} | set(unlearning.others_in(db, seen, user_id))
    for one in sorted(others - {user_id}):
        unlearning.step_back(db, one, seen, deletion_id=deletion_id, now=now)
    if target.kind in _OF_ALL:
        unlearning.begin_without_learning(db, user_id, seen, now=now)
    else:
        unlearning.step_back(db, user_id, seen, deletion_id=deletion_id, now=now)


def _settled(db: Connection, planned: Receipt, seconds_each: float | None) -> Receipt:
    """Return the receipt with what serves now, and what is learned again; sealed."""
    replayed = unlearning.settle_replay(db, planned.user)
    row = find_replay(db, planned.user)
    stands_in = about(lineages.serving_version(db, planned.user))
    known: dict[str, Any] = {"stands_in": stands_in, "first_without": stands_in}
    if row is not None and planned.id in row.deletions:
        seconds = None if seconds_each is None else seconds_each * len(replayed)
        known["replay"] = Replay(state="waiting", edits=len(replayed), seconds=seconds)
        known["first_without"] = None
    settled = planned.model_copy(update=known)
    return settled.model_copy(update={"sha256": deletions.seal(settled)})


def _counts(db: Connection, doomed: Doomed) -> DeletedCounts:
    return DeletedCounts(
        drafts=len(doomed.drafts),
        edits=len(doomed.edits),
        comparisons=len(doomed.comparisons),
        preferences=len(doomed.preferences),
        imported_texts=deleting.count_items(db, doomed),
    )


def _drafts_that_stay(db: Connection, user_id: str, doomed: Doomed, seen: Seen) -> tuple[int, int]:
    """Count the drafts that stay: by versions that are erased, and behind what is deleted."""
    by_erased = set(deleting.drafts_by(db, user_id, seen.ids)) - doomed.drafts
    behind = set(deleting.drafts_behind(db, user_id, doomed.exchanges)) - doomed.drafts
    return len(by_erased), len(behind)


def _told(versions: Sequence[Version]) -> list[ErasedVersion]:
    ordered = sorted(versions, key=lambda one: (one.user_id, one.number))
    return [
        ErasedVersion(
            user=one.user_id,
            number=one.number,
            id=one.id,
            manifest_sha256=one.manifest_sha256,
        )
        for one in ordered
    ]


def _numbers(db: Connection, seen: Seen) -> list[int]:
    found = (lineages.find_reference(db, one) for one in seen.references)
    return [row.number for row in found if row is not None]


def _seconds_a_preference(db: Connection, user_id: str) -> float | None:
    """Return how long the steps of a user's versions took for each preference, if it is known."""
    recipes = [one.recipe for one in lineages.versions_of(db, user_id) if one.recipe]
    learned = sum(len(batch) for recipe in recipes for batch in recipe["batches"])
    return sum(recipe["seconds"] for recipe in recipes) / learned if learned else None


def weights_in(database: Database) -> WeightsOf:
    """Return what reads the fingerprint of a version's weights out of its folder."""
    return weights_at(database.versions)


def weights_at(versions: VersionStore) -> WeightsOf:
    """Return what reads the fingerprint of a version's weights out of a version store.

    *Raises*: StoreUnavailableError where that cannot be reached, since a reference of the same
    weights would be overlooked.
    """

    def weights_of(folder: str) -> str | None:
        if not folder:
            return None
        try:
            listed = json.loads(versions.read(folder, MANIFEST))["files"]
            return str(listed[ADAPTER_WEIGHTS]["sha256"])
        except StoreUnavailableError:
            raise
        except (OSError, ValueError, LookupError, TypeError):
            return None

    return weights_of


def _removed(database: Database, folders: Sequence[str]) -> bool:
    """Remove folders of weights; say whether all are gone."""
    gone = [database.versions.remove(folder) for folder in folders]
    return all(gone)

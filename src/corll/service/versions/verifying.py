"""Whether a deletion's receipt still holds: what is gone is gone, and what serves never saw it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from corll.errors import AdapterError
from corll.model.file_names import OPTIMIZER
from corll.schemas.deletions import CleanVersion, Receipt
from corll.service.store import deletions, drafts, imports, lineages
from corll.service.store.database import Database
from corll.service.version_store.folders import VERSIONS
from corll.service.versions import publishing
from corll.service.versions.forgetting import find_target


class Finding(NamedTuple):
    """What was looked at, and how it is: it holds, it does not, or it is not settled yet."""

    state: Literal["holds", "broken", "open"]
    text: str


def verify_receipt(database: Database, receipt: Receipt) -> list[Finding]:
    """Look whether a receipt holds: against the record, the rows, and the folders.

    Nothing is computed again: `verify_weights` of the learner's room does that.
    """
    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
        if row is None:
            return [Finding("broken", f"{receipt.id} is not on record here")]
        kept = row.to_receipt()
        found = [_seal(receipt, kept), _bytes(kept), _gone(db, kept)]
        found += _erased(db, database, kept)
        found += _without(db, database, kept)
    return found


def _seal(receipt: Receipt, kept: Receipt) -> Finding:
    if deletions.unsealed(receipt) or deletions.unsealed(kept) or receipt.sha256 != kept.sha256:
        return Finding("broken", "the receipt is not the one that was given out")
    return Finding("holds", f"the receipt is the one that was given out ({kept.sha256[:12]})")


def _bytes(kept: Receipt) -> Finding:
    if kept.cleaned:
        return Finding("holds", "folders and database were rid of what was deleted")
    return Finding("open", "bytes may be left in files; the next start of the service goes on")


def _gone(db: Connection, kept: Receipt) -> Finding:
    """Look whether there is still what was deleted; a user's texts of before, for `texts`."""
    if kept.kind == "model":
        return Finding("holds", "texts were not deleted, the model was")
    if kept.kind == "age":
        return _grown_old(db, kept)
    if kept.kind != "texts":
        there = find_target(db, kept.kind, kept.subject) is not None
    else:
        old = drafts.oldest_at(db, kept.user), imports.oldest_at(db, kept.user)
        there = any(at is not None and at <= kept.deleted_at for at in old)
    if there:
        return Finding("broken", f"{kept.kind} {kept.subject} is still there")
    return Finding("holds", f"{kept.kind} {kept.subject} is gone")


def _grown_old(db: Connection, kept: Receipt) -> Finding:
    old = drafts.oldest_at(db, kept.user), imports.oldest_at(db, kept.user)
    if kept.until is None or any(at is not None and at <= kept.until for at in old):
        return Finding("broken", f"texts of {kept.user} that had grown old are still there")
    return Finding("holds", f"the texts of {kept.user} that had grown old are gone")


def _erased(db: Connection, database: Database, kept: Receipt) -> Iterator[Finding]:
    for one in kept.erased:
        row = lineages.find_version(db, one.id)
        has_row = row is not None and (row.erased_at is None or row.folder is not None)
        if has_row or database.versions.holds(f"{VERSIONS}/{one.id}"):
            yield Finding("broken", f"version {one.number} ({one.id}) still has weights")
        else:
            yield Finding("holds", f"version {one.number} ({one.id}) has no weights any more")


def _without(db: Connection, database: Database, kept: Receipt) -> Iterator[Finding]:
    """Look at what stood in, and at what learned the rest without what was deleted."""
    for name, version in (("stood in", kept.stands_in), ("learned the rest", kept.first_without)):
        if version is not None:
            yield _clean(db, database, kept, name, version)
    state = kept.replay.state
    if state == "waiting":
        yield Finding("open", f"{kept.replay.edits} edits wait to be learned again without it")
    elif state in ("rejected", "withdrawn"):
        yield Finding("holds", f"what was learned again does not serve: it was {state}")


def _clean(
    db: Connection, database: Database, kept: Receipt, name: str, version: CleanVersion
) -> Finding:
    what = f"version {version.number}, which {name},"
    row = lineages.find_version(db, version.id)
    if row is None or row.erased_at is not None:
        return Finding("holds", f"{what} was erased since, by a later deletion")
    line = {one.id for one in lineages.ancestry(db, row.id)}
    if line & {one.id for one in kept.erased}:
        return Finding("broken", f"{what} came of a version that saw it")
    if row.folder is None:
        return Finding("holds", f"{what} never saw it; its weights were pruned since")
    try:
        digest = version.manifest_sha256 or ""
        publishing.verify(database.versions.fetch(row.folder), digest, without=(OPTIMIZER,))
    except AdapterError as error:
        return Finding("broken", f"{what} is not what was published: {error}")
    return Finding("holds", f"{what} never saw it, and is what was published, to the byte")

"""Deletions on record: a receipt for each, without a text, and what is still to be cleaned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from corll.schemas.deletions import CleanVersion, Receipt
from corll.schemas.states import DeletionKind, ReplayState
from corll.service.store.rows import add_row, all_rows, find_row, in_chunks, select_rows
from corll.service.store.schema import audit_log, deletions

_SEALED = ("id", "kind", "subject", "user", "deleted_at", "counts", "erased", "references")


@dataclass(frozen=True, slots=True)
class DeletionRow:
    """A deletion: its receipt, and the `folders` that are still to be removed.

    `cleaned_at` is None until these are gone and the database's files are rid of what was deleted.
    """

    id: str
    user_id: str
    namespace: str
    kind: DeletionKind
    receipt: dict[str, Any]
    folders: list[str]
    created_at: float
    cleaned_at: float | None = None

    def to_receipt(self) -> Receipt:
        """Return what is told of it."""
        return Receipt.model_validate({**self.receipt, "cleaned": self.cleaned_at is not None})


def seal(receipt: Receipt) -> str:
    """Return the SHA-256 of what does not change of a receipt."""
    sealed = receipt.model_dump(include=set(_SEALED))
    if receipt.until is not None:
        sealed["until"] = receipt.until
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def add_deletion(db: Connection, row: DeletionRow) -> None:
    """Keep a deletion."""
    add_row(db, deletions, row)


def find_deletion(db: Connection, deletion_id: str) -> DeletionRow | None:
    """Return the deletion of that id."""
    return find_row(db, DeletionRow, deletions, deletions.c.id == deletion_id)


def deletions_of(db: Connection, user_id: str) -> list[DeletionRow]:
    """Return the deletions of a user, of one who is gone too, the newest first."""
    query = select_rows(DeletionRow, deletions).where(deletions.c.user_id == user_id)
    return all_rows(db, DeletionRow, query.order_by(deletions.c.number.desc()))


def deletions_since(db: Connection, number: int) -> tuple[list[DeletionRow], int]:
    """Return the deletions after one of a number, the oldest first, and the number of the last."""
    after = deletions.c.number > number
    query = select_rows(DeletionRow, deletions).where(after).order_by(deletions.c.number)
    last = db.execute(select(func.max(deletions.c.number))).scalar()
    return all_rows(db, DeletionRow, query), number if last is None else max(number, last)


def last_at(db: Connection, user_id: str, kind: DeletionKind) -> float | None:
    """Return when something of that kind was last deleted of a user, in seconds since 1970."""
    theirs = (deletions.c.user_id == user_id) & (deletions.c.kind == kind)
    found: float | None = db.execute(
        select(func.max(deletions.c.created_at)).where(theirs)
    ).scalar()
    return found


def all_deletions(db: Connection) -> list[DeletionRow]:
    """Return all deletions, in the order in which they were recorded."""
    return all_rows(db, DeletionRow, select_rows(DeletionRow, deletions).order_by("number"))


def uncleaned(db: Connection) -> list[DeletionRow]:
    """Return the deletions whose bytes may still be somewhere, the oldest first."""
    query = select_rows(DeletionRow, deletions).where(deletions.c.cleaned_at.is_(None))
    return all_rows(db, DeletionRow, query.order_by(deletions.c.number))


def note_cleaned(db: Connection, ids: Sequence[str], *, now: float) -> None:
    """Note that folders and bytes of these deletions are gone."""
    done = {"folders": [], "cleaned_at": now}
    db.execute(update(deletions).where(deletions.c.id.in_(ids)).values(done))


def note_replay(
    db: Connection,
    ids: Sequence[str],
    state: ReplayState,
    first_without: CleanVersion | None = None,
) -> None:
    """Write into receipts what became of the replay that they waited for."""
    for row in [one for one in (find_deletion(db, one) for one in ids) if one is not None]:
        receipt = {**row.receipt, "replay": {**row.receipt["replay"], "state": state}}
        if first_without is not None:
            receipt["first_without"] = first_without.model_dump()
        db.execute(update(deletions).where(deletions.c.id == row.id).values(receipt=receipt))


def note_differences(db: Connection, ids: Sequence[str], lines: Sequence[str]) -> None:
    """Write into receipts where a replay is not computed as its steps were before."""
    for row in [one for one in (find_deletion(db, one) for one in ids) if one is not None]:
        replay = row.receipt["replay"]
        differs = sorted({*replay.get("differs", []), *lines})
        if differs != replay.get("differs"):
            receipt = {**row.receipt, "replay": {**replay, "differs": differs}}
            db.execute(update(deletions).where(deletions.c.id == row.id).values(receipt=receipt))


def redact_audit(
    db: Connection, deletion_id: str, subjects: Sequence[str], *, of_actions: Sequence[str] = ()
) -> None:
    """Take the details of audit entries about these subjects; with `of_actions`, of such alone.

    The log's guards permit it for a deletion that is on record. *Raises*: StoreError otherwise.
    """
    for some in in_chunks(subjects):
        theirs: ColumnElement[bool] = audit_log.c.subject.in_(some)
        if of_actions:
            theirs &= audit_log.c.action.in_(of_actions)
        redacted = {"details": {"redacted": deletion_id}}
        db.execute(update(audit_log).where(theirs).values(redacted))


def unsealed(receipt: Receipt) -> bool:
    """Say whether a receipt was changed since it was given out."""
    return seal(receipt) != receipt.sha256

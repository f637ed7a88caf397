"""From which references users asked to start, and what an examination said of these.

A start is `examining` until it is settled, in the transaction that begins the lineage; so what was
not examined when a process died is examined by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from corll.schemas.states import StartState
from corll.service.store.rows import all_rows, find_row, first_row, select_rows
from corll.service.store.schema import starts


@dataclass(frozen=True, slots=True)
class StartRow:
    """A user's start from a reference; `actor` asked for it, and `reasons` speak against it."""

    number: int
    user_id: str
    reference_id: str
    state: StartState
    reasons: list[str]
    actor: str
    created_at: float
    decided_at: float | None


def ask_to_start(
    db: Connection, *, user_id: str, reference_id: str, actor: str, now: float
) -> StartRow:
    """Note that a user is to start from a reference, in place of one that still waits."""
    theirs = (starts.c.user_id == user_id) & (starts.c.state == "examining")
    db.execute(update(starts).where(theirs).values(state="withdrawn", decided_at=now))
    about = {"user_id": user_id, "reference_id": reference_id, "actor": actor}
    db.execute(insert(starts).values(state="examining", reasons=[], created_at=now, **about))
    asked = latest_start(db, user_id)
    assert asked is not None
    return asked


def waiting_starts(db: Connection) -> list[StartRow]:
    """Return the starts that are not settled, the oldest first."""
    query = select_rows(StartRow, starts).where(starts.c.state == "examining")
    return all_rows(db, StartRow, query.order_by(starts.c.number))


def latest_start(db: Connection, user_id: str) -> StartRow | None:
    """Return the start that was asked for last for a user."""
    query = select_rows(StartRow, starts).where(starts.c.user_id == user_id)
    return first_row(db, StartRow, query.order_by(starts.c.number.desc()))


def unserved_start(db: Connection, user_id: str) -> StartRow | None:
    """Return the latest start of a user where it does not serve: it is examined, or rejected."""
    row = latest_start(db, user_id)
    return row if row is not None and row.state in ("examining", "rejected") else None


def starts_of(db: Connection, user_id: str) -> list[StartRow]:
    """Return all starts that were asked for for a user, in order."""
    query = select_rows(StartRow, starts).where(starts.c.user_id == user_id)
    return all_rows(db, StartRow, query.order_by(starts.c.number))


def find_start(db: Connection, number: int) -> StartRow | None:
    """Return the start of that number."""
    return find_row(db, StartRow, starts, starts.c.number == number)


def settle_start(
    db: Connection, number: int, state: StartState, *, reasons: Sequence[str] = (), now: float
) -> StartRow:
    """Say what became of a start that waited."""
    decided = {"state": state, "reasons": list(reasons), "decided_at": now}
    db.execute(update(starts).where(starts.c.number == number).values(**decided))
    settled = find_start(db, number)
    assert settled is not None
    return settled


def was_examined(db: Connection, user_id: str, reference_id: str) -> bool:
    """Say whether a reference passed an examination when its user last started from it."""
    began = starts.c.state.in_(("started", "unexamined"))
    query = (
        select(starts.c.state)
        .where(starts.c.user_id == user_id, starts.c.reference_id == reference_id, began)
        .order_by(starts.c.number.desc())
    )
    return db.execute(query.limit(1)).scalar() == "started"

"""Leases: which learner works for which user, so that no two learn from the same edits.

A lease has a fence, a number that grows each time its user is taken. Whoever was taken over has a
fence of before, and can register nothing. A lease that ended is its holder's until another takes
the user, so a database that was away costs nobody a step. PostgreSQL locks a lease's row alone, so
leases go in transactions of `Database.write_rows`; the check of a fence locks it until its own
transaction commits.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from corll.errors import LeaseLostError
from corll.service.store.clock import database_time
from corll.service.store.schema import learning_leases as table
from corll.service.store.schema import users

LONGEST_S = 30.0
"""How long a lease lasts without renewal, at most."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A user whom a learner has taken, and with which fence."""

    user_id: str
    holder: str
    fence: int


def take(db: Connection, user_id: str, holder: str, *, seconds: float) -> Lease | None:
    """Take a user for some seconds; None where another holder has them, or is just taking them.

    Who held the user before, under the same name too, has lost them.
    """
    until = database_time(db) + seconds
    row = db.execute(
        select(table).where(table.c.user_id == user_id).with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return _first(db, user_id, holder, until)
    if row.holder != holder and row.expires_at > until - seconds:
        return None
    lease = Lease(user_id, holder, row.fence + 1)
    taken = {"holder": holder, "fence": lease.fence, "expires_at": until}
    db.execute(update(table).where(table.c.user_id == user_id).values(taken))
    return lease


def renew(db: Connection, lease: Lease, *, seconds: float) -> None:
    """Hold a user for some seconds from now. *Raises*: LeaseLostError where another took them."""
    until = database_time(db) + seconds
    if db.execute(update(table).where(_is(lease)).values(expires_at=until)).rowcount == 0:
        raise _lost(lease)


def release(db: Connection, lease: Lease) -> None:
    """Let others take a user at once; nothing where another has."""
    gone = {"expires_at": 0.0, "fence": lease.fence + 1}
    db.execute(update(table).where(_is(lease)).values(gone))


def check(db: Connection, lease: Lease) -> None:
    """Check that nobody took a user over, nor does until this transaction commits.

    *Raises*: LeaseLostError where somebody did, or the user is gone.
    """
    if db.execute(select(table.c.fence).where(_is(lease)).with_for_update()).first() is None:
        raise _lost(lease)


def end_former(db: Connection, holder: str) -> bool:
    """End the leases of a holder that starts anew, and those that ran out.

    Return whether no other holder has a lease now, so that nobody is making a version.
    """
    others = (table.c.holder != holder) & (table.c.expires_at > database_time(db))
    db.execute(update(table).where(~others).values(fence=table.c.fence + 1, expires_at=0.0))
    return db.execute(select(table.c.user_id).where(others)).first() is None


def held(db: Connection) -> set[tuple[str, int]]:
    """End the leases that ran out; return the users of all others, each with its fence."""
    ran_out = table.c.expires_at.between(1, database_time(db))
    db.execute(update(table).where(ran_out).values(fence=table.c.fence + 1, expires_at=0.0))
    rows = db.execute(select(table.c.user_id, table.c.fence).where(table.c.expires_at > 0))
    return {(row.user_id, row.fence) for row in rows}


def of_nobody(db: Connection) -> list[str]:
    """Return the ids of users who have a lease and are not there."""
    there = select(users.c.id)
    return list(db.execute(select(table.c.user_id).where(table.c.user_id.not_in(there))).scalars())


def overlong(db: Connection) -> dict[str, float]:
    """Return whose leases end later than any that is taken now, by user: in how many seconds."""
    now = database_time(db)
    query = select(table.c.user_id, table.c.expires_at)
    query = query.join(users, users.c.id == table.c.user_id)
    found = db.execute(query.where(table.c.expires_at > now + LONGEST_S))
    return {row.user_id: row.expires_at - now for row in found}


def end(db: Connection, user_id: str) -> None:
    """End a user's lease, whoever holds it."""
    gone = {"expires_at": 0.0, "fence": table.c.fence + 1}
    db.execute(update(table).where(table.c.user_id == user_id).values(gone))


def remove(db: Connection, user_id: str) -> None:
    """Remove the row of a user who is not there."""
    db.execute(delete(table).where(table.c.user_id == user_id))


def _first(db: Connection, user_id: str, holder: str, until: float) -> Lease | None:
    lease = Lease(user_id, holder, 1)
    values = {"user_id": user_id, "holder": holder, "fence": 1, "expires_at": until}
    try:
        with db.begin_nested():
            db.execute(insert(table).values(values))
    except IntegrityError:  # of a row that another transaction holds, or a user who is gone
        return None
    return lease


def _is(lease: Lease) -> ColumnElement[bool]:
    return (table.c.user_id == lease.user_id) & (table.c.fence == lease.fence)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"another learner has taken over user {lease.user_id} (fence {lease.fence} is of before), "
        "or the user is gone; start the step again from what serves now"
    )

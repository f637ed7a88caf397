"""Each user's coin, and which trials between two arms it decided."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from corll.service.store.rows import add_row, all_rows, select_rows
from corll.service.store.schema import coins, trials
from corll.verdicts.arms import Arm, Coin, Prior


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial that was decided, after so many drafts that the coin decided on."""

    user_id: str
    winner: Arm
    loser: Arm
    drafts: int
    decided_at: float


def coin_of(db: Connection, user_id: str) -> Coin | None:
    """Return a user's coin as it stands, for a writer to change; None where it was never used."""
    query = select(coins.c.state).where(coins.c.user_id == user_id)
    state = db.execute(query).scalar()
    return None if state is None else Coin.from_dict(state)


def keep_coin(db: Connection, user_id: str, coin: Coin, *, now: float) -> None:
    """Keep a user's coin in place of the former one."""
    db.execute(delete(coins).where(coins.c.user_id == user_id))
    row = {"user_id": user_id, "state": coin.to_dict(), "updated_at": now}
    db.execute(insert(coins).values(row))


def add_trial(db: Connection, row: TrialRow) -> None:
    """Keep how a trial ended."""
    add_row(db, trials, row)


def trials_of(db: Connection, user_id: str) -> list[TrialRow]:
    """Return a user's decided trials in order."""
    query = select_rows(TrialRow, trials).where(trials.c.user_id == user_id)
    return all_rows(db, TrialRow, query.order_by(trials.c.number))


def prior_of(db: Connection) -> Prior:
    """Return how often each arm won against each other, over all users."""
    query = select(trials.c.winner, trials.c.loser, func.count())
    rows = db.execute(query.group_by(trials.c.winner, trials.c.loser))
    return Prior({(winner, loser): count for winner, loser, count in rows})

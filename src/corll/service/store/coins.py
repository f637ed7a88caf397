"""Each user's coin, the trials between two arms that it decided, and the free evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from corll.service.store.rows import add_row, all_rows, select_rows
from corll.service.store.schema import coins, free_evidence, trials
from corll.verdicts.arms import Arm, Coin, Prior
from corll.verdicts.evidence import Evidence


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
    state = _state(db, coins, user_id)
    return None if state is None else Coin.from_dict(state)


def keep_coin(db: Connection, user_id: str, coin: Coin, *, now: float) -> None:
    """Keep a user's coin in place of the former one."""
    _keep(db, coins, user_id, coin.to_dict(), now)


def evidence_of(db: Connection, user_id: str) -> Evidence:
    """Return what a user's edits say, for a writer to change."""
    state = _state(db, free_evidence, user_id)
    return Evidence() if state is None else Evidence.from_dict(state)


def keep_evidence(db: Connection, user_id: str, evidence: Evidence, *, now: float) -> None:
    """Keep what a user's edits say in place of what they said before."""
    _keep(db, free_evidence, user_id, evidence.to_dict(), now)


def weigh_anew(db: Connection, user_id: str, *, now: float) -> None:
    """Forget what edits said of what was learned, where other weights serve from now on."""
    evidence = evidence_of(db, user_id)
    if evidence.learned.count:
        keep_evidence(db, user_id, evidence.with_learned_anew(), now=now)


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


def _state(db: Connection, table: Table, user_id: str) -> dict[str, Any] | None:
    query = select(table.c.state).where(table.c.user_id == user_id)
    return db.execute(query).scalar()


def _keep(db: Connection, table: Table, user_id: str, state: dict[str, Any], now: float) -> None:
    db.execute(delete(table).where(table.c.user_id == user_id))
    row = {"user_id": user_id, "state": state, "updated_at": now}
    db.execute(insert(table).values(row))

"""Each user's coin, the trials between two arms that it decided, and the free evidence.

All of it is of the weights that served. Where a user moves to another reference, or all do to
another base or another service's model, coin and evidence begin anew; decided trials stay as what
they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from corll.service.store.rows import add_row, all_rows, select_rows
from corll.service.store.schema import coins, drafts, free_evidence, trials, users
from corll.verdicts.arms import Arm, Coin, Prior
from corll.verdicts.evidence import Evidence

_FIRST_TRIAL = "first_trial"
"""What alone is kept of a coin that begins anew: the number of its first trial."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial that was decided, after so many drafts that the coin decided on.

    `upstream` is the model of another service that wrote these.
    """

    user_id: str
    winner: Arm
    loser: Arm
    drafts: int
    decided_at: float
    upstream: str | None = None


def coin_of(db: Connection, user_id: str) -> Coin | None:
    """Return a user's coin as it stands, for a writer to change; None where it was not used yet."""
    state = _state(db, coins, user_id)
    return None if state is None or state.keys() == {_FIRST_TRIAL} else Coin.from_dict(state)


def first_trial(db: Connection, user_id: str) -> int:
    """Return the number of the trial that a coin begins with that was not used yet."""
    state = _state(db, coins, user_id)
    return 0 if state is None else int(state.get(_FIRST_TRIAL, 0))


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


def begin_anew(db: Connection, user_id: str, *, now: float) -> None:
    """Forget what costs and edits said of a user's arms, since other weights serve from now on.

    Drafts of before are of earlier trials, so what their edits cost decides nothing any more.
    """
    coin = coin_of(db, user_id)
    former = first_trial(db, user_id) if coin is None else coin.trial
    _keep(db, coins, user_id, {_FIRST_TRIAL: former + 1}, now)
    db.execute(delete(free_evidence).where(free_evidence.c.user_id == user_id))


def begin_all_anew(db: Connection, *, now: float) -> None:
    """Forget what is known of all users' arms, since another base serves from now on."""
    for user_id in db.execute(select(users.c.id)).scalars().all():
        begin_anew(db, user_id, now=now)


def begin_all_anew_by(db: Connection, upstream: str | None, *, now: float) -> None:
    """Forget what is known of all users' arms where another model drafts than did last.

    `upstream` names another service's model that drafts now, None our own.
    """
    of_arms = select(drafts.c.upstream).where(drafts.c.arm.is_not(None), drafts.c.source == "live")
    last = db.execute(of_arms.order_by(drafts.c.number.desc()).limit(1)).first()
    if last is not None and last.upstream != upstream:
        begin_all_anew(db, now=now)


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


def prior_of(db: Connection, upstream: str | None = None) -> Prior:
    """Return how often each arm won against each other, over all users.

    That is by drafts of our own models, or of an upstream's: an arm is another thing there.
    """
    same = trials.c.upstream.is_(None) if upstream is None else trials.c.upstream == upstream
    query = select(trials.c.winner, trials.c.loser, func.count()).where(same)
    rows = db.execute(query.group_by(trials.c.winner, trials.c.loser))
    return Prior({(winner, loser): count for winner, loser, count in rows})


def _state(db: Connection, table: Table, user_id: str) -> dict[str, Any] | None:
    query = select(table.c.state).where(table.c.user_id == user_id)
    return db.execute(query).scalar()


def _keep(db: Connection, table: Table, user_id: str, state: dict[str, Any], now: float) -> None:
    db.execute(delete(table).where(table.c.user_id == user_id))
    row = {"user_id": user_id, "state": state, "updated_at": now}
    db.execute(insert(table).values(row))

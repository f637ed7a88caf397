"""What the processes that share a database tell each other: news of users, and who learns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from corll.service.store.clock import database_time
from corll.service.store.fleet_tables import learners, news

ALIVE_S = 30.0
"""For how long a learner counts as there after it was seen last."""

_KEPT_S = 3600.0
"""How long news are kept. *Units*: seconds."""


@dataclass(frozen=True, slots=True)
class NewsRow:
    """Something that happened to a user: the kind of an event, and its fields."""

    user_id: str
    kind: str
    event: dict[str, Any]


def post(db: Connection, rows: Sequence[NewsRow], *, origin: str) -> None:
    """Post news, and forget those that are an hour old.

    Whoever posts writes by `Database.write`, one after another, so that numbers are seen in order.
    """
    now = time.time()
    for row in rows:
        fields = {"user_id": row.user_id, "kind": row.kind, "event": row.event}
        db.execute(insert(news).values(**fields, origin=origin, created_at=now))
    db.execute(delete(news).where(news.c.created_at < now - _KEPT_S))


def news_since(db: Connection, number: int, *, but: str) -> tuple[list[NewsRow], int]:
    """Return the news after a number that others than `but` posted, and the last number."""
    last = db.execute(select(func.max(news.c.number))).scalar()
    if last is None or last <= number:
        return [], number
    found = (news.c.number > number) & (news.c.origin != but)
    rows = db.execute(select(news).where(found).order_by(news.c.number))
    return [NewsRow(row.user_id, row.kind, row.event) for row in rows], int(last)


def note_learner(db: Connection, holder: str) -> None:
    """Note that a learner is there, and forget those that have been gone for a day."""
    now = database_time(db)
    seen = update(learners).where(learners.c.holder == holder).values(seen_at=now)
    if db.execute(seen).rowcount == 0:
        db.execute(insert(learners).values(holder=holder, seen_at=now))
    db.execute(delete(learners).where(learners.c.seen_at < now - 86400))


def forget_learner(db: Connection, holder: str) -> None:
    """Note that a learner has ended."""
    db.execute(delete(learners).where(learners.c.holder == holder))


def count_learners(db: Connection) -> int:
    """Return how many learners were seen within `ALIVE_S`."""
    alive = learners.c.seen_at > database_time(db) - ALIVE_S
    return int(db.execute(select(func.count()).select_from(learners).where(alive)).scalar_one())

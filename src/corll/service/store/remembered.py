"""What a user sent before, as exchanges that may stand before a new request, and their say in it.

An exchange is an edit of a live draft, an accepted draft, or an item of an import. It goes with its
edit or import: what is replaced or deleted stands before nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    String,
    cast,
    delete,
    func,
    insert,
    select,
    true,
)

from corll.frames import FrameName
from corll.memory.exchanges import Exchange
from corll.schemas.states import MemoryMark
from corll.service.store.accounts import audit, find_user
from corll.service.store.rows import is_id
from corll.service.store.schema import (
    drafts,
    edits,
    import_items,
    imports,
    memories_cleared,
    memory_marks,
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A user's exchanges of one kind of request, the oldest first, without what is skipped.

    `pinned` are the ids of those that are to stand before every request of the kind.
    """

    exchanges: Sequence[Exchange]
    pinned: frozenset[str] = frozenset()


def past_exchanges(
    db: Connection,
    user_id: str,
    frame: FrameName,
    *,
    most: int,
    in_steps_of: int = 1,
    with_skipped: bool = False,
) -> Remembered:
    """Return what a user sent in answer to requests in a frame; `none`: to those without one.

    Where there are more than `most`, the oldest are left out, as many as are a multiple of
    `in_steps_of`: what is chosen by counting stays what it is. Pinned ones are never left out.
    """
    marks = marks_of(db, user_id)
    since = cleared_at(db, user_id)
    queries = [query(user_id, frame, since) for query in (_imported, _sent)]
    counts = [
        db.execute(select(func.count()).select_from(q.subquery())).scalar_one() for q in queries
    ]
    too_many = max(0, sum(counts) - most)
    left_out = -(-too_many // in_steps_of) * in_steps_of
    past = []
    for query, count in zip(queries, counts, strict=True):
        skipped_rows = min(left_out, count)
        left_out -= skipped_rows
        past += [
            Exchange(row.prompt, row.text, row.id)
            for row in db.execute(query.offset(skipped_rows).limit(count))
        ]
    kept = [one for one in past if with_skipped or marks.get(one.id) != "skipped"]
    pinned = frozenset(exchange for exchange, mark in marks.items() if mark == "pinned")
    if older := pinned.difference(one.id for one in kept):
        kept = [*_those_of(db, user_id, older, frame).values(), *kept]
    return Remembered(kept, pinned)


def find_exchange(db: Connection, user_id: str, exchange_id: str) -> Exchange | None:
    """Return the exchange of that id, if it is a user's and may stand before a request."""
    return _those_of(db, user_id, [exchange_id]).get(exchange_id)


def still_remembered(
    db: Connection, user_id: str, exchange_ids: Collection[str]
) -> Mapping[str, Exchange]:
    """Return those of these exchanges that may stand before a user's requests, by their ids.

    What is replaced, deleted, cleared or skipped is missing, as is what is another user's, and all
    where the user does not let texts be kept and learned from.
    """
    user = find_user(db, user_id)
    if user is None or not user.is_remembered or not exchange_ids:
        return {}
    marks = marks_of(db, user_id)
    return _those_of(db, user_id, [one for one in exchange_ids if marks.get(one) != "skipped"])


def missing_letters(db: Connection, user_id: str, exchange_ids: Collection[str]) -> set[str]:
    """Return which of these exchanges were letters, and were deleted since.

    What is no letter, such as a worked example, is never missing.
    """
    letters = {one for one in exchange_ids if is_id("edit", one) or one.startswith("import_")}
    if not letters:
        return set()
    theirs = (edits.c.user_id == user_id) & edits.c.id.in_(letters)
    there = set(db.execute(select(edits.c.id).where(theirs)).scalars())
    return letters - there - imported_letters(db, user_id)


def imported_letters(db: Connection, user_id: str) -> set[str]:
    """Return the ids under which the texts of a user's imports stand before requests."""
    items = import_items.c
    of_user = select(items.import_id, items.number).join(imports, imports.c.id == items.import_id)
    rows = db.execute(of_user.where(imports.c.user_id == user_id))
    return {f"{row.import_id}.{row.number}" for row in rows}


def _those_of(
    db: Connection, user_id: str, exchange_ids: Collection[str], frame: FrameName | None = None
) -> dict[str, Exchange]:
    """Return those of these exchanges that are a user's, whatever the user said of them.

    With a frame those alone that answer requests in it, as `past_exchanges` has it.
    """
    since = cleared_at(db, user_id)
    return {
        row.id: Exchange(row.prompt, row.text, row.id)
        for query in (_imported(user_id, frame, since), _sent(user_id, frame, since))
        for row in db.execute(query.where(query.selected_columns.id.in_(exchange_ids)))
    }


def marks_of(db: Connection, user_id: str) -> Mapping[str, MemoryMark]:
    """Return what a user said of exchanges, by their ids."""
    query = select(memory_marks.c.exchange_id, memory_marks.c.mark)
    rows = db.execute(query.where(memory_marks.c.user_id == user_id))
    return {row.exchange_id: row.mark for row in rows}


def set_mark(
    db: Connection,
    user_id: str,
    exchange_id: str,
    mark: MemoryMark | None,
    *,
    actor: str,
    now: float,
) -> None:
    """Keep whether an exchange is pinned or skipped; None: it is chosen as others are."""
    its = (memory_marks.c.user_id == user_id) & (memory_marks.c.exchange_id == exchange_id)
    db.execute(delete(memory_marks).where(its))
    if mark is not None:
        row = {"user_id": user_id, "exchange_id": exchange_id, "mark": mark}
        db.execute(insert(memory_marks).values(row))
    details = {"exchange": exchange_id, "mark": mark}
    audit(db, actor=actor, action="memory", subject=user_id, details=details, now=now)


def clear(db: Connection, user_id: str, *, actor: str, now: float) -> None:
    """Let nothing that was sent until now stand before a request any more."""
    db.execute(delete(memories_cleared).where(memories_cleared.c.user_id == user_id))
    db.execute(insert(memories_cleared).values(user_id=user_id, cleared_at=now))
    db.execute(delete(memory_marks).where(memory_marks.c.user_id == user_id))
    audit(db, actor=actor, action="memory_cleared", subject=user_id, details={}, now=now)


def cleared_at(db: Connection, user_id: str) -> float:
    """Return until when a user's texts are to be forgotten, in seconds since 1970; 0 for never."""
    query = select(memories_cleared.c.cleared_at).where(memories_cleared.c.user_id == user_id)
    return db.execute(query).scalar() or 0.0


def _sent(user_id: str, frame: FrameName | None, since: float) -> Select[Any]:
    return (
        select(edits.c.id, drafts.c.prompt, edits.c.text)
        .join(drafts, drafts.c.id == edits.c.draft_id)
        .where(
            edits.c.user_id == user_id,
            edits.c.state != "replaced",
            edits.c.created_at > since,
            drafts.c.kind == "chat",
            drafts.c.source == "live",
            _asked_in(drafts.c.asked, frame),
        )
        .order_by(edits.c.number)
    )


def _imported(user_id: str, frame: FrameName | None, since: float) -> Select[Any]:
    """Return the query of imported texts; those that measure what learning brought are not used."""
    items = import_items.c
    name = (items.import_id + "." + cast(items.number, String)).label("id")
    return (
        select(name, items.prompt, items.sent.label("text"))
        .join(imports, imports.c.id == items.import_id)
        .where(
            imports.c.user_id == user_id,
            imports.c.deleted_at.is_(None),
            imports.c.created_at > since,
            items.state != "skipped",
            items.held_out.is_(False),
            _asked_in(items.asked, frame),
        )
        .order_by(imports.c.number, items.number)
    )


def _asked_in(asked: Column[Any], frame: FrameName | None) -> ColumnElement[bool]:
    """Return the condition of a frame, `none` being a frame too; None is any."""
    if frame is None:
        return true()
    return asked.is_(None) if frame == "none" else asked["frame"].as_string() == frame

"""Imports: texts that a user wrote before there was a draft, as jobs and their items.

A job that was deleted keeps its row, without a text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from corll.edits import edit_cost
from corll.errors import InputError
from corll.frames import Filled
from corll.records import Prompt
from corll.schemas.states import ImportItemState, ImportState
from corll.service.store.accounts import audit
from corll.service.store.drafts import DraftRow, EditRow, add_draft, find_draft
from corll.service.store.preferences import NewPreference, add_preference
from corll.service.store.rows import (
    add_row,
    all_rows,
    find_row,
    first_row,
    new_id,
    page_of,
    select_rows,
)
from corll.service.store.schema import (
    edits,
    import_items,
    imports,
    preferences,
    version_preferences,
)
from corll.text import normalize, same_text

_FEWEST_TO_HOLD_OUT_OF = 12
_FEWEST_HELD_OUT, _MOST_HELD_OUT = 4, 20
_THERE = imports.c.deleted_at.is_(None)
_OPEN = imports.c.state.in_(["waiting", "running"])


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A job: `total` items, of which `used` were learned from or measured with so far."""

    id: str
    user_id: str
    state: ImportState
    total: int
    used: int
    result: dict[str, Any] | None
    error: str | None
    created_at: float
    finished_at: float | None


class NewItem(NamedTuple):
    """A text that was sent, as it is handed over; `asked` is as in `DraftRow`."""

    prompt: Prompt
    draft: str | None
    sent: str
    asked: Filled | None = None


@dataclass(frozen=True, slots=True)
class ImportItem:
    """One text that was sent; items are numbered from 1. `draft` is what it was made of, if known.

    What is `held_out` is never learned from: it measures what learning brought. `asked` is as in
    `DraftRow`.
    """

    import_id: str
    number: int
    prompt: Prompt
    draft: str | None
    sent: str
    held_out: bool
    state: ImportItemState
    reason: str | None
    asked: Filled | None = None


def add_import(
    db: Connection,
    *,
    user_id: str,
    items: Sequence[NewItem],
    actor: str,
    now: float,
) -> ImportRow:
    """Keep a job and its items, and hold out a fifth of them.

    Drafts and texts are kept in the one form of edits, so that a file's line ends teach nothing.
    """
    row = ImportRow(
        id=new_id("import"),
        user_id=user_id,
        state="waiting",
        total=len(items),
        used=0,
        result=None,
        error=None,
        created_at=now,
        finished_at=None,
    )
    add_row(db, imports, row)
    held_out = held_out_numbers(len(items))
    for number, text in enumerate(items, start=1):
        item = ImportItem(
            import_id=row.id,
            number=number,
            prompt=text.prompt,
            draft=None if text.draft is None else normalize(text.draft),
            sent=normalize(text.sent),
            held_out=number in held_out,
            state="waiting",
            reason=None,
            asked=text.asked,
        )
        add_row(db, import_items, item)
    details = {"import": row.id, "items": row.total}
    audit(db, actor=actor, action="import", subject=user_id, details=details, now=now)
    return row


def held_out_numbers(total: int) -> frozenset[int]:
    """Return which items of 1 … `total` are held out: a fifth, 4 to 20; none of under 12."""
    if total < _FEWEST_TO_HOLD_OUT_OF:
        return frozenset()
    count = min(max(total // 5, _FEWEST_HELD_OUT), _MOST_HELD_OUT)
    return frozenset(1 + (2 * place + 1) * total // (2 * count) for place in range(count))


def next_import(
    db: Connection, *, but: Collection[str] = (), not_of: Collection[str] = ()
) -> ImportRow | None:
    """Return the job to work on: the oldest that was begun, or else the oldest that waits.

    `but` are the ids of jobs, and `not_of` of users, that are not to be tried yet.
    """
    query = select_rows(ImportRow, imports).where(_THERE, _OPEN, imports.c.id.not_in(but))
    query = query.where(imports.c.user_id.not_in(not_of))
    begun_first = (imports.c.state == "waiting", imports.c.number)
    return first_row(db, ImportRow, query.order_by(*begun_first))


def users_with_open(db: Connection) -> set[str]:
    """Return the ids of users with a job that waits or runs."""
    return set(db.execute(select(imports.c.user_id).where(_THERE, _OPEN)).scalars())


def taught_alone(db: Connection, import_id: str, version_ids: Sequence[str]) -> bool:
    """Say whether these versions were taught nothing but texts of an import."""
    others = (
        select(func.count())
        .select_from(version_preferences)
        .join(preferences, preferences.c.id == version_preferences.c.preference_id)
        .where(
            version_preferences.c.version_id.in_(version_ids),
            preferences.c.import_id.is_distinct_from(import_id),
        )
    )
    return db.execute(others).scalar_one() == 0


def formers_of_running(db: Connection, user_id: str) -> list[str]:
    """Return the versions that may have to serve again once imports of a user have ended."""
    running = (imports.c.user_id == user_id) & (imports.c.state == "running")
    rows = db.execute(select(imports.c.result).where(running)).scalars()
    return [one["former"] for one in rows if one and one.get("former")]


def find_import(db: Connection, import_id: str) -> ImportRow | None:
    """Return the job of that id, unless it was deleted."""
    return find_row(db, ImportRow, imports, imports.c.id == import_id, _THERE)


def imports_of(
    db: Connection, user_id: str, *, limit: int, before: str | None = None
) -> list[ImportRow]:
    """Return a user's jobs, newest first; with `before`, those older than the job of that id."""
    theirs = [imports.c.user_id == user_id, _THERE]
    return page_of(db, ImportRow, imports, theirs, limit=limit, before=before)


def oldest_at(db: Connection, user_id: str) -> float | None:
    """Return when the oldest of a user's jobs came, in seconds since 1970."""
    times = select(func.min(imports.c.created_at)).where(_THERE, imports.c.user_id == user_id)
    found: float | None = db.execute(times).scalar()
    return found


def items_of(
    db: Connection, import_id: str, *, after: int = 0, limit: int | None = None
) -> list[ImportItem]:
    """Return the items of a job, in order of number; those with a number over `after`."""
    of_it = (import_items.c.import_id == import_id) & (import_items.c.number > after)
    query = select_rows(ImportItem, import_items).where(of_it)
    return all_rows(db, ImportItem, query.order_by(import_items.c.number).limit(limit))


def skipped_items(db: Connection, import_id: str, *, limit: int) -> tuple[int, list[ImportItem]]:
    """Count the items of a job that are skipped, and return the first of them."""
    items = import_items.c
    skipped = (items.import_id == import_id) & (items.state == "skipped")
    query = select_rows(ImportItem, import_items).where(skipped)
    count = db.execute(select(func.count()).where(skipped)).scalar_one()
    return count, all_rows(db, ImportItem, query.order_by(items.number).limit(limit))


def update_import(db: Connection, import_id: str, **changes: Any) -> None:
    """Set columns of a job: `state`, `used`, `result`, `error`, `finished_at`.

    Nothing is noted of one that was deleted.
    """
    db.execute(update(imports).where(imports.c.id == import_id, _THERE).values(changes))


def mark_item(
    db: Connection,
    import_id: str,
    number: int,
    *,
    state: ImportItemState,
    reason: str | None = None,
) -> None:
    """Set the state of an item, and count anew how many of its job were used."""
    items = import_items.c
    of_it = (items.import_id == import_id) & (items.number == number)
    db.execute(update(import_items).where(of_it).values(state=state, reason=reason))
    used = select(func.count()).where(items.import_id == import_id, items.state == "used")
    update_import(db, import_id, used=used.scalar_subquery())


def add_imported_preference(
    db: Connection, *, draft: DraftRow, text: str, import_id: str, now: float
) -> str:
    """Keep a text that was sent as the edit of a draft, and the preference, whose id it returns.

    The draft is kept too, where it is not yet.
    *Raises*: InputError where the text is the draft itself, and thus no preference.
    """
    rejected = draft.choice(0)
    if same_text(rejected["text"], text):
        raise InputError(f"what was sent is draft {draft.id} itself; mark the item as skipped")
    if find_draft(db, draft.id) is None:
        add_draft(db, draft)
    preference = NewPreference(
        user_id=draft.user_id,
        source="import",
        draft_id=draft.id,
        prompt=draft.prompt,
        chosen={"text": text},
        rejected=rejected,
        import_id=import_id,
    )
    preference_id = add_preference(db, preference, will_learn=True, now=now)
    edit = EditRow(
        id=new_id("edit"),
        draft_id=draft.id,
        user_id=draft.user_id,
        choice=0,
        text=text,
        idempotency_key=None,
        state="recorded",
        preference_id=preference_id,
        edit_cost=edit_cost(rejected["text"], text),
        reason=None,
        created_at=now,
    )
    add_row(db, edits, edit)
    return preference_id

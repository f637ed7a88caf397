"""Comparisons: a user who says which of two drafts of one prompt is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from corll.errors import IdempotencyError, InputError
from corll.service.store.drafts import DraftRow
from corll.service.store.preferences import NewPreference, add_preference
from corll.service.store.rows import add_row, find_row, new_id, page_of
from corll.service.store.schema import comparisons


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One choice of a draft preferred to another choice, of the same draft or another."""

    id: str
    user_id: str
    chosen_draft_id: str
    chosen_choice: int
    rejected_draft_id: str
    rejected_choice: int
    preference_id: str
    idempotency_key: str | None
    reason: str | None
    created_at: float


def record_comparison(
    db: Connection,
    *,
    chosen: DraftRow,
    chosen_choice: int,
    rejected: DraftRow,
    rejected_choice: int,
    will_learn: bool,
    reason: str | None,
    idempotency_key: str | None,
    now: float,
    set_aside: bool = False,
) -> ComparisonRow:
    """Keep a comparison and its preference; the same comparison twice is one.

    Nothing is learned where a side was cancelled, whatever `will_learn` says. `set_aside`: the
    preference is, for the `reason`, since the learner cannot use it.
    *Raises*: InputError where the sides are not two answers to one prompt of one user;
    IdempotencyError where the key came with another comparison before.
    """
    _check_sides(chosen, rejected)
    sides = (chosen.id, chosen_choice, rejected.id, rejected_choice)
    if sides[:2] == sides[2:]:
        raise InputError(f"choice {chosen_choice} of {chosen.id} is no better than itself")
    same = _under_same_key(db, chosen.user_id, idempotency_key, sides) or _of_sides(db, sides)
    if same is not None:
        return same
    preference = NewPreference(
        user_id=chosen.user_id,
        source="comparison",
        draft_id=rejected.id,
        prompt=rejected.prompt,
        chosen=chosen.choice(chosen_choice),
        rejected=rejected.choice(rejected_choice),
    )
    complete = chosen.status == rejected.status == "complete"
    preference_id = add_preference(
        db,
        preference,
        will_learn=will_learn and complete,
        set_aside=reason if set_aside else None,
        now=now,
    )
    row = ComparisonRow(
        id=new_id("comparison"),
        user_id=chosen.user_id,
        chosen_draft_id=chosen.id,
        chosen_choice=chosen_choice,
        rejected_draft_id=rejected.id,
        rejected_choice=rejected_choice,
        preference_id=preference_id,
        idempotency_key=idempotency_key,
        reason=reason,
        created_at=now,
    )
    add_row(db, comparisons, row)
    return row


def comparisons_of(
    db: Connection, user_id: str, *, limit: int, before: str | None = None
) -> list[ComparisonRow]:
    """Return a user's, newest first; with `before`, those older than the comparison of that id."""
    theirs = [comparisons.c.user_id == user_id]
    return page_of(db, ComparisonRow, comparisons, theirs, limit=limit, before=before)


def chosen_drafts(db: Connection, preference_ids: Sequence[str]) -> dict[str, str]:
    """Return the draft that was preferred, for each of these preferences that is a comparison's."""
    columns = comparisons.c.preference_id, comparisons.c.chosen_draft_id
    of_them = comparisons.c.preference_id.in_(preference_ids)
    return {row[0]: row[1] for row in db.execute(select(*columns).where(of_them))}


def _check_sides(chosen: DraftRow, rejected: DraftRow) -> None:
    if chosen.user_id != rejected.user_id:
        raise InputError(
            f"drafts {chosen.id} and {rejected.id} are not of one user; compare a user's own"
        )
    if chosen.prompt != rejected.prompt:
        raise InputError(
            f"drafts {chosen.id} and {rejected.id} answer different prompts; compare two of one"
        )


def _under_same_key(
    db: Connection, user_id: str, key: str | None, sides: tuple[str, int, str, int]
) -> ComparisonRow | None:
    if key is None:
        return None
    theirs = (comparisons.c.user_id == user_id) & (comparisons.c.idempotency_key == key)
    known = find_row(db, ComparisonRow, comparisons, theirs)
    if known is not None and _sides(known) != sides:
        raise IdempotencyError(
            f"idempotency key {key!r} came with another comparison before ({known.id}); "
            "send a new key with a new comparison"
        )
    return known


def _of_sides(db: Connection, sides: tuple[str, int, str, int]) -> ComparisonRow | None:
    chosen, chosen_choice, rejected, rejected_choice = sides
    return find_row(
        db,
        ComparisonRow,
        comparisons,
        comparisons.c.chosen_draft_id == chosen,
        comparisons.c.chosen_choice == chosen_choice,
        comparisons.c.rejected_draft_id == rejected,
        comparisons.c.rejected_choice == rejected_choice,
    )


def _sides(row: ComparisonRow) -> tuple[str, int, str, int]:
    return row.chosen_draft_id, row.chosen_choice, row.rejected_draft_id, row.rejected_choice

"""Preferences: what edits, comparisons and imports give to learn from, and how far each has come.

waiting → learned → set_aside (its version was rolled back, or two were rejected) → waiting …
withheld: its user does not let it be learned; replaced: another edit took its place.
What was cancelled or deleted may be withheld or set aside, and never waits again.
A preference is `learned` if and only if a version on the serving ancestry was taught it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from corll.records import Prompt
from corll.schemas.states import PreferenceSource, PreferenceState
from corll.service.store.rows import all_rows, find_row, new_id, page_of, select_rows
from corll.service.store.schema import (
    comparisons,
    drafts,
    edits,
    imports,
    learn_requests,
    preferences,
    users,
    version_preferences,
    versions,
)

WITHDRAWN = "The user withdrew consent to be learned from (consent: learn)."
_ROLLED_BACK = "The version that had learned it was rolled back; a requeue lets it wait again."
_FOR_GOOD = "Its draft was cancelled, or its import deleted, so it is not learned again."


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """chosen ≻ rejected for a prompt. `number` counts in the order in which they came.

    `chosen` is `{"text": …}` or, like `rejected`, the fields of a `Sample`; `reference` holds the
    fields of `ReferenceLogprobs` once they were computed. `reason` says why it is not learned,
    where the store knows: of what is withheld or set aside.
    """

    id: str
    number: int
    user_id: str
    source: PreferenceSource
    draft_id: str
    import_id: str | None
    prompt: Prompt
    chosen: dict[str, Any]
    rejected: dict[str, Any]
    reference: dict[str, Any] | None
    state: PreferenceState
    version_id: str | None
    reason: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class NewPreference:
    """What a preference is made of, before the store gives it an id, a number and a state."""

    user_id: str
    source: PreferenceSource
    draft_id: str
    prompt: Prompt
    chosen: dict[str, Any]
    rejected: dict[str, Any]
    import_id: str | None = None


class Waiting(NamedTuple):
    """A user with preferences that wait, how many do, and when the oldest of them came."""

    user_id: str
    waiting: int
    oldest: float


def add_preference(
    db: Connection,
    new: NewPreference,
    *,
    will_learn: bool,
    now: float,
    set_aside: str | None = None,
) -> str:
    """Keep a preference; return its id. It waits where it is to be learned and its user lets it be.

    What is withheld because the caller says so has no `reason` here: the caller knows it. What the
    learner cannot use is `set_aside` for that reason, and waits after a requeue.
    """
    state: PreferenceState = waiting_state(db, new.user_id) if will_learn else "withheld"
    if set_aside is not None:
        state = "set_aside"
    preference_id = new_id("pref")
    db.execute(
        insert(preferences).values(
            id=preference_id,
            user_id=new.user_id,
            source=new.source,
            draft_id=new.draft_id,
            import_id=new.import_id,
            prompt=new.prompt,
            chosen=new.chosen,
            rejected=new.rejected,
            state=state,
            reason=set_aside,
            created_at=now,
        )
    )
    return preference_id


def find_preference(db: Connection, preference_id: str) -> PreferenceRow | None:
    """Return the preference of that id."""
    return find_row(db, PreferenceRow, preferences, preferences.c.id == preference_id)


def waiting_preferences(db: Connection, user_id: str, *, limit: int) -> list[PreferenceRow]:
    """Return what is to be learned next, in the order in which it came."""
    query = _of_state(user_id, "waiting").order_by(preferences.c.number).limit(limit)
    return all_rows(db, PreferenceRow, query)


def learned_ids(db: Connection, user_id: str, *, limit: int) -> list[str]:
    """Return the ids of the latest that the serving ancestry learned, oldest first."""
    query = select(preferences.c.id).where(_of_user(user_id, "learned"))
    latest = query.order_by(preferences.c.number.desc()).limit(limit)
    return list(db.execute(latest).scalars())[::-1]


def latest_ids(db: Connection, user_id: str, *, limit: int) -> list[str]:
    """Return the ids of the latest that were learned or are to be, oldest first."""
    stands = preferences.c.state.in_(("waiting", "learned"))
    query = select(preferences.c.id).where(preferences.c.user_id == user_id, stands)
    latest = query.order_by(preferences.c.number.desc()).limit(limit)
    return list(db.execute(latest).scalars())[::-1]


def find_preferences(db: Connection, ids: Sequence[str]) -> dict[str, PreferenceRow]:
    """Return the preferences of these ids that are there, by id."""
    query = select_rows(PreferenceRow, preferences).where(preferences.c.id.in_(ids))
    return {row.id: row for row in all_rows(db, PreferenceRow, query)}


def users_with_waiting(db: Connection) -> list[Waiting]:
    """Return the users whose preferences wait and who let them be learned; longest wait first."""
    oldest = func.min(preferences.c.created_at)
    query = (
        select(preferences.c.user_id, func.count(), oldest)
        .join(users, users.c.id == preferences.c.user_id)
        .where(preferences.c.state == "waiting", users.c.learn.is_(True))
        .group_by(preferences.c.user_id)
        .order_by(oldest, preferences.c.user_id)
    )
    return [Waiting(*row) for row in db.execute(query)]


def count_waiting(db: Connection, user_id: str) -> int:
    """Return how many preferences of a user's wait."""
    theirs = (preferences.c.user_id == user_id) & (preferences.c.state == "waiting")
    return db.execute(select(func.count()).select_from(preferences).where(theirs)).scalar_one()


def count_withheld(db: Connection, user_id: str) -> int:
    """Return how many preferences of a user's wait for consent alone: it can release them."""
    theirs = _of_user(user_id, "withheld") & ~_gone_for_good()
    return db.execute(select(func.count()).select_from(preferences).where(theirs)).scalar_one()


def preferences_of(db: Connection, user_id: str) -> list[PreferenceRow]:
    """Return all of a user's preferences, in the order in which they came."""
    query = select_rows(PreferenceRow, preferences).where(preferences.c.user_id == user_id)
    return all_rows(db, PreferenceRow, query.order_by(preferences.c.number))


def preferences_page(
    db: Connection, user_id: str, *, limit: int, before: str | None = None
) -> list[PreferenceRow]:
    """Return a user's preferences, newest first; with `before`, those older than that one."""
    theirs = [preferences.c.user_id == user_id]
    return page_of(db, PreferenceRow, preferences, theirs, limit=limit, before=before)


def ask_to_learn(db: Connection, user_id: str, *, now: float) -> None:
    """Note that a step was asked for on all that waits for a user, though fewer than N do."""
    theirs = learn_requests.c.user_id == user_id
    if db.execute(update(learn_requests).where(theirs).values(asked_at=now)).rowcount == 0:
        db.execute(insert(learn_requests).values(user_id=user_id, asked_at=now))


def users_who_asked(db: Connection) -> set[str]:
    """Return the users for whom a step was asked that is not done yet."""
    return set(db.execute(select(learn_requests.c.user_id)).scalars())


def forget_fulfilled_requests(db: Connection) -> None:
    """End the requests of users for whom nothing waits any more."""
    waits = select(preferences.c.id).where(
        preferences.c.user_id == learn_requests.c.user_id, preferences.c.state == "waiting"
    )
    db.execute(delete(learn_requests).where(~waits.exists()))


def set_one_aside(db: Connection, preference_id: str, reason: str) -> None:
    """Take out of the queue what cannot be learned from."""
    waits = (preferences.c.id == preference_id) & (preferences.c.state == "waiting")
    db.execute(update(preferences).where(waits).values(state="set_aside", reason=reason))


def keep_reference(db: Connection, preference_id: str, reference: dict[str, Any]) -> None:
    """Keep log π_0 of both sides beside the preference, so that it is computed once."""
    of_it = preferences.c.id == preference_id
    db.execute(update(preferences).where(of_it).values(reference=reference))


def withhold_waiting(db: Connection, user_id: str) -> int:
    """Withhold what waited to be learned; say how many."""
    theirs = _of_user(user_id, "waiting")
    return _move(db, theirs, "withheld", reason=WITHDRAWN)


def release_withheld(db: Connection, user_id: str) -> int:
    """Release what was withheld, to be learned after all; say how many."""
    return _move(db, _of_user(user_id, "withheld") & ~_gone_for_good(), "waiting")


def release_set_aside(db: Connection, user_id: str) -> int:
    """Requeue what was set aside, where the user lets it be learned; say how many."""
    theirs = _of_user(user_id, "set_aside") & ~_gone_for_good()
    state = waiting_state(db, user_id)
    return _move(db, theirs, state, reason=None if state == "waiting" else WITHDRAWN)


def set_aside_taught_twice(db: Connection, version_id: str, reason: str) -> None:
    """Set aside what a rejected version was taught, where one that was rejected before was too.

    What was learned in vain once goes on waiting, to be tried again more gently.
    """
    taught = preferences.c.id.in_(_taught([version_id]))
    before = preferences.c.id.in_(_taught_in_vain().where(versions.c.id != version_id))
    waiting = preferences.c.state == "waiting"
    _move(db, waiting & taught & before, "set_aside", reason=reason)


def taught_in_vain(db: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these preferences a version was taught that was rejected."""
    query = _taught_in_vain().where(version_preferences.c.preference_id.in_(ids))
    return set(db.execute(query).scalars())


def settle_learned(
    db: Connection, user_id: str, line: Sequence[str], *, unlearned: PreferenceState
) -> None:
    """Make `learned` what the versions of a serving ancestry were taught, and nothing else.

    What was learned elsewhere gets the state `unlearned`.
    """
    reasons = {"withheld": WITHDRAWN, "set_aside": _ROLLED_BACK}
    learned = _of_user(user_id, "learned")
    gone = update(preferences).where(learned, preferences.c.id.not_in(_taught(line)))
    # An edit that was replaced while it was unlearned does not come back.
    replaced = select(edits.c.preference_id).where(
        edits.c.state == "replaced", edits.c.preference_id.is_not(None)
    )
    of_replaced = gone.where(preferences.c.id.in_(replaced))
    db.execute(of_replaced.values(state="replaced", version_id=None))
    for_good = gone.where(_gone_for_good())
    db.execute(for_good.values(state="set_aside", version_id=None, reason=_FOR_GOOD))
    db.execute(gone.values(state=unlearned, version_id=None, reason=reasons.get(unlearned)))
    teacher = select(version_preferences.c.version_id).where(
        version_preferences.c.preference_id == preferences.c.id,
        version_preferences.c.version_id.in_(line),
    )
    there = update(preferences).where(preferences.c.id.in_(_taught(line)))
    teachers = teacher.scalar_subquery()
    db.execute(there.values(state="learned", version_id=teachers, reason=None))


def waiting_state(db: Connection, user_id: str) -> PreferenceState:
    """Return the state of what is to be learned: it waits, unless its user withdrew consent."""
    learn = db.execute(select(users.c.learn).where(users.c.id == user_id)).scalar_one_or_none()
    return "withheld" if learn is False else "waiting"


def _move(
    db: Connection, where: ColumnElement[bool], to: PreferenceState, *, reason: str | None = None
) -> int:
    moved = update(preferences).where(where).values(state=to, reason=reason)
    return db.execute(moved).rowcount


def _of_user(user_id: str, state: PreferenceState) -> ColumnElement[bool]:
    return (preferences.c.user_id == user_id) & (preferences.c.state == state)


def _gone_for_good() -> ColumnElement[bool]:
    """Return the condition that a side was cancelled, or its import was deleted."""
    cancelled = select(drafts.c.id).where(drafts.c.status == "cancelled")
    compared = select(comparisons.c.preference_id).where(
        comparisons.c.chosen_draft_id.in_(cancelled)
    )
    deleted = select(imports.c.id).where(imports.c.deleted_at.is_not(None))
    return or_(
        preferences.c.draft_id.in_(cancelled),
        preferences.c.id.in_(compared),
        func.coalesce(preferences.c.import_id, "").in_(deleted),
    )


def _taught_in_vain() -> Any:
    rejected = versions.c.state == "rejected"
    query = select(version_preferences.c.preference_id)
    return query.join(versions, versions.c.id == version_preferences.c.version_id).where(rejected)


def _taught(line: Sequence[str]) -> Any:
    of_line = version_preferences.c.version_id.in_(line)
    return select(version_preferences.c.preference_id).where(of_line)


def _of_state(user_id: str, state: PreferenceState) -> Any:
    return select_rows(PreferenceRow, preferences).where(_of_user(user_id, state))

"""Preferences: what edits, comparisons and imports give to learn from, and how far each has come.

waiting → learned → set_aside (its version was rolled back or rejected) → waiting …
withheld: its user does not let it be learned; replaced: another edit took its place.
A preference is `learned` if and only if a version on the serving ancestry was taught it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from corll.records import Prompt
from corll.service.store.rows import all_rows, find_row, new_id, select_rows
from corll.service.store.schema import edits, preferences, users, version_preferences

PreferenceSource = Literal["edit", "comparison", "import"]
PreferenceState = Literal["waiting", "learned", "withheld", "set_aside", "replaced"]


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """chosen ≻ rejected for a prompt. `number` counts in the order in which they came.

    `chosen` is `{"text": …}` or, like `rejected`, the fields of a `Sample`; `reference` holds the
    fields of `ReferenceLogprobs` once they were computed.
    """

    id: str
    number: int
    user_id: str
    source: PreferenceSource
    draft_id: str
    prompt: Prompt
    chosen: dict[str, Any]
    rejected: dict[str, Any]
    reference: dict[str, Any] | None
    state: PreferenceState
    version_id: str | None
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
    db: Connection, new: NewPreference, *, will_learn: bool, now: float
) -> PreferenceRow:
    """Keeps a preference. It waits where it is to be learned and its user lets it be."""
    state: PreferenceState = waiting_state(db, new.user_id) if will_learn else "withheld"
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
            created_at=now,
        )
    )
    added = find_preference(db, preference_id)
    assert added is not None
    return added


def find_preference(db: Connection, preference_id: str) -> PreferenceRow | None:
    """The preference of that id."""
    return find_row(db, PreferenceRow, preferences, preferences.c.id == preference_id)


def waiting_preferences(db: Connection, user_id: str, *, limit: int) -> list[PreferenceRow]:
    """What is to be learned next, in the order in which it came."""
    query = _of_state(user_id, "waiting").order_by(preferences.c.number).limit(limit)
    return all_rows(db, PreferenceRow, query)


def learned_preferences(db: Connection, user_id: str, *, limit: int) -> list[PreferenceRow]:
    """The latest that the serving version or an ancestor of it learned, oldest first."""
    query = _of_state(user_id, "learned").order_by(preferences.c.number.desc()).limit(limit)
    return all_rows(db, PreferenceRow, query)[::-1]


def users_with_waiting(db: Connection) -> list[Waiting]:
    """The users whose preferences wait and who let them be learned; longest wait first."""
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
    """How many preferences of a user's wait."""
    theirs = (preferences.c.user_id == user_id) & (preferences.c.state == "waiting")
    return db.execute(select(func.count()).select_from(preferences).where(theirs)).scalar_one()


def preferences_of(db: Connection, user_id: str) -> list[PreferenceRow]:
    """All of a user's, in the order in which they came."""
    query = select_rows(PreferenceRow, preferences).where(preferences.c.user_id == user_id)
    return all_rows(db, PreferenceRow, query.order_by(preferences.c.number))


def set_one_aside(db: Connection, preference_id: str) -> None:
    """Takes out of the queue what cannot be learned from."""
    waits = (preferences.c.id == preference_id) & (preferences.c.state == "waiting")
    db.execute(update(preferences).where(waits).values(state="set_aside"))


def keep_reference(db: Connection, preference_id: str, reference: dict[str, Any]) -> None:
    """Keeps log π_0 of both sides beside the preference, so that it is computed once."""
    of_it = preferences.c.id == preference_id
    db.execute(update(preferences).where(of_it).values(reference=reference))


def withhold_waiting(db: Connection, user_id: str) -> int:
    """What waited is no longer to be learned; says how many."""
    return _move(db, user_id, "waiting", "withheld")


def release_withheld(db: Connection, user_id: str) -> int:
    """What was withheld may be learned after all; says how many."""
    return _move(db, user_id, "withheld", "waiting")


def release_set_aside(db: Connection, user_id: str) -> int:
    """What was set aside is to be learned again, where the user lets it be; says how many."""
    return _move(db, user_id, "set_aside", waiting_state(db, user_id))


def set_aside(db: Connection, version_id: str) -> None:
    """Keeps what a rejected version was taught from being learned by the next."""
    waiting = preferences.c.state == "waiting"
    taught = preferences.c.id.in_(_taught([version_id]))
    db.execute(update(preferences).where(waiting, taught).values(state="set_aside"))


def settle_learned(
    db: Connection, user_id: str, line: Sequence[str], *, unlearned: PreferenceState
) -> None:
    """Makes `learned` what the versions of a serving ancestry were taught, and nothing else.

    What was learned elsewhere gets the state `unlearned`.
    """
    learned = preferences.c.user_id == user_id, preferences.c.state == "learned"
    gone = update(preferences).where(*learned, preferences.c.id.not_in(_taught(line)))
    # An edit that was replaced while it was unlearned does not come back.
    replaced = select(edits.c.preference_id).where(
        edits.c.state == "replaced", edits.c.preference_id.is_not(None)
    )
    of_replaced = gone.where(preferences.c.id.in_(replaced))
    db.execute(of_replaced.values(state="replaced", version_id=None))
    db.execute(gone.values(state=unlearned, version_id=None))
    teacher = select(version_preferences.c.version_id).where(
        version_preferences.c.preference_id == preferences.c.id,
        version_preferences.c.version_id.in_(line),
    )
    there = update(preferences).where(preferences.c.id.in_(_taught(line)))
    db.execute(there.values(state="learned", version_id=teacher.scalar_subquery()))


def waiting_state(db: Connection, user_id: str) -> PreferenceState:
    """The state of what is to be learned: it waits, unless its user withdrew consent."""
    learn = db.execute(select(users.c.learn).where(users.c.id == user_id)).scalar_one_or_none()
    return "withheld" if learn is False else "waiting"


def _move(db: Connection, user_id: str, state: PreferenceState, to: PreferenceState) -> int:
    theirs = (preferences.c.user_id == user_id) & (preferences.c.state == state)
    return db.execute(update(preferences).where(theirs).values(state=to)).rowcount


def _taught(line: Sequence[str]) -> Any:
    of_line = version_preferences.c.version_id.in_(line)
    return select(version_preferences.c.preference_id).where(of_line)


def _of_state(user_id: str, state: PreferenceState) -> Any:
    return select_rows(PreferenceRow, preferences).where(
        preferences.c.user_id == user_id, preferences.c.state == state
    )

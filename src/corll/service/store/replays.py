"""What has to be learned again since a deletion erased the versions that had learned it.

A replay goes from `latest`, a version that never saw what was deleted, over candidates that do not
serve. A process that dies goes on from the last one. What serves meanwhile `stands_in`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select, update

from corll.schemas.deletions import CleanVersion
from corll.schemas.states import ReplayState
from corll.service.store.deletions import note_replay
from corll.service.store.lineages import Version, ancestry
from corll.service.store.preferences import PreferenceRow, find_preferences
from corll.service.store.rows import add_row, all_rows, find_row, select_rows
from corll.service.store.schema import replays, version_preferences

_HOW = ("batches", "plans", "threads", "strength", "computed_by", "kernel_mode")
_OPEN = ("waiting", "learned")


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A user's replay: `preferences` are the ids of what is to be learned in all.

    `deletions` are the ids of those that wait for it. `recipes` say how it was learned before, by
    version, the oldest first.
    """

    user_id: str
    lineage_id: str
    stands_in_id: str | None
    latest_id: str | None
    preferences: list[str]
    deletions: list[str]
    created_at: float
    recipes: list[dict[str, Any]] = field(default_factory=list)


def open_replay(db: Connection, row: ReplayRow) -> None:
    """Keep a replay in place of an earlier one of its user."""
    db.execute(delete(replays).where(replays.c.user_id == row.user_id))
    add_row(db, replays, row)


def find_replay(db: Connection, user_id: str) -> ReplayRow | None:
    """Return the replay of a user, if one is open."""
    return find_row(db, ReplayRow, replays, replays.c.user_id == user_id)


def all_replays(db: Connection) -> list[ReplayRow]:
    """Return all replays that are open, the oldest first."""
    return all_rows(db, ReplayRow, select_rows(ReplayRow, replays).order_by(replays.c.created_at))


def close_replay(
    db: Connection,
    row: ReplayRow,
    state: ReplayState,
    first_without: CleanVersion | None = None,
) -> None:
    """End a replay, and write into the receipts what became of it."""
    db.execute(delete(replays).where(replays.c.user_id == row.user_id))
    note_replay(db, row.deletions, state, first_without)


def go_on_from(
    db: Connection, row: ReplayRow, latest_id: str | None, *, without: Iterable[str]
) -> None:
    """Note how far a replay is, and what it could not learn and leaves out."""
    left_out = set(without)
    kept = [one for one in row.preferences if one not in left_out]
    theirs = replays.c.user_id == row.user_id
    db.execute(update(replays).where(theirs).values(latest_id=latest_id, preferences=kept))


def still_to_learn(db: Connection, row: ReplayRow) -> list[PreferenceRow]:
    """Return what a replay has not learned yet, in the order in which it came.

    What was withheld, replaced or deleted meanwhile is left out.
    """
    done = set() if row.latest_id is None else taught_to(db, ancestry(db, row.latest_id))
    found = find_preferences(db, [one for one in row.preferences if one not in done])
    open_ones = [one for one in found.values() if one.state in _OPEN]
    return sorted(open_ones, key=lambda one: one.number)


def taught_to(db: Connection, line: Iterable[Version]) -> set[str]:
    """Return the ids of what some versions were taught."""
    of_line = version_preferences.c.version_id.in_([version.id for version in line])
    return set(db.execute(select(version_preferences.c.preference_id).where(of_line)).scalars())


def kept_for_replays(db: Connection, user_id: str, *, keep_before: int) -> list[str]:
    """Return the versions that a user's replay goes on from, which must stay whole.

    These are what stands in, the latest candidate, and the `keep_before` before that: another
    deletion may take it back.
    """
    row = find_replay(db, user_id)
    if row is None:
        return []
    line = [] if row.latest_id is None else ancestry(db, row.latest_id)
    kept = [version.id for version in line[: keep_before + 1]]
    return kept if row.stands_in_id is None else [*kept, row.stands_in_id]


def how_learned(versions: Iterable[Version]) -> list[dict[str, Any]]:
    """Return of each version how it was learned, as far as a replay has to know it, in order."""
    known = [one.recipe for one in versions if one.recipe is not None]
    return [{name: recipe[name] for name in _HOW if name in recipe} for recipe in known]


def about(version: Version | None) -> CleanVersion | None:
    """Return a version as receipts tell of it."""
    if version is None:
        return None
    return CleanVersion(
        number=version.number, id=version.id, manifest_sha256=version.manifest_sha256
    )

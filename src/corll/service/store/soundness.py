"""What must hold between rows, and where it does not, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from corll.service.store.lineages import Lineage, Version
from corll.service.store.rows import all_rows, select_rows
from corll.service.store.schema import aliases, learning_leases, lineages, users, versions


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A user whose alias and the states of their versions say different things.

    `served` is the version that the alias names, or None for the reference.
    """

    user_id: str
    served: str | None
    problem: str


def all_versions(db: Connection) -> list[Version]:
    """Return every version of every user, in order of number."""
    return all_rows(db, Version, select_rows(Version, versions).order_by("user_id", "number"))


def user_names(db: Connection) -> dict[str, str]:
    """Return what each user is called, by id."""
    rows = db.execute(select(users.c.id, users.c.name, users.c.namespace))
    return {row.id: f"{row.name} of {row.namespace!r}" for row in rows}


def damage_of_file(db: Connection) -> list[str]:
    """Return what SQLite says of a damaged file, and of rows that name rows which are not there.

    Leases of users who are not there are looked at elsewhere, since nobody needs them. PostgreSQL
    keeps watch over both by itself.
    """
    if db.dialect.name != "sqlite":
        return []
    checked = [str(row[0]) for row in db.exec_driver_sql("PRAGMA integrity_check")]
    dangling = Counter(
        f"rows of {row[0]} name rows of {row[2]} that are not there"
        for row in db.exec_driver_sql("PRAGMA foreign_key_check")
        if row[0] != learning_leases.name
    )
    return [said for said in checked if said != "ok"] + list(dangling)


def unsound_lineages(db: Connection) -> Mapping[str, list[str]]:
    """Return what is wrong with the lineages of users, by their ids."""
    found: dict[str, list[str]] = {}
    theirs = {row.id: row for row in all_rows(db, Lineage, select_rows(Lineage, lineages))}
    all_of_them = all_versions(db)
    by_id = {version.id: version for version in all_of_them}
    for version in all_of_them:
        for problem in _problems(version, theirs.get(version.lineage_id), by_id):
            found.setdefault(version.user_id, []).append(f"version {version.number} {problem}")
    current = Counter(row.user_id for row in theirs.values() if row.ended_at is None)
    for user_id, count in current.items():
        if count > 1:
            found.setdefault(user_id, []).append(f"{count} lineages have not ended")
    return found


def misplaced_aliases(db: Connection) -> list[Misplaced]:
    """Return the users of whom other versions are marked as serving than the alias names."""
    named = {row.user_id: row.version_id for row in db.execute(select(aliases))}
    all_of_them = all_versions(db)
    by_id = {version.id: version for version in all_of_them}
    found = []
    for user_id in sorted({version.user_id for version in all_of_them}):
        served = named.get(user_id)
        marked = [
            version.id
            for version in all_of_them
            if (version.user_id, version.state) == (user_id, "serving")
        ]
        if marked == ([] if served is None else [served]):
            continue
        numbers = ", ".join(str(by_id[one].number) for one in marked) or "none"
        alias = by_id[served].number if served in by_id else "the reference"
        problem = f"marked as serving: {numbers}; but the alias names {alias}"
        found.append(Misplaced(user_id, served, problem))
    return found


def _problems(
    version: Version, lineage: Lineage | None, by_id: Mapping[str, Version]
) -> Iterator[str]:
    if lineage is None or lineage.user_id != version.user_id:
        yield "belongs to a lineage of another user, or to none"
    elif lineage.reference_id != version.reference_id:
        yield "starts from another reference than its lineage"
    if version.parent_id is None:
        return
    parent = by_id.get(version.parent_id)
    if parent is None or parent.user_id != version.user_id:
        yield "has a parent that is not there, or another user's"
    elif parent.lineage_id != version.lineage_id:
        yield f"has a parent of another lineage (version {parent.number})"
    if _goes_in_a_circle(version, by_id):
        yield "is its own ancestor"


def _goes_in_a_circle(version: Version, by_id: Mapping[str, Version]) -> bool:
    seen: set[str] = set()
    while version.id not in seen:
        seen.add(version.id)
        parent = None if version.parent_id is None else by_id.get(version.parent_id)
        if parent is None:
            return False
        version = parent
    return True

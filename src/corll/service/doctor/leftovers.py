"""Findings about what a crash left behind: folders and files that no row names, and requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Connection

from corll.service.doctor.findings import Finding
from corll.service.store import lineages, preferences
from corll.service.store.database import Database
from corll.service.version_store.folders import REFERENCES, VERSIONS, VersionStore

_BASE = "base"


def examine_leftovers(database: Database) -> Iterator[Finding]:
    """Yield what nobody needs; not beside a server, which may be about to name it."""
    with database.read() as db:
        versions = lineages.known_folders(db)
        references = [one.folder for one in lineages.all_references(db) if one.folder]
        asked = preferences.users_who_asked(db)
        waiting = {row.user_id for row in preferences.users_with_waiting(db)}
    for root in (VERSIONS, REFERENCES):
        yield from _unnamed(database.versions, root, {*versions, *references})
    temporary = [
        *(database.folder / _BASE).glob("tmp*"),
        *database.folder.glob("corll.db.new*"),
    ]
    for path in sorted(temporary):
        yield _of(str(path), "a temporary file that was left over", path.unlink)
    if asked - waiting:
        yield Finding(
            f"{len(asked - waiting)} requests to learn are claimed by no learner, since nothing "
            "waits to be learned",
            "The next learner forgets them.",
            "forgets them",
            partial(_forget_requests, database),
        )


def _unnamed(versions: VersionStore, root: str, known: set[str]) -> Iterator[Finding]:
    for name in versions.names(root):
        if name not in known:
            is_temporary = name.startswith(f"{root}/.")
            what = "half-written" if is_temporary else "named by no row"
            yield _of(f"{versions}/{name}", what, partial(versions.remove, name))


def _of(place: str, what: str, remove: Callable[[], object]) -> Finding:
    def mend() -> None:
        remove()

    return Finding(f"{place} is {what}", "It is not needed.", "removes it", mend)


def _forget_requests(database: Database) -> None:
    def forget(db: Connection) -> None:
        preferences.forget_fulfilled_requests(db)

    database.write(forget)

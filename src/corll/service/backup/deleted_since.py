"""What was deleted since a backup was made, as the backup's own service knows it.

Two places are of one service if they have a user, a key or a deletion in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from corll.errors import InputError, StoreError
from corll.service.backup.manifest import Manifest, check_file, read_manifest, rows_file
from corll.service.store.deletions import DeletionRow
from corll.service.store.urls import without_password
from corll.service.versions.tombstones import FILE, Known, known_at, knows_deletions

_WHOSE = {"users": ("id",), "keys": ("id",), "deletions": ("id", "user_id")}
"""The columns of a table's rows that say of which service they are."""


class DeletedSince(NamedTuple):
    """The deletions that are known, and the places that know them.

    `passed_over` says of each other place that was looked at why it was left out.
    """

    deletions: list[DeletionRow]
    places: list[str]
    passed_over: list[str]


def deletions_named(backup: Path, place: str) -> DeletedSince:
    """Return what a place knows that was named for it.

    *Raises*: InputError where the place is of another service, holds no deletions, or the backup
    is damaged; StoreError.
    """
    known, told = known_at(place), without_password(place) if "://" in place else place
    if not _of_one_service(backup, known):
        raise InputError(
            f"{told} has no user, key or deletion in common with {backup}: it is of another "
            "service, or knows of nothing that the backup holds. Give --deletions the data folder "
            f"that the backup was made of{_as_noted(read_manifest(backup))}, its {FILE}, receipts "
            "of its users, or the URL of its database. Without --deletions, what was deleted since "
            "is back."
        )
    return DeletedSince(known.deletions, [told], [])


def deletions_found(backup: Path, replaced: Iterable[str], *, new: Path) -> DeletedSince:
    """Return what those places know that the restored folder may replace: `replaced`, and the
    folder that the backup was made of. `new` is the restored folder.

    *Raises*: InputError where the backup is damaged; StoreError where one of `replaced` cannot be
    read.
    """
    found, of_others = DeletedSince([], [], []), []
    made_of, named = read_manifest(backup).made_of, {_whole(place) for place in replaced}
    for place in sorted(named | ({made_of} if made_of is not None else set())):
        if "://" not in place and (place == _whole(str(new)) or not _may_know(Path(place))):
            continue
        told = without_password(place) if "://" in place else place
        try:
            known = known_at(place)
        except (InputError, StoreError) as error:
            if place in named:
                raise
            found.passed_over.append(f"{told} cannot be read ({str(error).rstrip('.')})")
            continue
        if _of_one_service(backup, known):
            found.deletions.extend(known.deletions)
            found.places.append(told)
        else:
            of_others.append(
                f"{told} has no user, key or deletion in common with the backup, and was left out"
            )
    return found if found.places else found._replace(passed_over=found.passed_over + of_others)


def _of_one_service(backup: Path, known: Known) -> bool:
    return not known.ids.isdisjoint(_ids_in(backup))


def _ids_in(backup: Path) -> Iterator[str]:
    """Yield the ids of a backup's users, keys and deletions. *Raises*: InputError."""
    files = read_manifest(backup).files
    for table, columns in _WHOSE.items():
        name = rows_file(table)
        if name not in files:  # of a schema before the table
            continue
        check_file(backup, name, files[name])
        with (backup / name).open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                yield from (row[column] for column in columns)


def _may_know(folder: Path) -> bool:
    try:
        return knows_deletions(folder)
    except OSError:  # a folder of somebody else's
        return False


def _whole(place: str) -> str:
    return place if "://" in place else str(Path(place).expanduser().absolute())


def _as_noted(manifest: Manifest) -> str:
    return "" if manifest.made_of is None else f" ({manifest.made_of} on the machine that made it)"

"""What was deleted, in a file beside the database, so that a backup that is restored is told of it.

It holds receipts, a line each, and no text. It is no part of a backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy import inspect, select

from corll.errors import InputError, StoreError
from corll.files import durable
from corll.schemas.deletions import Receipt
from corll.service.store import deletions, schema
from corll.service.store.database import Database
from corll.service.store.deletions import DeletionRow
from corll.service.store.schema import keys, users
from corll.service.version_store.opening import is_store_url, open_store

FILE = "deletions.jsonl"
_NAMESPACE = "namespace"


def write_tombstones(database: Database) -> None:
    """Write the file anew, whole, into the data folder, and beside the versions elsewhere.

    *Raises*: OSError.
    """
    with database.read() as db:
        rows = deletions.all_deletions(db)
    lines = [json.dumps({_NAMESPACE: one.namespace, **one.receipt}) for one in rows]
    content = "".join(f"{line}\n" for line in lines)
    durable.write_text(database.folder / FILE, content)
    if database.versions.is_shared:
        database.versions.write_text(FILE, content)


def read_tombstones(path: Path) -> list[DeletionRow]:
    """Return the deletions of such a file, or of receipts as commands and the API give them.

    *Raises*: InputError where it cannot be read, holds something else, or a receipt was changed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        text = "no text"
    return _receipts_in(text, str(path))


def _receipts_in(text: str, path: str) -> list[DeletionRow]:
    try:
        found = [_row(one) for one in _records(text)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no receipts of deletions: give {FILE} of a data folder, or what `corll "
            "forget` printed."
        ) from error
    changed = [one.id for one in found if deletions.unsealed(one.to_receipt())]
    if changed:
        raise InputError(f"{path}: {', '.join(changed)} was changed since it was given out.")
    return found


class Known(NamedTuple):
    """What a place knows of deletions.

    `ids` are those of its users, keys and deletions. Two places of which these have none in common
    are of two services.
    """

    deletions: list[DeletionRow]
    ids: frozenset[str]


def deletions_at(place: str) -> list[DeletionRow]:
    """Return the deletions that a place knows, as `known_at` finds them; oldest first."""
    return known_at(place).deletions


def known_at(place: str) -> Known:
    """Return what a data folder, a file, or the URL of a database or of a version store knows of
    deletions.

    *Raises*: InputError as `read_tombstones`, and where nothing is there; StoreError.
    """
    if is_store_url(place):
        return _known(_of_store(place))
    if "://" in place:
        return _of_database(place, Path())
    path = Path(place).expanduser()
    if path.is_file():
        return _of_file(path)
    if not knows_deletions(path):
        raise InputError(f"{path} is no data folder, and no file of deletions.")
    found = _of_database(None, path) if (path / "corll.db").exists() else _known([])
    beside = read_tombstones(path / FILE) if (path / FILE).exists() else []
    known = {one.id for one in found.deletions}
    new = [one for one in beside if one.id not in known]
    return _known(in_order([*found.deletions, *new]), found.ids)


def knows_deletions(folder: Path) -> bool:
    """Say whether a folder has something that deletions could be read from."""
    return (folder / "corll.db").exists() or (folder / FILE).exists()


def in_order(rows: Sequence[DeletionRow]) -> list[DeletionRow]:
    """Return deletions in the order in which they happened, each once."""
    return sorted({one.id: one for one in rows}.values(), key=lambda one: one.created_at)


def _of_store(url: str) -> list[DeletionRow]:
    with TemporaryDirectory(prefix="corll-") as scratch:
        try:
            text = open_store(url, Path(scratch)).read_text(FILE)
        except FileNotFoundError as error:
            raise InputError(f"{url} knows of no deletions: it has no {FILE}.") from error
    return in_order(_receipts_in(text, f"{url}/{FILE}"))


def _of_file(path: Path) -> Known:
    """Return what a file knows; whose it is, a database beside it says too, if it can be read."""
    found, ids = read_tombstones(path), frozenset[str]()
    if path.name == FILE and (path.parent / "corll.db").exists():
        with suppress(StoreError):
            ids = _of_database(None, path.parent).ids
    return _known(found, ids)


def _of_database(url: str | None, folder: Path) -> Known:
    database = Database.open_unchanged(url, folder)
    try:
        with database.read() as db:
            ids = {
                str(one) for of in (users, keys) for one in db.execute(select(of.c.id)).scalars()
            }
            # A folder of 0.1 has no such table.
            has_any = inspect(db).has_table(schema.deletions.name)
            return _known(in_order(deletions.all_deletions(db)) if has_any else [], ids)
    finally:
        database.close()


def _known(found: list[DeletionRow], ids: Iterable[str] = ()) -> Known:
    return Known(found, frozenset(ids).union(*((one.id, one.user_id) for one in found)))


def _records(text: str) -> list[dict[str, Any]]:
    """Return the records of a file: one for each line, or one, or a list of the API's."""
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(whole["data"]) if whole.get("object") == "list" else [whole]


def _row(record: dict[str, Any]) -> DeletionRow:
    fields = dict(record)
    namespace = str(fields.pop(_NAMESPACE, ""))
    receipt = Receipt.model_validate(fields)
    return DeletionRow(
        id=receipt.id,
        user_id=receipt.user,
        namespace=namespace,
        kind=receipt.kind,
        receipt=receipt.model_dump(),
        folders=[],
        created_at=receipt.deleted_at,
    )

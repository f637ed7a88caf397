"""A data folder and its database, made anew from a backup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sqlalchemy import Connection, delete

from corll.durable_points import reached
from corll.errors import ConfigError, InputError, StoreError
from corll.service.backup.deleting_again import DeletedAgain, delete_again
from corll.service.backup.manifest import (
    ROWS,
    Manifest,
    StoredFile,
    rows_file,
    verify_backup,
)
from corll.service.backup.new_folder import new_folder
from corll.service.folder_lock import only_server
from corll.service.store import migrating
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.deletions import DeletionRow
from corll.service.store.row_files import insert_rows, set_counters
from corll.service.store.schema import schema_compatibility
from corll.service.version_store.folders import REFERENCES, VERSIONS, VersionStore
from corll.service.version_store.opening import open_store
from corll.service.versions.forgetting import clean, weights_at


class Restored(NamedTuple):
    """A backup that was restored, and what was deleted from it since it was made."""

    manifest: Manifest
    deleted: DeletedAgain


def restore(
    backup: Path,
    url: str | None,
    folder: Path,
    *,
    actor: str,
    now: float,
    known: Sequence[DeletionRow] = (),
    versions: str | None = None,
) -> Restored:
    """Make a data folder from a backup, with its database there or at a URL.

    The weights go into the folder too, or into the version store of the URL `versions`.
    The rows are brought to this corll's schema. Of the deletions that are `known`, those that the
    backup does not know are carried out before anybody can read the database. *Raises*: InputError
    for a backup that is torn, damaged or of a newer corll; ConfigError where the folder is not
    empty; StoreError where the database is not, or something cannot be written. What was written is
    removed then.
    """
    manifest = verify_backup(backup)
    if not migrating.is_known(manifest.schema_revision):
        raise InputError(
            f"{backup} was made by a newer corll ({manifest.corll}, schema "
            f"{manifest.schema_revision!r}; this one ends at {migrating.newest_revision()!r}); "
            "install that corll or a later one."
        )
    folder = folder.expanduser().absolute()
    with new_folder(folder), only_server(folder), ExitStack() as stack:
        deleted = DeletedAgain([], [])
        store = stack.enter_context(_weights_of(backup, manifest.files, versions, folder))
        reached("restore weights copied")

        def fill(db: Connection) -> None:
            nonlocal deleted
            _insert(backup, manifest, actor, now, db)
            weights_of = weights_at(store)
            deleted = delete_again(db, known, weights_of=weights_of, actor=actor, now=now)

        Database.create(url, folder, fill)
        _clean(url, folder, versions)
    return Restored(manifest, deleted)


def _clean(url: str | None, folder: Path, versions: str | None) -> None:
    """Remove folders and bytes of what was deleted again, now or when the service starts."""
    database = Database.open(url, folder, versions)
    try:
        with suppress(StoreError):
            clean(database)
    finally:
        database.close()


def _insert(backup: Path, manifest: Manifest, actor: str, now: float, db: Connection) -> None:
    """Insert the rows into tables of their schema, which is then brought up to date."""
    migrating.migrate(db, manifest.schema_revision)
    for table in migrating.tables_at(manifest.schema_revision).sorted_tables:
        if table.name == schema_compatibility.name:
            db.execute(delete(table))  # what the migration wrote is in the backup too
        insert_rows(db, table, backup / rows_file(table.name))
    set_counters(db, manifest.counters)
    migrating.migrate(db)
    details = {"made_at": manifest.made_at, "corll": manifest.corll}
    audit(db, actor=actor, action="restore", subject="database", details=details, now=now)
    reached("restore rows inserted")


@contextmanager
def _weights_of(
    backup: Path, files: Mapping[str, StoredFile], url: str | None, folder: Path
) -> Iterator[VersionStore]:
    """Yield a version store with the weights of a backup, which go where the block fails.

    *Raises*: ConfigError where a shared store has folders already.
    """
    store = open_store(url, folder)
    if any(store.names(root) for root in (VERSIONS, REFERENCES)):
        raise ConfigError(f"{store} is not empty; name a new folder there.")
    folders = sorted({"/".join(PurePosixPath(name).parts[:2]) for name in files})
    written = []
    try:
        for name in folders:
            if not name.startswith(f"{ROWS}/"):
                written.append(name)
                store.put(name, backup / name)
        yield store
    except BaseException:
        for name in written:
            store.remove(name)
        raise

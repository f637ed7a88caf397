"""A backup of a data folder, made while a server may run and edits come in.

Rows are read in one transaction, so they are of one moment, and every edit that was answered before
the backup began is among them. Weights never change once a row names them, but retention may remove
them. So they are copied while that transaction lasts; where some have gone by then, what was copied
is kept and the rows are read anew, which no longer name those that went.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, select

from corll.durable_points import reached
from corll.errors import AdapterError, StoreError
from corll.files import durable
from corll.service.backup.manifest import FORMAT, ROWS, Manifest, StoredFile, rows_file
from corll.service.backup.new_folder import new_folder
from corll.service.backup.weights import (
    PLACES,
    Weights,
    backup_place,
    copy_weights,
    named_weights,
)
from corll.service.store import migrating
from corll.service.store.database import Database
from corll.service.store.row_files import read_counters, read_rows, write_rows
from corll.service.versions.publishing import checksums
from corll.version import __version__


def back_up(database: Database, backup: Path, *, now: float) -> Manifest:
    """Write a backup into an empty folder, or one that is not there yet; return its manifest.

    *Raises*: ConfigError where the folder is not empty; StoreError where it cannot be written, or
    a row names weights that are missing or damaged. What was written is removed then.
    """
    with new_folder(backup):
        return _BackupWriter(database, backup).write(now=now)


_ATTEMPTS = 50
"""How often rows are read anew because weights went; each time less is left to copy."""


class _BackupWriter:
    """Writes one backup; knows what of it was copied."""

    def __init__(self, database: Database, backup: Path) -> None:
        self._database, self._backup = database, backup
        self._copied: set[Weights] = set()
        self._gone: dict[Weights, AdapterError] = {}

    def write(self, *, now: float) -> Manifest:
        """Write everything, the manifest last."""
        for _ in range(_ATTEMPTS):
            with self._database.read() as db:
                revision = migrating.revision_of(db)
                assert revision is not None
                tables = migrating.tables_at(revision)
                named = set(named_weights(db, tables))
                if self._copy(named):
                    reached("backup weights copied")
                    rows = self._write_rows(db, tables)
                    counters = read_counters(db, tables)
                    base_model = _base_model(db, tables)
                    reached("backup rows written")
                    break
        else:
            raise StoreError(f"weights went {_ATTEMPTS} times while they were copied; try again")
        for weights in self._copied - named:
            shutil.rmtree(self._backup / weights.place)
        files = checksums(self._backup)
        manifest = Manifest(
            format=FORMAT,
            made_at=now,
            corll=__version__,
            schema_revision=revision,
            base_model=base_model,
            rows=rows,
            counters=counters,
            files={name: StoredFile.model_validate(about) for name, about in files.items()},
            made_of=str(self._database.folder),
        )
        durable.sync_folder(self._backup)
        reached("backup synced")
        manifest.write(self._backup)
        reached("backup finished")
        return manifest

    def _copy(self, named: set[Weights]) -> bool:
        """Copy the weights that were not copied yet; say whether all are there now.

        *Raises*: StoreError for those that are named again though they could not be copied before.
        """
        again = named & self._gone.keys()
        if again:
            told = "; ".join(sorted(f"{weights}: {self._gone[weights]}" for weights in again))
            raise StoreError(
                f"weights are missing or damaged ({told}). `corll doctor` says what can be mended; "
                "no backup was made"
            )
        for weights in sorted(named - self._copied, key=str):
            # The same folder, which may have lost its optimiser's state since.
            shutil.rmtree(self._backup / weights.place, ignore_errors=True)
            self._copied -= {one for one in self._copied if one.place == weights.place}
            try:
                copy_weights(self._database, weights, self._backup)
            except AdapterError as error:
                self._gone[weights] = error
            else:
                self._copied.add(weights)
        return named <= self._copied

    def _write_rows(self, db: Connection, tables: MetaData) -> dict[str, int]:
        (self._backup / ROWS).mkdir()
        return {
            table.name: write_rows(
                self._backup / rows_file(table.name),
                _with_places(table.name, read_rows(db, table)),
            )
            for table in tables.sorted_tables
        }


def _with_places(table: str, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows that name the folders of a backup."""
    for row in rows:
        if table in PLACES and row["folder"] is not None:
            row = {**row, "folder": backup_place(table, row["folder"])}
        yield row


def _base_model(db: Connection, tables: MetaData) -> str | None:
    """Return the name of the base that is served; None where the schema or the folder has none."""
    served = tables.tables.get("served_bases")
    if served is None:
        return None
    return db.execute(select(served.c.name).order_by(served.c.number.desc()).limit(1)).scalar()

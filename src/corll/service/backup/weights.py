"""The folders of weights that the rows of a database name, at whichever revision its schema is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from sqlalchemy import Connection, MetaData, select

from corll.errors import AdapterError
from corll.model import file_names
from corll.service.store.database import Database
from corll.service.version_store.folders import REFERENCES, VERSIONS
from corll.service.versions import publishing

PLACES = {"versions": VERSIONS, "model_references": REFERENCES}
"""The folder of a data folder, or of a backup, in which the weights of a table's rows lie."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a version or a reference: their row, and where they are to lie in a backup.

    Rows of the same weights in the same folder are equal.
    """

    table: str
    id: str = field(compare=False)
    folder: str
    place: str
    manifest_sha256: str | None = None
    fingerprint: str | None = None
    has_optimizer: bool = False

    def __str__(self) -> str:
        kind = "version" if self.table == "versions" else "reference"
        return f"{kind} {self.id}"

    def check(self, folder: Path) -> None:
        """Check that a folder holds these weights, to the byte. *Raises*: AdapterError."""
        if self.fingerprint is not None:
            publishing.verify_reference(folder, self.fingerprint)
        elif self.manifest_sha256 is not None:
            dropped = () if self.has_optimizer else (file_names.OPTIMIZER,)
            publishing.verify(folder, self.manifest_sha256, without=dropped)
        elif not (folder / file_names.ADAPTER_WEIGHTS).is_file():
            raise AdapterError(f"{folder} has no {file_names.ADAPTER_WEIGHTS}.")


def named_weights(db: Connection, tables: MetaData) -> list[Weights]:
    """Return the weights of every row that still has a folder."""
    return [*_named(db, tables, "versions"), *_named(db, tables, "model_references")]


def backup_place(table: str, folder: str) -> str:
    """Return where the folder that a row names lies in a backup.

    It is the row's own name, or for an absolute one the same folder within the data folder.
    """
    name = folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return f"{PLACES[table]}/{name}"


def name_now(database: Database, weights: Weights) -> str:
    """Return what the folder of some weights is called now; an older schema names the place where
    they were written.
    """
    is_there = not PurePath(weights.folder).is_absolute() or database.versions.holds(weights.folder)
    return weights.folder if is_there else weights.place


def copy_weights(database: Database, weights: Weights, backup: Path) -> None:
    """Copy the folder of some weights into a backup, and check the copy.

    *Raises*: AdapterError where it is not what was published, or goes meanwhile; then nothing is
    copied. It names the place in the data folder, or in the version store.
    """
    name, target = name_now(database, weights), backup / weights.place
    try:
        target.mkdir(parents=True)
        with database.versions.copied(name) as source:
            for file in sorted(source.rglob("*")):
                if file.is_file():
                    copy = target / file.relative_to(source)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, copy)
        if not weights.has_optimizer:
            (target / file_names.OPTIMIZER).unlink(missing_ok=True)
        weights.check(target)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, FileNotFoundError):
            raise AdapterError(f"{error.filename} is missing.") from error
        if isinstance(error, AdapterError):
            raise AdapterError(
                str(error).replace(str(target), _place_of(database, name))
            ) from error
        raise


def _place_of(database: Database, name: str) -> str:
    """Return where a folder of weights lies, for people."""
    store = database.versions
    return f"{store}/{name}" if store.is_shared else str(store.at(name))


def _named(db: Connection, tables: MetaData, name: str) -> Iterator[Weights]:
    table = tables.tables[name]
    for row in db.execute(select(table).where(table.c.folder.is_not(None))).mappings():
        about: dict[str, Any] = (
            {"manifest_sha256": row["manifest_sha256"], "has_optimizer": row["has_optimizer"]}
            if name == "versions"
            else {"fingerprint": row["fingerprint"]}
        )
        place = backup_place(name, row["folder"])
        yield Weights(name, row["id"], row["folder"], place, **about)

"""Which weights are kept: the serving version, the three before it, and every tenth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from corll import saved_files
from corll.service.store import lineages
from corll.service.store.database import Database
from corll.service.store.lineages import Version


def remove_pruned(database: Database, user_id: str) -> list[Version]:
    """Removes what retention does not keep; returns the versions whose folders went."""
    with database.read() as db:
        folders, optimizers = lineages.prunable(db, user_id)

    # First the rows, then the files: a row must not name a folder that is gone.
    def forget(db: Connection) -> Any:
        for version in folders:
            lineages.forget_folder(db, version.id)
        for version in optimizers:
            lineages.forget_optimizer(db, version.id)

    if folders or optimizers:
        database.write(forget)
    for version in folders:
        if version.folder is not None:
            shutil.rmtree(version.folder, ignore_errors=True)
    for version in optimizers:
        if version.folder is not None:
            (Path(version.folder) / saved_files.OPTIMIZER).unlink(missing_ok=True)
    return folders

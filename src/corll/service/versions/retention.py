"""Which weights are kept: the serving version, the three before it, every tenth, and what
deletions replay from.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection

from corll.durable_points import reached
from corll.model import file_names
from corll.service.store import lineages, pruning
from corll.service.store.accounts import audit
from corll.service.store.database import Database
from corll.service.store.lineages import Version


def remove_pruned(database: Database, user_id: str, *, actor: str = "retention") -> list[Version]:
    """Remove what retention does not keep; return the versions whose folders went."""

    # What may go is found in the transaction that forgets it, so that no rollback comes between;
    # first the rows, then the files: a row must not name a folder that is gone.
    def forget(db: Connection) -> tuple[list[Version], list[Version]]:
        folders, optimizers = pruning.prunable(db, user_id)
        for version in folders:
            lineages.forget_folder(db, version.id)
        for version in optimizers:
            lineages.forget_optimizer(db, version.id)
        if folders or optimizers:
            details = {
                "versions": [version.number for version in folders],
                "optimizers": [version.number for version in optimizers],
            }
            audit(
                db, actor=actor, action="prune", subject=user_id, details=details, now=time.time()
            )
        return folders, optimizers

    folders, optimizers = database.write(forget)
    if folders or optimizers:
        reached("pruning committed")
    for version in folders:
        if version.folder is not None:
            database.versions.remove(version.folder)
    for version in optimizers:
        if version.folder is not None:
            database.versions.remove_file(version.folder, file_names.OPTIMIZER)
    return folders

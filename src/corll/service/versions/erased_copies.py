"""Copies of erased folders, which each machine removes once it sees that they were erased."""

from __future__ import annotations

from sqlalchemy import Connection

from corll.service.store import deletions, lineages
from corll.service.store.database import Database
from corll.service.store.deletions import DeletionRow
from corll.service.store.references import fingerprints_of
from corll.service.version_store.folders import VERSIONS
from corll.service.versions.references import place_of


class ErasedCopies:
    """Removes this machine's copies of what any process that shares the database has erased."""

    def __init__(self, database: Database) -> None:
        self._versions = database.versions
        with database.read() as db:
            _, self._last = deletions.deletions_since(db, 0)
            named = [*lineages.known_folders(db), *lineages.reference_folders(db)]
        # What was erased while no process ran here.
        self._versions.keep_only(named)

    def look(self, db: Connection) -> list[DeletionRow]:
        """Remove what was erased since this was called last; return the deletions."""
        found, self._last = deletions.deletions_since(db, self._last)
        for receipt in [row.to_receipt() for row in found]:
            erased = [f"{VERSIONS}/{one.id}" for one in receipt.erased]
            prints = fingerprints_of(db, receipt.references)
            if erased or prints:
                self._versions.evict([*erased, *map(place_of, prints)])
        return found

"""Folders that no version names: what a learner published, or a part of it, before it died."""

from __future__ import annotations

import logging

from corll.service.learning.holding import Holding
from corll.service.store import leases, lineages
from corll.service.store.database import Database
from corll.service.version_store.folders import VERSIONS
from corll.service.versions.forgetting import clean

log = logging.getLogger(__name__)


def sweep(database: Database, holding: Holding) -> None:
    """Remove what an earlier learner published and could not register, or deleted in part.

    Nothing is removed while another learner works, which may have published something just now.
    """
    clean(database)
    found = database.versions.names(VERSIONS)
    if holding.end_former():
        _remove(database, found)


class Sweep:
    """Removes such folders beside learners that work: once each of them has let its user go.

    A folder is registered under the lease under which it was written, so that one which no version
    names can be registered no more once all leases have ended that there were when it was found.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: list[str] = []
        self._held: set[tuple[str, int]] | None = None

    def look(self) -> None:
        """Look once: remember what is there, or remove what was remembered."""
        database = self._database
        if self._held is None:
            self._found = database.versions.names(VERSIONS)
            self._held = database.write_rows(leases.held)
            return
        if not self._held & database.write_rows(leases.held):
            _remove(database, self._found)
            self._held = None


def _remove(database: Database, found: list[str]) -> None:
    with database.read() as db:
        known = {name.rpartition("/")[2] for name in lineages.known_folders(db)}
    for name in found:
        if name.rpartition("/")[2] not in known:
            database.versions.remove(name)
            log.info("removed %s, which no version names", name)

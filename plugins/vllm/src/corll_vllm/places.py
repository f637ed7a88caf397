"""Where a version's weights lie, as the service's database says: never as a request does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Engine, Row, TextClause, create_engine, text

_ID = re.compile(r"(ver|reference)_[0-9A-Za-z]{24}")

_PLACES = {
    "ver": text(
        "SELECT folder, manifest_sha256, NULL AS weights_sha256 FROM versions WHERE id = :id "
        "AND folder IS NOT NULL AND erased_at IS NULL AND state IN ('serving', 'retired')"
    ),
    "reference": text(
        "SELECT folder, NULL AS manifest_sha256, fingerprint AS weights_sha256 "
        "FROM model_references WHERE id = :id AND folder IS NOT NULL AND erased_at IS NULL"
    ),
}

_KEPT = {
    "ver": text("SELECT 1 FROM versions WHERE id = :id AND erased_at IS NULL"),
    "reference": text("SELECT 1 FROM model_references WHERE id = :id AND erased_at IS NULL"),
}


@dataclass(frozen=True)
class Place:
    """A folder, relative to the root of all versions, and what is known of its content.

    Of a version that is the SHA-256 of its manifest, of an imported adapter that of its weights.
    """

    folder: str
    manifest_sha256: str | None
    weights_sha256: str | None


def is_version_id(name: str) -> bool:
    """Say whether a name is an id: letters and digits behind a prefix, so no path."""
    return _ID.fullmatch(name) is not None


class Places:
    """Reads a service's database; writes nothing."""

    def __init__(self, database_url: str) -> None:
        url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", database_url)
        self._engine: Engine = create_engine(url, pool_pre_ping=True)

    def find(self, name: str) -> Place | None:
        """Return where a version lies; None for whatever is none, or may not draft any more."""
        if not is_version_id(name):
            return None
        row = self._row(_PLACES, name)
        if row is None or not _stays_inside(row.folder):
            return None
        return Place(row.folder, row.manifest_sha256, row.weights_sha256)

    def is_erased(self, name: str) -> bool:
        """Say whether what a version had seen was deleted, and not only its weights pruned."""
        return self._row(_KEPT, name) is None

    def _row(self, queries: Mapping[str, TextClause], name: str) -> Row[Any] | None:
        with self._engine.connect() as connection:
            query = queries[name.partition("_")[0]]
            return connection.execute(query, {"id": name}).one_or_none()


def _stays_inside(folder: str) -> bool:
    """Say whether a relative path leads nowhere above where it starts."""
    path = PurePosixPath(folder)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in folder

"""The schema of a database: which revision it has, how it comes to another, its tables there."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    MetaData,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.types import JSON

from corll.service.store.columns import Json
from corll.service.store.fleet_tables import schema_compatibility

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"


def newest_revision() -> str:
    """Return the revision that this corll works with."""
    return _revisions(MIGRATIONS)[0]


def revision_of(db: Connection) -> str | None:
    """Return the revision of a database; None where it has no tables yet."""
    return MigrationContext.configure(db).get_current_revision()


def is_known(revision: str) -> bool:
    """Say whether this corll knows a revision; those of a newer corll it does not know."""
    return revision in _revisions(MIGRATIONS)


def may_go_on(db: Connection) -> bool:
    """Say whether this corll may go on with the schema of a newer one, as that has noted there."""
    if not inspect(db).has_table(schema_compatibility.name):
        return False
    oldest = db.execute(select(schema_compatibility.c.revision)).scalar()
    return oldest is not None and is_known(oldest)


def migrate(db: Connection, to: str = "head") -> None:
    """Change a database to a revision, within the transaction of the connection."""
    command.upgrade(_config(connection=db), to)


@cache
def tables_at(revision: str) -> MetaData:
    """Return the tables as they are at a revision, whichever database holds them."""
    tables = MetaData()
    event.listen(tables, "column_reflect", _of_any_database)
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as db:
            migrate(db, revision)
            tables.reflect(db)
    finally:
        engine.dispose()
    tables.remove(tables.tables[_VERSION_TABLE])
    return tables


def _of_any_database(_inspector: Any, _table: Any, column: Any) -> None:
    """Replace the types that SQLite has for itself: its counters are wider elsewhere."""
    if isinstance(column["type"], JSON):
        column["type"] = Json
    elif isinstance(column["type"], Integer):
        column["type"] = BigInteger()


@cache
def _revisions(folder: Path) -> tuple[str, ...]:
    """Return the revisions that a folder of migrations leads to, the newest first."""
    script = ScriptDirectory(os.fspath(folder))
    return tuple(known.revision for known in script.walk_revisions())


def _config(**attributes: Any) -> AlembicConfig:
    config = AlembicConfig(stdout=io.StringIO(), attributes=attributes)
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config

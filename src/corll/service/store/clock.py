"""The database's own clock, which all that share a database go by."""

from __future__ import annotations

from sqlalchemy import Connection, text

_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
"""The second as it is now, not as the transaction began."""


def database_time(db: Connection) -> float:
    """Return the time by the database's clock. *Units*: seconds since 1970."""
    return float(db.execute(text(_NOW[db.dialect.name])).scalar_one())

"""URLs of databases: read, and shown without what is secret."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from corll.errors import ConfigError

_HIDDEN = "***"


def parse(url: str | None, folder: Path) -> URL:
    """Return the database that a URL names; without one, the file `corll.db` of a data folder.

    *Raises*: ConfigError where it is neither SQLite in a file nor PostgreSQL.
    """
    if url is None:
        return URL.create("sqlite", database=str(folder / "corll.db"))
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "the database's URL cannot be read; write postgresql://USER@HOST/NAME"
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"corll keeps its data in SQLite or PostgreSQL, not in {backend!r}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("a database in memory forgets edits; name a file, as sqlite:///corll.db")
    return parsed


def is_postgresql(url: str | None) -> bool:
    """Say whether a URL names a PostgreSQL database."""
    try:
        return url is not None and make_url(url).get_backend_name() == "postgresql"
    except ArgumentError:
        return False


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown; of one that cannot be read, nothing is."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return _HIDDEN
    if "@" in (parsed.host or ""):  # of a password with an @ that is not written %40
        return _HIDDEN
    secret = [name for name in parsed.query if "password" in name.lower()]
    return parsed.difference_update_query(secret).render_as_string(hide_password=True)

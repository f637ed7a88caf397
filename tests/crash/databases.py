"""Databases of cases: each in its own data folder (SQLite), or all on one PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from postgres_server import new_database, postgres_server, why_not

Kind = Literal["sqlite", "postgres"]


class Databases:
    """Makes databases on a server; without its URL each service has its own in its folder."""

    def __init__(self, server: str | None = None) -> None:
        self._server = server

    @contextmanager
    def new(self, template: str | None = None) -> Iterator[str | None]:
        """Yield the URL of a new database, which may be a copy; None for SQLite."""
        if self._server is None:
            yield None
            return
        with new_database(self._server, template) as url:
            yield url


@contextmanager
def databases(kind: Kind) -> Iterator[Databases]:
    """Yield what makes databases of a kind. *Raises*: SystemExit where they cannot be had here."""
    if kind == "sqlite":
        yield Databases()
        return
    if (reason := why_not()) is not None:
        raise SystemExit(reason)
    with postgres_server() as server:
        yield Databases(server)

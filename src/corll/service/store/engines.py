"""How connections to a database are made, and what each of their transactions begins with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.pool import ConnectionPoolEntry

from corll.errors import ConfigError, StoreError

PATIENCE_S = 10
"""How long a transaction waits for others that write."""

ROWS_ALONE = "corll_rows_alone"
"""The option of transactions that lock only the rows that they name, where the database can."""

PATIENCE = "corll_patience_s"
"""The option of transactions that wait for others longer than `PATIENCE_S` seconds."""

_WRITERS_LOCK = 0x636F726C6C  # "corll"; any number that all of our processes agree on
_REACHED_WITHIN = {"connect_timeout": "5", "tcp_user_timeout": "10000"}
"""How long a server is waited for that does not answer, in seconds and milliseconds."""


_ONLY_READS = "25006"
"""PostgreSQL's word for a transaction that may only read."""


def only_reads(error: BaseException | None) -> bool:
    """Say whether PostgreSQL refused a change since it only lets one read now.

    *Accepts*: the driver's own error.
    """
    return getattr(error, "sqlstate", None) == _ONLY_READS


def is_sqlite(url: URL) -> bool:
    """Say whether a URL names a file of SQLite, and not a server."""
    return url.get_backend_name() == "sqlite"


def engine_for(url: URL, *, for_writing: bool) -> Engine:
    """Return what connects to a database, to write in it or only to read.

    *Raises*: ConfigError where the database's driver is not installed.
    """
    options: dict[str, Any] = {
        # Errors are shown to operators, and parameters are users' texts.
        "hide_parameters": True,
        "json_serializer": _to_json,
        "pool_pre_ping": not is_sqlite(url),
        "pool_size": 16,
    }
    if not is_sqlite(url):
        own = {name: value for name, value in _REACHED_WITHIN.items() if name not in url.query}
        options["connect_args"] = own
        if not for_writing:
            options["execution_options"] = {
                "isolation_level": "REPEATABLE READ",
                "postgresql_readonly": True,
            }
    try:
        engine = create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{url.drivername} needs the package {error.name}; pip install {error.name}"
        ) from error
    if is_sqlite(url):
        event.listen(engine, "connect", _prepare_sqlite(for_writing))
        event.listen(engine, "begin", _begin_sqlite(for_writing))
    elif for_writing:
        event.listen(engine, "begin", _lock_postgresql)
        event.listen(engine, "handle_error", _leave_what_only_reads)
    return engine


def close(engine: Engine) -> None:
    """Close an engine's connections, and each that is in use as soon as it is not.

    It can still be used, and keeps no connection from then on.
    """
    if not event.contains(engine, "checkin", _close_at_once):
        event.listen(engine, "checkin", _close_at_once)
    engine.dispose()


def _close_at_once(_: Any, record: ConnectionPoolEntry) -> None:
    # In a pool that was disposed of it would be left to the garbage collector.
    record.invalidate()


class _NotJsonError(StoreError, DontWrapMixin):
    """A value that JSON has no words for; SQLAlchemy lets it pass as it is."""


def _to_json(value: Any) -> str:
    # SQLite would keep NaN, PostgreSQL would not, and no client could read it.
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _NotJsonError(f"this cannot be kept as JSON ({error}); give finite numbers") from None


def _prepare_sqlite(for_writing: bool) -> Callable[[Any, Any], None]:
    def prepare(connection: Any, record: Any) -> None:
        # The driver begins no transactions of its own accord; `_begin_sqlite` does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        if not for_writing:
            connection.execute("PRAGMA query_only = ON")

    return prepare


def _begin_sqlite(for_writing: bool) -> Callable[[Connection], None]:
    statement = "BEGIN IMMEDIATE" if for_writing else "BEGIN"

    def begin(db: Connection) -> None:
        db.exec_driver_sql(statement)

    return begin


def _leave_what_only_reads(context: ExceptionContext) -> None:
    # A connection stays what it was when it was made, whoever takes changes by now. This replaces
    # the pool's connections as those of a server that went away, each once it is not in use.
    if only_reads(context.original_exception):
        context.is_disconnect = True


def _lock_postgresql(db: Connection) -> None:
    options = db.get_execution_options()
    db.exec_driver_sql(f"SET LOCAL lock_timeout = '{options.get(PATIENCE, PATIENCE_S)}s'")
    if not options.get(ROWS_ALONE):
        db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

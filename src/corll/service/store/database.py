"""The database: opened, brought up to date, read, and written durably by one writer at a time.

This is the only module that knows which database it is. Writers are serialised on both, on SQLite
by its lock and on PostgreSQL by an advisory one, so that what a transaction reads stays true until
it commits.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from filelock import Timeout as FilelockTimeout
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import (
    DontWrapMixin,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)

from corll.errors import ConfigError, StoreError
from corll.service.store.urls import parse, without_password

_T = TypeVar("_T")

_MIGRATIONS = Path(__file__).parent / "migrations"
PRIVATE_UMASK = 0o077
"""For processes that write into the data folder: what they make is its owner's alone."""
_PATIENCE_S = 10
_LARGEST_BATCH = 256
_WRITERS_LOCK = 0x636F726C6C  # "corll"; any number that all of our processes agree on


class Database:
    """Where everything is kept; `open` it. Safe to use from many threads."""

    def __init__(self, url: URL, *, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._reader = self._engine(for_writing=False)
        self._writer = self._engine(for_writing=True)

    @classmethod
    def open(cls, url: str | None, data_dir: Path | str) -> Self:
        """Open the database and bring its tables up to date.

        Without a URL it is the file `corll.db` in `data_dir`, which is created where it is missing.
        *Raises*: ConfigError for a URL that cannot be used; StoreError where the database cannot be
        opened or was written by a newer corll.
        """
        folder = Path(data_dir).expanduser().absolute()
        _make_private_folder(folder)
        database = cls(parse(url, folder), folder=folder)
        try:
            database._upgrade()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database and cannot change it."""
        with self._translated(), self._reader.connect() as db:
            yield db

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` in a transaction of its own; once this returns, the disk has it."""
        with self._translated(), self._writer.begin() as db:
            return work(db)

    def path_of(self, name: str) -> Path:
        """Return where a folder lies whose name the database holds.

        Names are relative to the data folder, so that it may be moved.
        """
        return self.folder / name

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._reader.dispose()
        self._writer.dispose()

    def _engine(self, *, for_writing: bool) -> Engine:
        options: dict[str, Any] = {
            # Errors are shown to operators, and parameters are users' texts.
            "hide_parameters": True,
            "json_serializer": _to_json,
            "pool_pre_ping": not self._is_sqlite,
            "pool_size": 16,
        }
        if not for_writing and not self._is_sqlite:
            options["execution_options"] = {
                "isolation_level": "REPEATABLE READ",
                "postgresql_readonly": True,
            }
        try:
            engine = create_engine(self.url, **options)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{self.url.drivername} needs the package {error.name}; pip install {error.name}"
            ) from error
        if self._is_sqlite:
            event.listen(engine, "connect", _prepare_sqlite(for_writing))
            event.listen(engine, "begin", _begin_sqlite(for_writing))
        elif for_writing:
            event.listen(engine, "begin", _lock_postgresql)
        return engine

    def _upgrade(self) -> None:
        if self._is_sqlite:
            _make_private_file(Path(str(self.url.database)))
        lock = FileLock(self.folder / "corll.db.lock", mode=0o600, timeout=_PATIENCE_S * 6)
        try:
            with lock:
                self.write(self._migrate)
        except FilelockTimeout as error:
            raise StoreError(
                f"another process has been changing {self} for {_PATIENCE_S * 6} s; try again later"
            ) from error

    def _migrate(self, db: Connection) -> None:
        config = AlembicConfig(stdout=io.StringIO(), attributes={"connection": db})
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        current = MigrationContext.configure(db).get_current_revision()
        if current == script.get_current_head():
            return
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise StoreError(
                f"{self} was written by a newer corll (its schema is {current!r}, and this one "
                f"ends at {script.get_current_head()!r}); install that corll or a later one"
            )
        command.upgrade(config, "head")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # The database's own error may quote a row, and a log would quote that.
            raise self.explain(error) from None

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for an error: it says what to do, and holds no user's text."""
        if not isinstance(error, SQLAlchemyError):
            return error
        said = str(error.orig) if isinstance(error, StatementError) else str(error)
        said = said.strip().partition("\n")[0]
        if "locked" in said or "lock timeout" in said:
            advice = f"another process has been writing for {_PATIENCE_S} s; try again"
        elif "full" in said or "No space" in said:
            advice = "free some space on that disk"
        elif "readonly" in said or "read-only" in said or "unable to open" in said:
            advice = "see that this process may write the file and its folder"
        else:
            advice = "nothing of this request was stored"
        return StoreError(f"{self}: {said}; {advice}").with_traceback(error.__traceback__)

    def __str__(self) -> str:
        return f"the database {without_password(self.url.render_as_string(hide_password=False))}"


class _NotJsonError(StoreError, DontWrapMixin):
    """A value that JSON has no words for; SQLAlchemy lets it pass as it is."""


def _to_json(value: Any) -> str:
    # SQLite would keep NaN, PostgreSQL would not, and no client could read it.
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _NotJsonError(f"this cannot be kept as JSON ({error}); give finite numbers") from None


class _TransactionLostError(Exception):
    """A job failed in a way that may have ended the transaction, and the others' work with it."""


@dataclass(frozen=True, slots=True)
class _Job(Generic[_T]):
    work: Callable[[Connection], _T]
    future: Future[_T]

    def run(self, database: Database, db: Connection) -> Callable[[], None]:
        """Do the work in a savepoint; return what tells its future once that is durable."""
        cause: BaseException | None = None
        try:
            with db.begin_nested():
                try:
                    result = self.work(db)
                except BaseException as error:
                    cause = error  # where the database ended the transaction, the rest only says so
                    raise
        except (OperationalError, InternalError, InterfaceError) as error:
            raise _TransactionLostError from cause or error
        except BaseException as error:
            failure = database.explain(error)
            return lambda: self.future.set_exception(failure)
        return lambda: self.future.set_result(result)


class Writer:
    """One thread that writes for all: what is submitted while it commits shares the next commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="corll-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], _T]) -> Future[_T]:
        """Run `work` on a connection; its future resolves once the disk has what it wrote.

        What `work` raises undoes only its own changes and comes out of its future.
        *Raises*: StoreError after `close`.
        """
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise StoreError("the service is stopping and writes no more; send it again later")
            self._jobs.put(_Job(work, future))
        return future

    def close(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            last = False
            with suppress(Empty):
                while len(batch) < _LARGEST_BATCH and not last:
                    more = self._jobs.get_nowait()
                    if more is None:
                        last = True
                    else:
                        batch.append(more)
            self._commit([job for job in batch if job.future.set_running_or_notify_cancel()])
            if last:
                return

    def _commit(self, batch: list[_Job[Any]]) -> None:
        try:
            answers = self._database.write(
                lambda db: [job.run(self._database, db) for job in batch]
            )
        except _TransactionLostError as lost:
            if len(batch) == 1:
                batch[0].future.set_exception(self._database.explain(lost.__cause__ or lost))
                return
            # Each alone, so that only the one at fault fails.
            for job in batch:
                self._commit([job])
            return
        except BaseException as error:
            for job in batch:
                job.future.set_exception(error)
            return
        for answer in answers:
            answer()


def _make_private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A mounted folder of another owner is theirs to guard.
        with suppress(PermissionError):
            folder.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"the data folder {folder} cannot be made ({error.strerror}); choose another"
        ) from error


def _make_private_file(path: Path) -> None:
    """Create the database with private permissions, which SQLite gives its other files too."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"the database {path} cannot be written ({error.strerror}); see that this process may"
        ) from error


def _prepare_sqlite(for_writing: bool) -> Callable[[Any, Any], None]:
    def prepare(connection: Any, record: Any) -> None:
        # The driver begins no transactions of its own accord; `_begin_sqlite` does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_S * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not for_writing:
            connection.execute("PRAGMA query_only = ON")

    return prepare


def _begin_sqlite(for_writing: bool) -> Callable[[Connection], None]:
    statement = "BEGIN IMMEDIATE" if for_writing else "BEGIN"

    def begin(db: Connection) -> None:
        db.exec_driver_sql(statement)

    return begin


def _lock_postgresql(db: Connection) -> None:
    db.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'")
    db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")

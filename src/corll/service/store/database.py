"""The database: opened, brought up to date, read, and written durably by one writer at a time.

Writers are serialised on both kinds, on SQLite by its lock and on PostgreSQL by an advisory one, so
that what a transaction reads stays true until it commits. Migrations are writers too.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from filelock import FileLock
from filelock import Timeout as FilelockTimeout
from sqlalchemy import URL, Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from corll.errors import StoreError
from corll.service.store import engines, migrating
from corll.service.store.engines import engine_for, is_sqlite
from corll.service.store.faults import explained
from corll.service.store.private_files import make_private_file, make_private_folder
from corll.service.store.purging import purge_postgresql, purge_sqlite
from corll.service.store.urls import parse, without_password
from corll.service.version_store.folders import VersionStore
from corll.service.version_store.opening import CACHE_GB, open_store

log = logging.getLogger(__name__)

_T = TypeVar("_T")

PRIVATE_UMASK = 0o077
"""For processes that write into the data folder: what they make is its owner's alone."""
_LONGEST_MIGRATION = 6
"""How much longer than for other writers is waited for whoever changes the tables."""


class Database:
    """Where everything is kept; `open` it. Safe to use from many threads.

    `versions` has the folders of weights that the rows name.
    """

    def __init__(self, url: URL, *, folder: Path, versions: VersionStore | None = None) -> None:
        self.url = url
        self.folder = folder
        self.versions = open_store(None, folder) if versions is None else versions
        self._reader = engine_for(url, for_writing=False)
        self._writer = engine_for(url, for_writing=True)
        self._checks = threading.local()

    @classmethod
    def open(
        cls,
        url: str | None,
        data_dir: Path | str,
        versions: str | None = None,
        *,
        cache_gb: float = CACHE_GB,
    ) -> Self:
        """Open the database and bring its tables up to date.

        Without a URL it is the file `corll.db` in `data_dir`, which is created where it is missing.
        `versions` is the URL of a version store, which is not asked anything yet.
        *Raises*: ConfigError for a URL that cannot be used; StoreError where the database cannot be
        opened, or was written by a newer corll with whose schema this one may not go on.
        """
        folder = Path(data_dir).expanduser().absolute()
        make_private_folder(folder)
        store = open_store(versions, folder, cache_gb=cache_gb)
        database = cls(parse(url, folder), folder=folder, versions=store)
        try:
            database._upgrade()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_unchanged(
        cls, url: str | None, data_dir: Path | str, versions: str | None = None
    ) -> Self:
        """Open a database that is there, and leave its tables as they are.

        *Raises*: ConfigError for a URL that cannot be used; StoreError where there is no database,
        or one of a newer corll.
        """
        folder = Path(data_dir).expanduser().absolute()
        store = open_store(versions, folder)
        database = cls(parse(url, folder), folder=folder, versions=store)
        try:
            if database.is_sqlite and not Path(str(database.url.database)).is_file():
                raise StoreError(f"{database} is not there; name the folder of the service")
            if database.revision() is None:
                raise StoreError(f"{database} holds nothing of corll; name that of the service")
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def create(cls, url: str | None, data_dir: Path, fill: Callable[[Connection], None]) -> None:
        """Make a database by `fill`, in one transaction.

        A crash leaves none under this name. *Raises*: ConfigError for a URL that cannot be used;
        StoreError where there is a database already, or it cannot be written.
        """
        asked = parse(url, data_dir)
        is_file = is_sqlite(asked)
        target, new = Path(str(asked.database)), Path(f"{asked.database}.new")
        database = cls(asked.set(database=str(new)) if is_file else asked, folder=data_dir)
        try:
            if is_file:
                if target.exists():
                    raise StoreError(f"{target} is there already; name another place")
                make_private_file(new)
            database.write(lambda db: database._fill(db, fill))
            database.close()
            if is_file:
                new.rename(target)
        finally:
            database.close()
            if is_file:
                for left in new.parent.glob(f"{new.name}*"):
                    left.unlink()

    def revision(self) -> str | None:
        """Return the revision of the schema; None where there are no tables.

        *Raises*: StoreError where it is one of a newer corll.
        """
        with self.read() as db:
            current = migrating.revision_of(db)
        if current is not None:
            self._check_known(current)
        return current

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database and cannot change it."""
        with self._translated(), self._reader.connect() as db:
            yield db

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` in a transaction of its own; once this returns, the disk has it.

        What `checking` names is run first.
        """
        check = getattr(self._checks, "check", None)
        if check is None:
            return self._write(work)

        def checked(db: Connection) -> _T:
            check(db)
            return work(db)

        return self._write(checked)

    @contextmanager
    def checking(self, check: Callable[[Connection], None]) -> Iterator[None]:
        """Begin each transaction that this thread writes meanwhile with a check, which may raise.

        Those of `write_rows` begin without.
        """
        self._checks.check = check
        try:
            yield
        finally:
            self._checks.check = None

    def write_rows(self, work: Callable[[Connection], _T]) -> _T:
        """Run `work` as `write` does, beside others that write where the database can.

        PostgreSQL locks the rows that `work` changes or names, and nothing else stays true until it
        commits. SQLite has one writer.
        """
        return self._write(work, **{engines.ROWS_ALONE: True})

    @property
    def is_sqlite(self) -> bool:
        """Say whether it is a file, which the processes of one machine share."""
        return is_sqlite(self.url)

    def purge(self) -> bool:
        """Clear the database's files of what was deleted; say whether all of it is gone.

        SQLite writes its file anew and empties its journal. PostgreSQL writes its tables anew; its
        own journal, its backups and its replicas are its operator's. What others keep open for
        longer than some seconds is in the way: then it is to be called again later.
        """
        try:
            by_kind = purge_sqlite if self.is_sqlite else purge_postgresql
            return by_kind(self._writer, patience_s=engines.PATIENCE_S)
        except (SQLAlchemyError, sqlite3.OperationalError):
            return False

    def close(self) -> None:
        """Close every connection; one that is in use is closed as soon as it is not."""
        engines.close(self._reader)
        engines.close(self._writer)

    def _upgrade(self) -> None:
        if self.is_sqlite:
            make_private_file(Path(str(self.url.database)))
        patience = engines.PATIENCE_S * _LONGEST_MIGRATION
        lock = FileLock(self.folder / "corll.db.lock", mode=0o600, timeout=patience)
        try:
            with lock:
                self._write(self._migrate, **{engines.PATIENCE: patience})
        except FilelockTimeout as error:
            raise StoreError(
                f"another process has been changing {self} for {patience} s; try again later"
            ) from error

    def _migrate(self, db: Connection) -> None:
        current = migrating.revision_of(db)
        if current == migrating.newest_revision():
            return
        if current is not None and not migrating.is_known(current) and migrating.may_go_on(db):
            log.warning("%s has the schema of a newer corll, with which this one may go on", self)
            return
        if current is not None:
            self._check_known(current)
        migrating.migrate(db)

    def _fill(self, db: Connection, fill: Callable[[Connection], None]) -> None:
        if inspect(db).get_table_names():
            raise StoreError(f"{self} has tables already; name one that is empty")
        fill(db)

    def _check_known(self, revision: str) -> None:
        if not migrating.is_known(revision):
            raise StoreError(
                f"{self} was written by a newer corll (its schema is {revision!r}, and this one "
                f"ends at {migrating.newest_revision()!r}); install that corll or a later one"
            )

    def _write(self, work: Callable[[Connection], _T], **options: object) -> _T:
        with self._translated(), self._writer.execution_options(**options).begin() as db:
            return work(db)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # The database's own error may quote a row, and a log would quote that.
            raise self.explain(error) from None

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for an error: it says what to do, and holds no user's text."""
        return explained(error, str(self))

    def __str__(self) -> str:
        return f"the database {without_password(self.url.render_as_string(hide_password=False))}"

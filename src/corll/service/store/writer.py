"""The writer: what waits while it commits shares the next commit, and each is answered alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from corll.errors import StoreUnavailableError
from corll.service.store.database import Database

_T = TypeVar("_T")

_LARGEST_BATCH = 256


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
        *Raises*: StoreUnavailableError after `close`.
        """
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailableError(
                    "the service is stopping and writes no more; send it again later"
                )
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

    def _commit(self, batch: list[_Job[Any]]) -> BaseException | None:
        """Commit jobs together, else each alone; return the error where no transaction began."""
        try:
            answers = self._database.write(
                lambda db: [job.run(self._database, db) for job in batch]
            )
        except _TransactionLostError as lost:
            if len(batch) == 1:
                batch[0].future.set_exception(self._database.explain(lost.__cause__ or lost))
                return None
            self._commit_each(batch)
            return None
        except BaseException as error:
            for job in batch:
                job.future.set_exception(error)
            return error
        for answer in answers:
            answer()
        return None

    def _commit_each(self, batch: list[_Job[Any]]) -> None:
        """Commit each job alone, so that only the one at fault fails.

        Where the database is away, each would wait for it in vain: one does.
        """
        left = list(reversed(batch))
        while left:
            error = self._commit([left.pop()])
            if isinstance(error, StoreUnavailableError):
                for job in left:
                    job.future.set_exception(error)
                return

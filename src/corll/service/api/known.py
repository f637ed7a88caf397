"""What drafts go on from while the database is away: who asks, and what serves, as read last.

Once the database has changed, what is known is read again, so that a key that was revoked, or a
consent that was withdrawn, is known as such some seconds later, wherever that happened.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from sqlalchemy import Connection, func, select

from corll.errors import StoreError
from corll.service.store.database import Database
from corll.service.store.schema import audit_log

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How often it is looked whether the database has changed, or has come back."""

LASTS_S = 600.0
"""For how long drafts go on without the database."""

_MOST = 1024
_OF_THE_LEARNER = ("prune", "set_aside")
"""Actions that change nothing of who asks and what serves."""

Query = Callable[[Connection], Any]


class Known:
    """The latest answers of queries, by name; safe to use from many threads.

    `clock` counts seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[Query, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._latest = clock()
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Say whether the database could not be read when that was tried last."""
        return self._is_away

    def keep(self, name: Hashable, query: Query, answer: Any) -> None:
        """Keep an answer that was read just now; None is nothing to go on from."""
        with self._lock:
            self._answers.pop(name, None)
            if answer is not None:
                self._answers[name] = query, answer
            if len(self._answers) > _MOST:
                self._answers.popitem(last=False)

    def find(self, name: Hashable) -> Any:
        """Return the latest answer; None where there is none that is recent enough."""
        with self._lock:
            if self._clock() > self._latest + LASTS_S:
                return None
            return self._answers.get(name, (None, None))[1]

    def failed(self) -> None:
        """Note that the database cannot be read."""
        self._is_away = True

    def reached(self) -> None:
        """Note that the database answered, so that it is asked again and not what is known."""
        self._is_away = False

    def read_again(self, db: Connection) -> None:
        """Read again all that is known."""
        with self._lock:
            queries = [(name, query) for name, (query, _) in self._answers.items()]
        for name, query in queries:
            self.keep(name, query, query(db))

    def confirmed(self) -> None:
        """Note that what is known is so now."""
        self._latest, self._is_away = self._clock(), False


class Watch:
    """Sees what changes in the database, whoever changes it: commands, and other servers.

    `on_change` is called with a connection some seconds after each change that is audited.
    """

    def __init__(
        self, database: Database, known: Known, on_change: Callable[[Connection], None]
    ) -> None:
        self._database, self._known, self._on_change = database, known, on_change
        self._seen: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Look once whether anything has changed."""
        try:
            with self._database.read() as db:
                others = audit_log.c.action.not_in(_OF_THE_LEARNER)
                latest = db.execute(select(func.max(audit_log.c.number)).where(others)).scalar()
                if latest != self._seen or self._known.is_away:
                    self._on_change(db)
                    self._known.read_again(db)
                self._seen = latest
        except StoreError as error:
            self._known.failed()
            log.debug("the database is looked at again in %.0f s: %s", POLL_S, error)
        except Exception:
            log.exception("what changed in the database was not seen")
        else:
            self._known.confirmed()

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            self.look()

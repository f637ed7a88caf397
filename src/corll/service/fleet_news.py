"""News between the processes that share a database: posted and read once a second.

An event reaches the browsers of another process within two seconds and the time of two
transactions. What drafts is read from the database for each draft, and waits for no news.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from corll.errors import StoreError
from corll.schemas.events import EVENTS, Event
from corll.schemas.states import LearnerState
from corll.service.store import fleet
from corll.service.store.database import Database
from corll.service.store.fleet import NewsRow

log = logging.getLogger(__name__)

POLL_S = 1.0
"""How often news are posted and read."""

_SEEN_EVERY = 10
"""A learner says that it is there so many polls apart."""
_MOST_WAITING = 10_000
_KINDS: dict[str, Any] = {event.kind: event for event in EVENTS}


class FleetNews:
    """Posts what happens in this process, and tells what happens in others.

    `hear` is told the events of others, by user. A process that is `learner` says that it is there.
    """

    def __init__(
        self,
        database: Database,
        origin: str,
        *,
        hear: Callable[[str, Event], None] = lambda *_: None,
        learner: bool = False,
    ) -> None:
        self._database, self._origin = database, origin
        self._hear, self._learner = hear, learner
        self._waiting: deque[NewsRow] = deque(maxlen=_MOST_WAITING)
        self._polls = 0
        self.learners = 0
        """How many learners are processes of their own, as it was read last."""
        with database.read() as db:
            _, self._last = fleet.news_since(db, 0, but=origin)
        self.look()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fleet news", daemon=True)
        self._thread.start()

    def post(self, user_id: str, event: Event) -> None:
        """Tell others of an event, at the next poll; from any thread."""
        self._waiting.append(NewsRow(user_id, event.kind, event.model_dump(mode="json")))

    def look(self) -> None:
        """Post what waits, and hear what others posted. *Raises*: StoreError."""
        seen = self._learner and self._polls % _SEEN_EVERY == 0
        self._polls += 1
        rows = list(self._waiting)
        if rows or seen:
            self._database.write(lambda db: self._write(db, rows, seen))
        for _ in rows:
            self._waiting.popleft()
        with self._database.read() as db:
            found, self._last = fleet.news_since(db, self._last, but=self._origin)
            self.learners = fleet.count_learners(db)
        for row in found:
            # A newer corll may tell what this one has no words for.
            if row.kind in _KINDS:
                self._hear(row.user_id, _KINDS[row.kind].model_validate(row.event))

    def stop(self) -> None:
        """Post what waits, and end the thread; a learner is there no more."""
        self._stopping.set()
        self._thread.join()
        try:
            self.look()
            if self._learner:
                self._database.write(lambda db: fleet.forget_learner(db, self._origin))
        except StoreError as error:
            log.info("the last news were not posted: %s", error)

    def _write(self, db: Connection, rows: list[NewsRow], seen: bool) -> None:
        if rows:
            fleet.post(db, rows, origin=self._origin)
        if seen:
            fleet.note_learner(db, self._origin)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self.look()
            except StoreError as error:
                log.debug("news wait: %s", error)
            except Exception:
                log.exception("news of other processes were not heard")


class LearnersElsewhere:
    """The learners that a gateway has: processes of their own, which read the database."""

    def __init__(self) -> None:
        self.count: Callable[[], int] = lambda: 0
        """How many there are."""

    @property
    def state(self) -> LearnerState:
        """How they are: ready where one was seen lately."""
        return "ready" if self.count() else "down"

    def ask_to_learn(self, user_id: str) -> None:
        """Do nothing: what was asked is in the database, where learners look twice a second."""

    def wake(self) -> None:
        """Do nothing, as `ask_to_learn`."""

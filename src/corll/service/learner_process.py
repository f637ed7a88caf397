"""The learner: a process of its own beside the server, which it never keeps waiting.

It reads the store, makes versions, and ends with its parent. What it needs to hear (a user asks for
a step now) comes through a pipe, and everything else is in the store, so it may be killed and
started again at any moment.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from typing import Any, Protocol

from corll.errors import StoreError
from corll.service import history
from corll.service.base_model import load_base
from corll.service.learning import Trainer
from corll.service.logs import set_up_logging
from corll.service.publishing import sweep
from corll.service.settings import ServiceSettings
from corll.service.store import imports, lineages, preferences
from corll.service.store.database import Database
from corll.service.store.imports import ImportRow

log = logging.getLogger(__name__)

_POLL_S = 0.5
_LONGEST_PAUSE_S = 3.0
"""A step gives way to drafts for this long before each micro-batch, then goes on all the same."""

_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 600.0
_LOWER_PRIORITY = 10


class Flag(Protocol):
    """A number shared between processes."""

    value: int


class Inbox:
    """What the server said; ends the process when the server is gone."""

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self.news = threading.Event()
        self.stopping = False
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def take_asked(self) -> set[str]:
        """The users for whom a step was asked since the last call."""
        with self._lock:
            asked, self._asked = self._asked, set()
        return asked

    def _listen(self) -> None:
        while True:
            try:
                kind, subject = self._channel.recv()
            except (EOFError, OSError):
                os._exit(0)  # The parent is gone; whatever is half done is not registered.
            with self._lock:
                if kind == "learn":
                    self._asked.add(subject)
                self.stopping = self.stopping or kind == "stop"
            self.news.set()


class Pacer:
    """Keeps learning out of the way of drafting, and of the service's end."""

    def __init__(self, drafting: Flag, inbox: Inbox) -> None:
        self._drafting, self._inbox = drafting, inbox

    def give_way(self) -> None:
        """Waits while a draft is being drawn, up to a limit, so that learning never starves.

        *Raises*: SystemExit when the service stops: the step was not registered, so nothing of it
        counts.
        """
        until = time.monotonic() + _LONGEST_PAUSE_S
        while self._drafting.value and time.monotonic() < until and not self._inbox.stopping:
            time.sleep(0.01)
        if self._inbox.stopping:
            raise SystemExit


class Worker:
    """Finds what is to be learned, one user after the other, the one who waited longest first."""

    def __init__(self, trainer: Trainer, inbox: Inbox, channel: Connection) -> None:
        self._trainer, self._inbox, self._channel = trainer, inbox, channel
        self._asked: set[str] = set()
        self._retry_at: dict[str, float] = {}
        self._delay: dict[str, float] = defaultdict(lambda: _FIRST_RETRY_S)

    def run(self) -> None:
        """Until the server says stop."""
        while not self._inbox.stopping:
            self._asked |= self._inbox.take_asked()
            try:
                busy = self._round()
            except StoreError as error:
                log.warning("the store cannot be used (%s); trying again", error)
                busy = False
            if not busy:
                self._inbox.news.wait(_POLL_S)
                self._inbox.news.clear()

    def _round(self) -> bool:
        """One step of one user, and one chunk of one import; says whether there was any."""
        busy = False
        for user_id, all_that_waits in self._due():
            self._asked.discard(user_id)
            busy |= self._attempt(user_id, all_that_waits=all_that_waits)
            if self._inbox.stopping:
                return busy
        with self._trainer.database.read() as db:
            row = imports.next_import(db)
        if row is not None:
            self._import(row)
        return busy or row is not None

    def _due(self) -> list[tuple[str, bool]]:
        """Users to learn from now, and whether from all that waits, though that be fewer than N."""
        with self._trainer.database.read() as db:
            waiting = preferences.users_with_waiting(db)
        settings = self._trainer.settings
        flushed_before = time.time() - settings.flush_after_hours * 3600
        now = time.monotonic()
        due = []
        for user_id, count, oldest in waiting:
            all_that_waits = user_id in self._asked or oldest <= flushed_before
            enough = count >= settings.coactive.preferences_per_step
            if (enough or all_that_waits) and self._retry_at.get(user_id, 0.0) <= now:
                due.append((user_id, all_that_waits))
        return due

    def _attempt(self, user_id: str, *, all_that_waits: bool) -> bool:
        try:
            version = self._trainer.learn(user_id, all_that_waits=all_that_waits)
        except StoreError:
            raise
        except Exception:
            # One user's trouble must not stop the others.
            delay = self._delay[user_id]
            log.exception("learning for %s failed; next attempt in %.0f s", user_id, delay)
            self._retry_at[user_id] = time.monotonic() + delay
            self._delay[user_id] = min(2 * delay, _LONGEST_RETRY_S)
            return False
        self._delay.pop(user_id, None)
        if version is not None:
            log.info("%s: version %d is %s", user_id, version.number, version.state)
            about = {"number": version.number, "state": version.state}
            self._say("version", {"user": user_id, **about})
        return version is not None

    def _import(self, row: ImportRow) -> None:
        try:
            history.go_on(self._trainer, row)
        except StoreError:
            raise
        except Exception as error:
            log.exception("import %s failed", row.id)
            reason = f"{type(error).__name__}: {error}"
            self._trainer.database.write(
                lambda db: imports.update_import(
                    db, row.id, state="failed", error=reason, finished_at=time.time()
                )
            )
        with self._trainer.database.read() as db:
            now = imports.find_import(db, row.id)
        if now is not None:
            about = {"id": now.id, "state": now.state, "used": now.used, "total": now.total}
            self._say("import", {"user": now.user_id, **about})

    def _say(self, kind: str, content: Any) -> None:
        self._channel.send((kind, content))


def learn_in_background(settings: ServiceSettings, channel: Connection, drafting: Flag) -> None:
    """The process: loads the base model, says that it is ready, and works until told to stop."""
    set_up_logging(settings)
    if hasattr(os, "nice"):
        os.nice(_LOWER_PRIORITY)
    inbox = Inbox(channel)
    base = load_base(settings)
    database = Database.open(settings.database, settings.data_dir)
    trainer = Trainer(base, database, settings, give_way=Pacer(drafting, inbox).give_way)
    _sweep(trainer)
    channel.send(("ready", None))
    Worker(trainer, inbox, channel).run()


def _sweep(trainer: Trainer) -> None:
    """Removes what an earlier learner published and could not register."""
    with trainer.database.read() as db:
        known = lineages.known_folders(db)
    for folder in sweep(trainer.settings.versions_dir, known):
        log.info("removed %s, which no version names", folder)

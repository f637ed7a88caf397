"""The learner: a process of its own beside the server, which it never keeps waiting.

It reads the store, makes versions, and ends with its parent. What it needs to hear (a user asks for
a step now) comes through a pipe and is written to the store at once, where everything else is, so
it may be killed and started again at any moment.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Protocol

from corll.compute.free_processors import GivingThreads
from corll.errors import StoreError
from corll.schemas.events import Event, ImportEvent, StartEvent, VersionEvent
from corll.service.base_model import load_base
from corll.service.learning import admitting, importing
from corll.service.learning.trainer import Trainer
from corll.service.logs import set_up_logging
from corll.service.settings import ServiceSettings
from corll.service.store import imports, lineages, preferences, starts
from corll.service.store.database import PRIVATE_UMASK, Database
from corll.service.store.imports import ImportRow
from corll.service.store.lineages import Version
from corll.service.store.starts import StartRow
from corll.service.versions.publishing import sweep

log = logging.getLogger(__name__)

_POLL_S = 0.5
_LONGEST_PAUSE_S = 3.0
"""A step gives way to drafts for this long before each micro-batch, then goes on all the same."""

_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 600.0
_THE_STORE = "store"
_LOWER_PRIORITY = 10


class Flag(Protocol):
    """A number shared between processes."""

    value: int


class Inbox:
    """What the server said; ends the process when the server is gone.

    `keep` writes down that a step was asked for a user.
    """

    def __init__(self, channel: Connection, keep: Callable[[str], None]) -> None:
        self._channel, self._keep = channel, keep
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self.news = threading.Event()
        self.stopping = False
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def keep_asked(self) -> None:
        """Write down what was asked and is not written yet. *Raises*: StoreError."""
        with self._lock:
            asked, self._asked = self._asked, set()
        try:
            for user_id in asked:
                self._keep(user_id)
        except StoreError:
            with self._lock:
                self._asked |= asked
            raise

    def _listen(self) -> None:
        while True:
            try:
                kind, subject = self._channel.recv()
            except (EOFError, OSError):
                os._exit(0)  # The parent is gone; whatever is half done is not registered.
            if kind == "learn":
                with self._lock:
                    self._asked.add(subject)
                # The worker tries again what cannot be written now.
                with suppress(StoreError):
                    self.keep_asked()
            self.stopping = self.stopping or kind == "stop"
            self.news.set()


class Pacer:
    """Keeps learning out of the way of drafting, of other programs, and of the service's end.

    Before each pass the number of `threads` is set.
    """

    def __init__(
        self, drafting: Flag, inbox: Inbox, threads: Callable[[], object] = lambda: None
    ) -> None:
        self._drafting, self._inbox, self._settle_threads = drafting, inbox, threads

    def give_way(self) -> None:
        """Wait while a draft is being drawn, up to a limit, so that learning never starves.

        *Raises*: SystemExit when the service stops: the step was not registered, so nothing of it
        counts.
        """
        until = time.monotonic() + _LONGEST_PAUSE_S
        while self._drafting.value and time.monotonic() < until and not self._inbox.stopping:
            time.sleep(0.01)
        if self._inbox.stopping:
            raise SystemExit
        self._settle_threads()


class Retries:
    """When to try again what failed: after 2 s, then twice as long each time, to ten minutes."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._delay: dict[str, float] = {}

    def failed(self, what: str) -> float:
        """Say in how many seconds to try again."""
        delay = self._delay.get(what, _FIRST_RETRY_S)
        self._at[what] = time.monotonic() + delay
        self._delay[what] = min(2 * delay, _LONGEST_RETRY_S)
        return delay

    def worked(self, what: str) -> None:
        """Forget that it ever failed."""
        self._at.pop(what, None)
        self._delay.pop(what, None)

    def pending(self) -> Collection[str]:
        """Return what is not to be tried yet."""
        now = time.monotonic()
        return {what for what, at in self._at.items() if at > now}


class Worker:
    """Finds what is to be learned, one user after the other, the one who waited longest first."""

    def __init__(self, trainer: Trainer, inbox: Inbox, channel: Connection) -> None:
        self._trainer, self._inbox, self._channel = trainer, inbox, channel
        self._retries = Retries()

    def run(self) -> None:
        """Work until the server says stop."""
        while not self._inbox.stopping:
            try:
                self._inbox.keep_asked()
                busy = self._round()
            except StoreError as error:
                delay = self._retries.failed(_THE_STORE)
                log.warning("the store cannot be used (%s); trying again in %.0f s", error, delay)
                self._wait(delay)
            else:
                self._retries.worked(_THE_STORE)
                if not busy:
                    self._wait(_POLL_S)

    def _wait(self, seconds: float) -> None:
        self._inbox.news.wait(seconds)
        self._inbox.news.clear()

    def _round(self) -> bool:
        """Examine one start, take one step for each user, and one chunk of one import.

        Say whether there was any.
        """
        busy = self._examine_a_start()
        for user_id, all_that_waits in self._due():
            busy |= self._attempt(user_id, all_that_waits=all_that_waits)
            if self._inbox.stopping:
                return busy
        with self._trainer.database.read() as db:
            row = imports.next_import(db, but=self._retries.pending())
        return busy if row is None else self._import(row) or busy

    def _examine_a_start(self) -> bool:
        """Examine the reference that a user waits for longest to start from; say whether any."""
        database, not_yet = self._trainer.database, self._retries.pending()
        with database.read() as db:
            waiting = [one for one in starts.waiting_starts(db) if _name(one) not in not_yet]
            if not waiting:
                return False
            asked = waiting[0]
            reference = lineages.find_reference(db, asked.reference_id)
        assert reference is not None
        try:
            settled = admitting.examine(self._trainer, asked)
        except Exception:
            delay = self._retries.failed(_name(asked))
            log.exception("%s was not examined; next attempt in %.0f s", reference.name, delay)
            return False
        self._retries.worked(_name(asked))
        number, name, state = reference.number, reference.name, settled.state
        log.info("%s: the start from reference %d is %s", asked.user_id, number, state)
        self._say(asked.user_id, StartEvent(reference=number, name=name, state=state))
        return True

    def _due(self) -> list[tuple[str, bool]]:
        """Return the users to learn from now, and whether from fewer than N preferences too."""
        database, settings = self._trainer.database, self._trainer.settings
        with database.read() as db:
            waiting = preferences.users_with_waiting(db)
            asked = preferences.users_who_asked(db)
        if asked - {user_id for user_id, _, _ in waiting}:
            database.write(preferences.forget_fulfilled_requests)
        flushed_before = time.time() - settings.flush_after_hours * 3600
        not_yet = self._retries.pending()
        due = []
        for user_id, count, oldest in waiting:
            all_that_waits = user_id in asked or oldest <= flushed_before
            enough = count >= settings.coactive.preferences_per_step
            if (enough or all_that_waits) and user_id not in not_yet:
                due.append((user_id, all_that_waits))
        return due

    def _attempt(self, user_id: str, *, all_that_waits: bool) -> bool:
        try:
            version = self._trainer.learn(user_id, all_that_waits=all_that_waits)
        except Exception:
            # One user's trouble must not stop the others.
            delay = self._retries.failed(user_id)
            log.exception("learning for %s failed; next attempt in %.0f s", user_id, delay)
            return False
        self._retries.worked(user_id)
        if version is not None:
            log.info("%s: version %d is %s", user_id, version.number, version.state)
            self._say_of(version)
            self._say_what_was_fallen_back_to(version)
        return version is not None

    def _import(self, row: ImportRow) -> bool:
        try:
            now = self._go_on(row)
        except StoreError as error:
            delay = self._retries.failed(row.id)
            log.warning("import %s goes on in %.0f s: %s", row.id, delay, error)
            return False
        self._retries.worked(row.id)
        if now is not None:
            event = ImportEvent(id=now.id, state=now.state, used=now.used, total=now.total)
            self._say(now.user_id, event)
        return True

    def _go_on(self, row: ImportRow) -> ImportRow | None:
        """Work at a chunk of an import, which fails if it cannot be done; return how it is then."""
        database = self._trainer.database
        try:
            version = importing.go_on(self._trainer, row)
        except StoreError:
            raise
        except Exception as error:
            log.exception("import %s failed", row.id)
            reason = f"{type(error).__name__}: {error}"
            database.write(
                lambda db: imports.update_import(
                    db, row.id, state="failed", error=reason, finished_at=time.time()
                )
            )
        else:
            if version is not None:
                self._say_what_was_fallen_back_to(version)
        with database.read() as db:
            return imports.find_import(db, row.id)

    def _say_what_was_fallen_back_to(self, version: Version) -> None:
        """Say which version serves, where the parent of a rejected one had to go; else nothing.

        Where π_0 serves, it is said that the parent is retired.
        """
        if version.state != "rejected" or version.parent_id is None:
            return
        with self._trainer.database.read() as db:
            serving = lineages.serving_version(db, version.user_id)
            parent = lineages.find_version(db, version.parent_id)
        if parent is not None and parent.state != "serving":
            self._say_of(serving or parent)

    def _say_of(self, version: Version) -> None:
        self._say(version.user_id, VersionEvent(number=version.number, state=version.state))

    def _say(self, user_id: str, event: Event) -> None:
        self._channel.send(("event", (user_id, event)))


def _name(asked: StartRow) -> str:
    """Return what a start is called among the things that failed."""
    return f"start {asked.number}"


def learn_in_background(settings: ServiceSettings, channel: Connection, drafting: Flag) -> None:
    """Load the base model, say that it is ready, and work until told to stop."""
    os.umask(PRIVATE_UMASK)
    set_up_logging(settings)
    if hasattr(os, "nice"):
        os.nice(_LOWER_PRIORITY)
    database = Database.open(settings.database, settings.data_dir)

    def keep(user_id: str) -> None:
        database.write(lambda db: preferences.ask_to_learn(db, user_id, now=time.time()))

    inbox = Inbox(channel, keep)
    base = load_base(settings)
    pacer = Pacer(drafting, inbox, GivingThreads.of(settings.threads).settle)
    trainer = Trainer(base, database, settings, give_way=pacer.give_way)
    _sweep(trainer)
    channel.send(("ready", None))
    Worker(trainer, inbox, channel).run()


def _sweep(trainer: Trainer) -> None:
    """Remove what an earlier learner published and could not register."""
    with trainer.database.read() as db:
        known = lineages.known_folders(db)
    for folder in sweep(trainer.database.path_of(lineages.VERSIONS), known):
        log.info("removed %s, which no version names", folder)

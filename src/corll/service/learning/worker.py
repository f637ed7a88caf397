"""The learner's work: what is to be learned is found in the store, and learned user by user.

It may be killed at any moment, since all that it knows is in the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from corll.errors import LeaseLostError, StoreError
from corll.schemas.events import Event, ImportEvent, StartEvent, VersionEvent
from corll.service.durations import seconds_of
from corll.service.learning import admitting, importing, other_modes, replaying
from corll.service.learning.ageing import delete_old
from corll.service.learning.holding import ALONE, Holding
from corll.service.learning.other_modes import Task
from corll.service.learning.pacing import Flag, NobodyDrafts, Retries
from corll.service.learning.sweeping import Sweep
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, imports, lineages, preferences, replays, starts
from corll.service.store.database import Database
from corll.service.store.imports import ImportRow
from corll.service.store.lineages import Version
from corll.service.store.replays import ReplayRow
from corll.service.store.starts import StartRow
from corll.service.versions.erased_copies import ErasedCopies
from corll.service.versions.forgetting import clean, news_of

log = logging.getLogger(__name__)

_POLL_S = 0.5
_AGES_EVERY_S = 60.0
_STORE_EVERY_S = 60.0
_THE_STORE = "store"


class Told(Protocol):
    """What a learner is told: that there is news, what was asked, and that it is to stop."""

    stopping: bool
    news: threading.Event

    def keep_asked(self) -> None:
        """Write down what was asked and is not written yet. *Raises*: StoreError."""
        ...


class Channel(Protocol):
    """Where a learner says what happens."""

    def send(self, message: tuple[str, Any], /) -> None:
        """Say something: what kind it is, and what."""
        ...


class _OfUser(Protocol):
    """Something that is to be done for a user."""

    @property
    def user_id(self) -> str:
        """The user's id."""
        ...


_Work = TypeVar("_Work", bound=_OfUser)


class _Due(NamedTuple):
    """A user to learn from, and whether from fewer than N preferences too."""

    user_id: str
    all_that_waits: bool


class Worker:
    """Finds what is to be learned, one user after the other, the one who waited longest first.

    Users whom another learner holds are left to it.
    """

    def __init__(
        self,
        trainer: Trainer,
        inbox: Told,
        channel: Channel,
        holding: Holding | None = None,
        drafting: Flag | None = None,
    ) -> None:
        self._trainer, self._inbox, self._channel = trainer, inbox, channel
        self._drafting = drafting or NobodyDrafts()
        self._holding = Holding(trainer.database, ALONE) if holding is None else holding
        self._retries = Retries()
        self._looked_again_at = 0.0
        self._store = _SharedStore(trainer.database)
        trainer.hand_over = self._hand_over

    def _hand_over(self, task: Task) -> Any:
        """Have a task done in another mode, for the user who is held, until told to stop."""
        held = replace(task, lease=self._holding.lease)
        return other_modes.run(
            held,
            is_stopping=lambda: self._inbox.stopping,
            is_drafting=lambda: bool(self._drafting.value),
        )

    def run(self) -> None:
        """Work until told to stop."""
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
        """Examine one start, go on with each replay, take one step for each user, and one chunk of
        one import.

        Nothing else is learned for a user whose replay is open. Say whether there was any.
        """
        self._delete_old_texts()
        self._store.look_after()
        busy = self._each(self._starts(), self._examine, most=1)
        busy |= self._each(self._replays(), self._replay)
        busy |= self._each(self._due(), self._attempt)
        return self._each(self._imports(), self._import, most=1) or busy

    def _each(
        self, found: Iterable[_Work], work: Callable[[_Work], bool], *, most: int | None = None
    ) -> bool:
        """Do work for users whom nobody else holds; say whether there was any.

        No more than `most` are worked for, unless that is None.
        """
        done = 0
        for one in found:
            if self._inbox.stopping:
                break
            try:
                with self._holding.of(one.user_id) as is_held:
                    done += is_held and work(one)
            except LeaseLostError as lost:
                log.info("%s", lost)
            if done == most:
                break
        return done > 0

    def _delete_old_texts(self) -> None:
        """Delete what has grown older than texts may, looked at once a minute."""
        keep_texts = self._trainer.settings.keep_texts
        if keep_texts is None or time.monotonic() < self._looked_again_at:
            return
        database, now = self._trainer.database, time.time()
        self._looked_again_at = time.monotonic() + _AGES_EVERY_S
        for receipt in delete_old(
            database,
            keep_s=seconds_of(keep_texts),
            now=now,
            is_stopping=lambda: self._inbox.stopping,
        ):
            self._channel.send(("erased", [one.id for one in receipt.erased]))
            if (event := news_of(receipt)) is not None:
                self._say(receipt.user, event)

    def _starts(self) -> list[StartRow]:
        """Return the starts that wait for an examination, the oldest first."""
        not_yet = self._retries.pending()
        with self._trainer.database.read() as db:
            waiting = starts.waiting_starts(db)
        return [one for one in waiting if _name(one) not in not_yet]

    def _examine(self, asked: StartRow) -> bool:
        """Examine the reference that a user is to start from; say whether that was done."""
        with self._trainer.database.read() as db:
            if starts.find_start(db, asked.number) != asked:
                return False
            reference = lineages.find_reference(db, asked.reference_id)
        assert reference is not None
        try:
            settled = admitting.examine(self._trainer, asked)
        except LeaseLostError:
            raise
        except Exception:
            delay = self._retries.failed(_name(asked))
            log.exception("%s was not examined; next attempt in %.0f s", reference.name, delay)
            return False
        self._retries.worked(_name(asked))
        number, name, state = reference.number, reference.name, settled.state
        log.info("%s: the start from reference %d is %s", asked.user_id, number, state)
        self._say(asked.user_id, StartEvent(reference=number, name=name, state=state))
        return True

    def _replays(self) -> list[ReplayRow]:
        """Return the replays to go on with, of users who let anything be learned."""
        not_yet = self._retries.pending()
        with self._trainer.database.read() as db:
            users = [(row, accounts.find_user(db, row.user_id)) for row in replays.all_replays(db)]
        return [
            row
            for row, user in users
            if user is not None and user.learn and row.user_id not in not_yet
        ]

    def _replay(self, row: ReplayRow) -> bool:
        with self._trainer.database.read() as db:
            if replays.find_replay(db, row.user_id) != row:
                return False
        try:
            version = replaying.go_on(self._trainer, row)
        except LeaseLostError:
            raise
        except Exception:
            delay = self._retries.failed(row.user_id)
            log.exception("a replay for %s failed; next attempt in %.0f s", row.user_id, delay)
            return False
        self._retries.worked(row.user_id)
        if version is not None:
            log.info("%s: replayed version %d is %s", row.user_id, version.number, version.state)
            self._say_of(version)
        return True

    def _due(self) -> list[_Due]:
        """Return the users to learn from now."""
        database, settings = self._trainer.database, self._trainer.settings
        with database.read() as db:
            waiting = preferences.users_with_waiting(db)
            asked = preferences.users_who_asked(db)
            replayed = {row.user_id for row in replays.all_replays(db)}
        if asked - {user_id for user_id, _, _ in waiting}:
            database.write(preferences.forget_fulfilled_requests)
        flushed_before = time.time() - settings.flush_after_hours * 3600
        not_yet = self._retries.pending()
        due = []
        for user_id, count, oldest in waiting:
            all_that_waits = user_id in asked or oldest <= flushed_before
            enough = count >= settings.coactive.preferences_per_step
            if (enough or all_that_waits) and user_id not in (*not_yet, *replayed):
                due.append(_Due(user_id, all_that_waits))
        return due

    def _attempt(self, due: _Due) -> bool:
        if due not in self._due():  # another learner was quicker
            return False
        user_id = due.user_id
        try:
            version = self._trainer.learn(user_id, all_that_waits=due.all_that_waits)
        except LeaseLostError:
            raise
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

    def _imports(self) -> Iterator[ImportRow]:
        """Yield the imports to go on with; nothing is imported for users with a replay."""
        tried = set(self._retries.pending())
        while True:
            with self._trainer.database.read() as db:
                replayed = {one.user_id for one in replays.all_replays(db)}
                row = imports.next_import(db, but=tried, not_of=replayed)
            if row is None:
                return
            tried.add(row.id)
            yield row

    def _import(self, found: ImportRow) -> bool:
        with self._trainer.database.read() as db:
            row = imports.find_import(db, found.id)
        if row is None or row.state not in ("waiting", "running"):
            return False
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
        except (StoreError, LeaseLostError):
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


class _SharedStore:
    """Looks after a version store that machines share: erased copies, deletions, leftovers."""

    def __init__(self, database: Database) -> None:
        self._database, self._at = database, 0.0
        is_shared = database.versions.is_shared
        self._copies = ErasedCopies(database) if is_shared else None
        self._sweep = Sweep(database)

    def look_after(self) -> None:
        """Remove copies of what was erased elsewhere; once a minute what else is to be removed."""
        if self._copies is None:
            return
        with self._database.read() as db:
            self._copies.look(db)
        if time.monotonic() >= self._at:
            self._at = time.monotonic() + _STORE_EVERY_S
            clean(self._database)
            self._sweep.look()


def _name(asked: StartRow) -> str:
    """Return what a start is called among the things that failed."""
    return f"start {asked.number}"

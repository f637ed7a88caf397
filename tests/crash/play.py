"""One case: a service is killed while two users act, goes on, and is examined."""

from __future__ import annotations

import copy
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from corll.service.store.database import Database
from corll.service.versions.forgetting import clean
from crash import acts, invariants, processes
from crash.acts import ANN, BEN, USERS, Acts, Asked
from crash.cases import Case
from crash.commands import kill_command
from crash.databases import Databases
from crash.ledger import Ledger
from crash.service import Service, WarmParent
from running_service import until

_LATEST_RANDOM_KILL_S = 6.0
_VERSIONS_OF_TEMPLATE = 4
"""So many that the next one makes the first go."""
_IN_FOLDERS = Databases()
_BOTH_SHARE = 0.3
"""How often the server is killed too where its learner died at a point."""


class Template(NamedTuple):
    """A data folder in which two users have learned already, and what they were told."""

    folder: Path
    ledger: Ledger
    database: str | None = None
    has_store: bool = False


class Outcome(NamedTuple):
    """What came of a case. *Units*: seconds.

    `died` names what did, "nothing" where the point was not reached. `recovered_s` is how long it
    took from the start of the server until it drafted; None where that did not die.
    """

    died: str
    recovered_s: float | None
    settled_s: float
    violations: list[str]


def make_template(
    parent: WarmParent,
    model: Path | str,
    folder: Path,
    database: str | None = None,
    *,
    has_store: bool = False,
) -> Template:
    """Make the folder that each case begins with, and fill the database that it copies."""
    ledger = Ledger()
    with _service(parent, model, folder, database, has_store=has_store) as service:
        service.start()
        service.wait_until_ready(learner=True)
        acting = {user: Acts(service, ledger, user, threading.Lock()) for user in USERS}
        for user in USERS:
            acting[user].agree()
        for user in (BEN, *(ANN,) * _VERSIONS_OF_TEMPLATE):
            acting[user].teach()
            wait_until_settled(service)
        service.stop()
    return Template(folder, ledger, database, has_store)


def play(
    parent: WarmParent,
    model: Path | str,
    template: Template,
    case: Case,
    folder: Path,
    databases: Databases = _IN_FOLDERS,
) -> Outcome:
    """Play a case in a copy of the template; its folder stays where something did not hold."""
    _remove(folder)
    shutil.copytree(template.folder, folder)
    with (
        databases.new(template.database) as database,
        _service(parent, model, folder, database, has_store=template.has_store) as service,
    ):
        try:
            outcome = _Playing(service, copy.deepcopy(template.ledger), case).play()
        except Exception as error:
            said = f"{type(error).__name__}: {error}; {service.said()}"
            outcome = Outcome("unknown", None, 0.0, [said])
    if not outcome.violations:
        _remove(folder)
    return outcome


class _Playing:
    """A case that is being played."""

    def __init__(self, service: Service, ledger: Ledger, case: Case) -> None:
        self._service, self._ledger, self._case = service, ledger, case
        self._random = Random(f"{case.kind} {case.point} {case.number}")
        self._violations: list[str] = []

    def play(self) -> Outcome:
        """Kill, go on, and examine."""
        case, service = self._case, self._service
        service.start(die_at=None if case.is_of_command else case.die_at)
        # A learner that is killed while it starts is a case too.
        service.wait_until_ready(learner=case.kind == "named" or self._random.random() < 0.75)
        recovered_s = None
        if case.is_of_command:
            has_died, problems = kill_command(service, case)
            died = "command" if has_died else "nothing"
            self._violations += problems
        else:
            died = self._kill_at_point() if case.kind == "named" else self._kill_at_random()
            recovered_s = self._recover(died)
        began = time.monotonic()
        move_on(service, self._ledger)
        settled_s = time.monotonic() - began
        self._violations += stopped(service, self._ledger)
        return Outcome(died, recovered_s, settled_s, self._violations)

    def _kill_at_point(self) -> str:
        """Have users act until something dies; say what did."""
        service = self._service
        point = self._case.point
        # A deletion takes the versions that a pruning would.
        is_pruning = point == "pruning committed"
        orders = acts.leading_to(point) if is_pruning else acts.shuffled(self._random)
        acts.perform(service, self._ledger, orders)
        until(lambda: service.died or is_settled(service))
        found = service.died
        if found == "learner" and self._random.random() < _BOTH_SHARE:
            service.kill()
            return "both"
        return found or "nothing"

    def _kill_at_random(self) -> str:
        """Have users act, and kill at a random moment; say what was killed."""
        service, whom = self._service, self._random.choice(("server", "learner", "both"))

        def kill() -> None:
            learner = service.learner
            pids: list[int | None] = [service.pid, learner]
            if whom != "both":
                pids = [service.pid if whom == "server" else learner]
            for pid in self._random.sample(pids, len(pids)):
                if pid is not None:
                    processes.kill(pid)

        killer = threading.Timer(self._random.uniform(0, _LATEST_RANDOM_KILL_S), kill)
        killer.start()
        acts.perform(service, self._ledger, acts.shuffled(self._random))
        killer.join()
        return whom

    def _recover(self, died: str) -> float | None:
        """Start the server, or wait for the learner, which comes by itself; return for how long."""
        service = self._service
        if died in ("learner", "nothing"):
            service.wait_until_ready(learner=True)
            return None
        service.kill()
        self._violations += [f"an orphan: {one}" for one in service.orphans()]
        began = time.monotonic()
        service.start(cold=self._case.cold)
        service.wait_until_ready()
        Acts(service, self._ledger, BEN, threading.Lock()).draft()
        return time.monotonic() - began


def is_settled(service: Service) -> bool:
    """Say whether a learner has nothing to do unless it is asked to."""
    with _opened(service) as database:
        return invariants.is_settled(database, at_most=1)


def move_on(service: Service, ledger: Ledger) -> None:
    """See that whatever waits is done, and that both users go on to be learned from."""
    acts.send_again(service, ledger)
    wait_until_settled(service)
    for user in USERS:
        Acts(service, ledger, user, threading.Lock()).teach()
    wait_until_settled(service)


def stopped(service: Service, ledger: Ledger) -> list[str]:
    """Stop a service that has settled; return what does not hold then."""
    service.stop()
    left = [f"left after a stop: {one}" for one in service.orphans()]
    with _opened(service) as database:
        clean(database)  # as the next start does
        return left + invariants.violations(database, ledger)


@contextmanager
def _service(
    parent: WarmParent,
    model: Path | str,
    folder: Path,
    database: str | None,
    *,
    has_store: bool,
) -> Iterator[Service]:
    service = Service(parent, model, folder, {}, database, has_store=has_store)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def _opened(service: Service) -> Iterator[Database]:
    database = Database.open_unchanged(service.database, service.folder, service.versions)
    try:
        yield database
    finally:
        database.close()


def wait_until_settled(service: Service) -> None:
    """Ask for steps until nothing waits. *Raises*: AssertionError where something does for long."""
    with _opened(service) as database:
        ask_until_settled(service, database)


def ask_until_settled(asked: Asked, database: Database, *, every: float = 0.05) -> None:
    """Ask for steps until nothing waits. *Raises*: AssertionError where something does for long."""

    def settled() -> bool:
        if invariants.is_settled(database):
            return True
        for user in invariants.who_waits(database):
            asked.ask("POST", "learn", json={"user": user})
        return False

    until(settled, every=every)


def _remove(folder: Path) -> None:
    """Remove what a case left, with the backups, and the log, that lie beside its folder."""
    for path in folder.parent.glob(f"{folder.name}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

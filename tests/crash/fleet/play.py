"""A round: a fleet on a new database, of which one process after another is killed at random."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import select

from corll.service.learning.holding import Holding
from corll.service.learning.sweeping import sweep
from corll.service.store.database import Database
from corll.service.store.schema import preferences, versions
from crash import processes
from crash.acts import send_again
from crash.fleet.traffic import Gateways, Traffic, told_of
from crash.invariants import violations
from crash.ledger import Ledger
from crash.play import ask_until_settled
from crash.service import WarmParent, store_in
from fleets import Fleet, Process, stop
from patience import PATIENCE_S
from running_service import until

GATEWAYS = ("gateway-1", "gateway-2")
LEARNERS = ("learner-1", "learner-2", "learner-3")
_BETWEEN_KILLS_S = (0.2, 3.0)
_LOOKS_EVERY_S = 0.5


class Round(NamedTuple):
    """So many kills of a fleet that serves so many users; the `number` decides what is random."""

    number: int
    kills: int
    users: int


class Forked:
    """A command of corll that a warm parent forked, to be used as a `Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return None while it runs; how it ended is not known."""
        return None if processes.is_alive(self.pid) else 0

    def terminate(self) -> None:
        """Tell it to end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. *Raises*: TimeoutError."""
        if not processes.wait_for_end(self.pid, within=timeout or PATIENCE_S):
            raise TimeoutError(f"process {self.pid} does not end")
        return 0


def forked_by(parent: WarmParent) -> Callable[[str, Mapping[str, str], Path], Process]:
    """Return what starts the processes of a fleet in no time."""

    def fork(role: str, environment: Mapping[str, str], log: Path) -> Process:
        return Forked(parent.fork([role], environment, log))

    return fork


def play(parent: WarmParent, model: Path, url: str, given: Round, folder: Path) -> dict[str, Any]:
    """Play a round on an empty database; return what came of it, as a line of results."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        opened = Database.open(url, folder / "looking", store_in(folder))
        stack.callback(opened.close)
        fleet = Fleet(model, folder, url, opened, stack, forked_by(parent))
        return _Playing(fleet, given).play()


class _Playing:
    """A round that is being played."""

    def __init__(self, fleet: Fleet, given: Round) -> None:
        self._fleet, self._round = fleet, given
        self._random = Random(f"fleet {given.number}")
        self._ledger = Ledger()
        for name in (*GATEWAYS, *LEARNERS):
            self._start(name)
        clients = [fleet.service(name).http for name in GATEWAYS]
        self._gateways = Gateways(clients, Random(f"gateways {given.number}"))
        users = [f"user-{number}" for number in range(given.users)]
        seed = f"traffic {given.number}"
        self._traffic = Traffic(self._gateways, self._ledger, users, seed)

    def play(self) -> dict[str, Any]:
        """Kill, go on, and examine."""
        began = time.monotonic()
        self._wait_until_ready()
        self._traffic.agree()
        ready_s = time.monotonic() - began
        with self._traffic.going_on():
            kills = [self._kill() for _ in range(self._round.kills)]
            self._wait_until_ready()
        ended = time.monotonic()
        send_again(self._gateways, self._ledger)
        found = []
        try:
            ask_until_settled(self._gateways, self._fleet.opened, every=_LOOKS_EVERY_S)
        except AssertionError as error:
            found.append(f"the queue does not drain: {error}")
        drained_s = time.monotonic() - ended
        for name in (*GATEWAYS, *LEARNERS):
            stop(self._fleet.processes[name])
        found += [f"refused: {one}" for one in self._traffic.refused] + self._violations()
        return {
            **self._round._asdict(),
            "killed": dict(Counter(name for name, _ in kills)),
            "killed_while_starting": sum(not was_ready for _, was_ready in kills),
            **told_of(self._ledger),
            "asked_again": self._traffic.lost,
            **self._made(),
            "ready_s": round(ready_s, 2),
            "drained_s": round(drained_s, 2),
            "took_s": round(time.monotonic() - began, 2),
            "violations": found,
        }

    def _start(self, name: str) -> None:
        self._fleet.start(name, name.partition("-")[0])

    def _wait_until_ready(self) -> None:
        for name in (*GATEWAYS, *LEARNERS):
            until(partial(self._fleet.is_ready, name))

    def _kill(self) -> tuple[str, bool]:
        """Kill one of them at a random moment, and start it again; was it ready?"""
        time.sleep(self._random.uniform(*_BETWEEN_KILLS_S))
        name = self._random.choice((*GATEWAYS, *LEARNERS))
        was_ready = self._fleet.is_ready(name)
        self._fleet.kill(name)
        self._start(name)
        return name, was_ready

    def _violations(self) -> list[str]:
        """Return what does not hold once what the next learner removes is removed."""
        opened = self._fleet.opened
        sweep(opened, Holding(opened, "the examination"))
        return violations(opened, self._ledger, self._fleet.folder)

    def _made(self) -> dict[str, Any]:
        """Return how many versions there are, and the states of preferences."""
        with self._fleet.opened.read() as db:
            states = Counter(db.execute(select(preferences.c.state)).scalars())
            made = Counter(db.execute(select(versions.c.state)).scalars())
        return {"preferences": dict(states), "versions": dict(made)}

"""Gateways and learners as real processes, each on a machine of its own, as far as it can know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from corll.service.doctor.examining import examine
from corll.service.store import accounts, lineages, preferences, replays
from corll.service.store.accounts import LOCAL_NAMESPACE, User
from corll.service.store.database import Database
from crash.invariants import of_learning
from crash.service import SETTINGS, store_in
from patience import PATIENCE_S
from running_service import (
    ADMIN_KEY,
    RunningService,
    environment_of,
    free_port,
    settings_for,
    until,
)


class Process(Protocol):
    """A process that was started, in a session of its own."""

    pid: int

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def spawned(role: str, environment: Mapping[str, str], log: Path) -> Process:
    """Start a process as a user does; what it logs goes where the tests' own errors go."""
    command = [sys.executable, "-c", "from corll.cli import main; main()", role]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )


@dataclass
class Fleet:
    """The processes, by name, and what they share. `settings` are those of every process."""

    model: Path | str
    folder: Path
    url: str
    opened: Database
    stack: ExitStack
    spawn: Callable[[str, Mapping[str, str], Path], Process] = spawned
    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def versions(self) -> str:
        return store_in(self.folder)

    def start(self, name: str, role: str, **more: object) -> None:
        """Start a process with more settings, and a data folder of its own; not waited for."""
        port = self.ports.setdefault(name, free_port())
        given = {**self.settings, "database": self.url, "versions": self.versions}
        given |= {"health_port": port, **more}
        environment = environment_of(self.model, self.folder / name, port, given)
        self.processes[name] = self.spawn(role, environment, self.log_of(name))
        self.stack.callback(stop, self.processes[name])

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def is_ready(self, name: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def service(self, name: str) -> RunningService:
        url = f"http://127.0.0.1:{self.ports[name]}"
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)
        settings = settings_for(Path(self.model), self.folder / name)
        return RunningService(url, settings, self.stack.enter_context(http))

    def kill(self, name: str) -> None:
        """End a process at once, whatever it is doing."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()


def stop(process: Process) -> None:
    if process.poll() is None:
        process.terminate()
    process.wait(PATIENCE_S)


def agree(running: Fleet, service: RunningService, name: str) -> User:
    """Make a user who lets everything be learned."""
    service.draft(user=name)
    service.put(f"users/{name}/consent", {"learn": True})
    with running.opened.read() as db:
        found = accounts.find_user_by_name(db, LOCAL_NAMESPACE, name)
    assert found is not None
    return found


def edited(service: RunningService, name: str, number: int) -> None:
    """Draft and edit as a user."""
    draft = service.draft(f"Parcel {number} is late.", user=name)
    service.post("edits", {"draft_id": draft["id"], "text": f"Sorry about number {number}."})


def learned(running: Fleet, service: RunningService, user: User) -> list[lineages.Version]:
    """Wait until nothing waits; return the serving ancestry, which was taught each edit once."""

    def done() -> bool:
        service.post("learn", {"user": user.name})
        with running.opened.read() as db:
            waits = preferences.count_waiting(db, user.id)
            return not waits and not replays.find_replay(db, user.id)

    until(done)
    with running.opened.read() as db:
        serving = lineages.serving_version(db, user.id)
        line = [] if serving is None else lineages.ancestry(db, serving.id)
        states = {row.state for row in preferences.preferences_of(db, user.id)}
        assert list(of_learning(db, running.opened, user)) == []
    assert states == {"learned"}
    assert examine(running.opened, is_served=True) == []
    return line

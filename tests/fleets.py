"""Gateways and learners as real processes, each on a machine of its own, as far as it can know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from corll.service.doctor.examining import examine
from corll.service.store import accounts, lineages, preferences, replays
from corll.service.store.accounts import LOCAL_NAMESPACE, User
from corll.service.store.database import Database
from corll.service.store.schema import version_preferences
from patience import PATIENCE_S
from running_service import (
    ADMIN_KEY,
    COACTIVE,
    RunningService,
    environment_of,
    free_port,
    settings_for,
    until,
)


@dataclass
class Fleet:
    """The processes, by name, and what they share."""

    model: Path
    folder: Path
    url: str
    opened: Database
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def versions(self) -> str:
        return f"file://{self.folder}/shared"

    def start(self, name: str, role: str, **more: object) -> None:
        """Start a process with more settings, and a data folder of its own; not waited for."""
        port = self.ports.setdefault(name, free_port())
        given = {**COACTIVE, "max_drift": 50, "veto_drafts": 0, "database": self.url}
        given |= {"memory": "none", "serving": "both", "weigh_edits": False}
        given |= {"versions": self.versions, "health_port": port, **more}
        environment = environment_of(self.model, self.folder / name, port, given)
        command = [sys.executable, "-c", "from corll.cli import main; main()", role]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.processes[name] = process
        self.stack.callback(stop, process)

    def is_ready(self, name: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def service(self, name: str) -> RunningService:
        url = f"http://127.0.0.1:{self.ports[name]}"
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)
        settings = settings_for(self.model, self.folder / name)
        return RunningService(url, settings, self.stack.enter_context(http))

    def kill(self, name: str) -> None:
        """End a process at once, whatever it is doing."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()


def stop(process: subprocess.Popen[bytes]) -> None:
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
        ids = {one.id for one in line}
        rows = db.execute(version_preferences.select())
        taught = Counter(row.preference_id for row in rows if row.version_id in ids)
        states = {row.id: row.state for row in preferences.preferences_of(db, user.id)}
    assert set(taught.values()) == {1}
    assert {one for one, state in states.items() if state == "learned"} == set(taught)
    assert set(states.values()) == {"learned"}
    assert examine(running.opened, is_served=True) == []
    return line

"""A service that is backed up while two users send edits, and the service that is restored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from sqlalchemy import select

from corll.cli import main
from corll.service.store.database import Database
from corll.service.store.schema import edits
from running_service import RunningService, running_service, settings_for, until


def send(service: RunningService, user: str, number: int) -> str:
    draft = service.draft(f"Parcel {number} is late.", user=user)
    edit = {"draft_id": draft["id"], "text": f"Sorry, number {number} is on its way."}
    edit_id: str = service.post("edits", edit)["id"]
    return edit_id


def test_it_drafts_and_learns_on_with_every_edit_once(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, backup, there = (tmp_path / name for name in ("here", "backup", "there"))
    stop = Event()
    answered: list[str] = []

    def go_on(service: RunningService, user: str) -> None:
        for number in range(1_000):
            if stop.is_set():
                return
            answered.append(send(service, user, number))

    with running_service(settings_for(tiny_model_folder, here)) as service:
        for user in ("ann", "ben"):
            service.draft(user=user)
            service.put(f"users/{user}/consent", {"store": True, "learn": user == "ann"})
        answered += [send(service, "ann", number) for number in range(2)]
        until(lambda: service.get("users/ann")["serving"] == 1)
        with ThreadPoolExecutor(2) as pool:
            tasks = [pool.submit(go_on, service, user) for user in ("ann", "ben")]
            until(lambda: len(answered) >= 8)
            before = set(answered)
            assert main(["backup", str(here), "--to", str(backup)]) == 0
            stop.set()
            for task in tasks:
                task.result()
        first = service.draft(user="ann", model="ann@1", seed=7)["choices"][0]["message"]
    assert main(["backup", "--verify", str(backup)]) == 0
    assert main(["restore", str(backup), "--to", str(there)]) == 0
    assert main(["doctor", str(there)]) == 0
    assert "Nothing is wrong." in capsys.readouterr().out
    database = Database.open(None, there)
    with database.read() as db:
        found = list(db.execute(select(edits.c.id)).scalars())
    database.close()
    assert before <= set(found) <= set(answered)
    assert len(found) == len(set(found))
    with running_service(settings_for(tiny_model_folder, there)) as service:
        again = service.draft(user="ann", model="ann@1", seed=7)["choices"][0]["message"]
        assert again == first
        until(lambda: httpx.get(f"{service.url}/readyz").json()["learner"] == "ready")
        serving = service.get("users/ann")["serving"]
        for number in range(2):
            send(service, "ann", number)
        until(lambda: service.get("users/ann")["serving"] > serving)

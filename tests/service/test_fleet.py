"""Two gateways and two learners on one PostgreSQL and one store of versions: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from corll.service.store import fleet
from corll.service.store.database import Database
from fleets import Fleet, agree, edited, learned
from patience import PATIENCE_S
from postgres_server import new_database
from running_service import (
    environment_of,
    free_port,
    until,
)

GATEWAYS, LEARNERS = ("gateway-1", "gateway-2"), ("learner-1", "learner-2")


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, tiny_model_folder: Path
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with new_database(postgres_url) as url, ExitStack() as stack:
        opened = Database.open(url, folder / "looking", f"file://{folder}/shared")
        stack.callback(opened.close)
        made = Fleet(tiny_model_folder, folder, url, opened, stack)
        for name in (*GATEWAYS, *LEARNERS):
            made.start(name, name.partition("-")[0])
        for name in (*GATEWAYS, *LEARNERS):
            until(lambda name=name: made.is_ready(name))
        yield made


def test_what_one_gateway_takes_a_learner_learns_and_every_gateway_drafts(running: Fleet) -> None:
    first, second = (running.service(name) for name in GATEWAYS)
    user = agree(running, running.service(GATEWAYS[0]), "ann")
    assert first.http.get("/readyz").json()["learner"] == "ready"
    for number in range(4):
        edited((first, second)[number % 2], "ann", number)
    line = learned(running, first, user)
    for service in (first, second):
        assert service.draft(user="ann")["corll"]["version"] == line[0].number
    # Each machine fetched the version for itself; the data folders hold no other.
    for name in GATEWAYS:
        assert not (running.folder / name / "versions").exists()
        assert (running.folder / name / "version-cache" / str(line[0].folder)).is_dir()
    with running.opened.read() as db:
        assert fleet.count_learners(db) == 2
    shown = [httpx.get(f"http://127.0.0.1:{running.ports[one]}/metrics").text for one in LEARNERS]
    assert any('corll_learner_versions_total{state="serving"}' in one for one in shown)


def test_browsers_of_both_gateways_hear_of_a_version_and_of_edits(running: Fleet) -> None:
    user = agree(running, running.service(GATEWAYS[0]), "eve")
    first, second = (running.service(name) for name in GATEWAYS)
    own = second.with_key(second.post("keys", {"scope": "user", "user": "eve"})["key"])
    heard: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        with own.http.stream("GET", "/v1/events") as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                ready.set()
                if line.startswith("event: "):
                    heard.append(line.removeprefix("event: "))
                if {"edit", "version"} <= set(heard):
                    return

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    assert ready.wait(PATIENCE_S)
    for number in range(2):
        edited(first, "eve", number)
    learned(running, first, user)
    listening.join(PATIENCE_S)
    own.http.close()
    assert {"edit", "version"} <= set(heard)


def test_a_deletion_at_one_gateway_reaches_the_copies_of_the_others(running: Fleet) -> None:
    user = agree(running, running.service(GATEWAYS[0]), "dan")
    first, second = (running.service(name) for name in GATEWAYS)
    for number in range(2):
        edited(first, "dan", number)
    [version] = learned(running, first, user)
    for service in (first, second):
        service.draft(user="dan")
    found = running.folder.glob(f"*/version-cache/{version.folder}")
    copies = [path for path in found if "looking" not in path.parts]  # that cache is the test's own
    assert len(copies) >= 2
    receipt = first.ask("DELETE", "users/dan/model")["receipt"]
    assert receipt["cleaned"]
    until(lambda: not any(path.exists() for path in copies))
    assert not (running.folder / "shared" / str(version.folder)).exists()
    assert second.draft(user="dan")["corll"]["version"] is None


def test_a_gateway_goes_on_with_the_schema_of_a_newer_one_and_starts_on_it(running: Fleet) -> None:
    """As while a release rolls out: one that is running, and one that starts again meanwhile."""
    user = agree(running, running.service(GATEWAYS[0]), "old")
    engine = create_engine(running.opened.url, poolclass=NullPool)
    with engine.begin() as db:
        [before] = db.execute(text("SELECT version_num FROM alembic_version")).scalars()
        db.execute(text("UPDATE alembic_version SET version_num = '9999_newer'"))
        db.execute(text("ALTER TABLE drafts ADD COLUMN of_a_newer VARCHAR"))
        db.execute(text("CREATE TABLE of_a_newer (number INTEGER)"))
    running.kill("gateway-2")
    running.start("gateway-2", "gateway")
    until(lambda: running.is_ready("gateway-2"))
    for number, name in enumerate(GATEWAYS):
        edited(running.service(name), "old", number)
    learned(running, running.service("gateway-2"), user)
    with engine.begin() as db:
        db.execute(text("UPDATE schema_compatibility SET revision = '9999_newer'"))
    refused = _run(running, "gateway")
    assert refused.returncode == 2
    assert "was written by a newer corll" in refused.stderr
    with engine.begin() as db:
        db.execute(text("UPDATE schema_compatibility SET revision = '0017'"))
        db.execute(text(f"UPDATE alembic_version SET version_num = '{before}'"))
    engine.dispose()


def test_a_learner_that_is_told_to_stop_ends_in_order(running: Fleet) -> None:
    process = running.processes["learner-1"]
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    with running.opened.read() as db:
        assert fleet.count_learners(db) == 1


def _run(running: Fleet, role: str, **given: Any) -> subprocess.CompletedProcess[str]:
    settings = {"database": running.url, "versions": running.versions, **given}
    environment = environment_of(running.model, running.folder / "no", free_port(), settings)
    return _corll(role, environment)


def _corll(role: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from corll.cli import main; raise SystemExit(main())", role]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("role", ["gateway", "learner"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --database postgresql://USER@HOST/NAME, or use `corll serve`"),
        ({"database": "postgresql://a@b/c"}, "give --versions s3://BUCKET/FOLDER"),
        ({"database": "postgresql://a@b/c", "versions": "file:///x"}, None),
    ],
)
def test_what_shares_nothing_is_refused_in_words_that_say_what_to_do(
    role: str,
    given: dict[str, str],
    message: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from corll.cli import main

    for name in [name for name in os.environ if name.startswith("CORLL_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(f"CORLL_{name.upper()}", value)
    code = main([role, "--print-config"])
    shown = capsys.readouterr()
    if message is None:
        assert (code, json.loads(shown.out)["versions"]) == (0, "file:///x")
    else:
        assert code == 2
        assert message in shown.err

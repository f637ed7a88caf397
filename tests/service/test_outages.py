"""The database stops, starts again, or takes no changes: what goes on, and what is told.

Drafts go on from what is known. Nothing is acknowledged that is not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, select
from sqlalchemy.exc import InternalError

from corll.service.store import accounts
from corll.service.store.database import Database
from corll.service.store.rows import hash_secret
from corll.service.store.schema import drafts, edits
from postgres_server import PostgresServer, controlled_server, new_database, why_not
from running_service import RunningService, running_service, settings_for, until


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own, which they may stop."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with controlled_server() as running:
        yield running


@pytest.fixture(scope="module")
def service_database(server: PostgresServer) -> Iterator[str]:
    with new_database(server.url) as url:
        yield url


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory, service_database: str
) -> Iterator[RunningService]:
    """A service with a learner."""
    folder = tmp_path_factory.mktemp("outages")
    settings = settings_for(tiny_model_folder, folder, database=service_database)
    with running_service(settings) as running:
        until(lambda: httpx.get(f"{running.url}/readyz").json()["learner"] == "ready")
        yield running


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def read_only_at_once(server: PostgresServer) -> Iterator[None]:
    """Whoever is connected may only read from now on."""
    reload = "SELECT pg_reload_conf()"
    server.run("ALTER SYSTEM SET default_transaction_read_only = on", reload)
    try:
        until(lambda: _only_reads(server))
        yield
    finally:
        undo = "SET default_transaction_read_only = off"
        server.run(undo, "ALTER SYSTEM RESET default_transaction_read_only", reload)
        until(lambda: not _only_reads(server))


def _only_reads(server: PostgresServer) -> bool:
    try:
        server.run("CREATE TABLE probe (id INTEGER)", "DROP TABLE probe")
    except InternalError:
        return True
    return False


@contextmanager
def failed_over(server: PostgresServer) -> Iterator[None]:
    """All who connect now may only read, and still may when others may write again."""
    with new_database_setting(server, "default_transaction_read_only = on"):
        _disconnect_all(server)
        yield


@contextmanager
def new_database_setting(server: PostgresServer, setting: str) -> Iterator[None]:
    name = _names[server.url]
    server.run(f"ALTER DATABASE {name} SET {setting}")
    try:
        yield
    finally:
        server.run(f"ALTER DATABASE {name} RESET {setting.split()[0]}")


def _disconnect_all(server: PostgresServer) -> None:
    others = "datname IS NOT NULL AND pid <> pg_backend_pid()"
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


_names: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _named(server: PostgresServer, service_database: str) -> None:
    _names[server.url] = str(make_url(service_database).database)


OUTAGES = pytest.mark.parametrize("outage", [stopped, read_only_at_once, failed_over])


def edit_of(draft: dict[str, Any], text: str) -> dict[str, Any]:
    return {"draft_id": draft["id"], "text": text}


@OUTAGES
def test_drafts_go_on_edits_are_told_to_wait_and_all_is_well_afterwards(
    service: RunningService,
    server: PostgresServer,
    store: Database,
    outage: Callable[[PostgresServer], Any],
) -> None:
    name = f"ann-{outage.__name__}"
    before = service.draft(user=name)
    assert before["corll"]["stored"]
    with outage(server):
        meanwhile = service.draft("It is away.", user=name)
        assert meanwhile["choices"][0]["message"]["content"]
        assert meanwhile["corll"]["stored"] is False
        for draft in (before, meanwhile):
            refused = service.http.post("/v1/edits", json=edit_of(draft, "Sorry."))
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["code"] == "store_unavailable"
            assert int(refused.headers["retry-after"]) >= 1
        assert service.http.get("/healthz").status_code == 200

    def taken(draft: dict[str, Any]) -> str | None:
        answer = service.http.post("/v1/edits", json=edit_of(draft, "Sorry."))
        assert answer.status_code in (200, 503), answer.text
        return answer.json()["id"] if answer.status_code == 200 else None

    ids = [until(lambda draft=draft: taken(draft)) for draft in (before, meanwhile)]
    with store.read() as db:
        for draft, edit in zip((before, meanwhile), ids, strict=True):
            kept = db.execute(select(edits.c.id).where(edits.c.draft_id == draft["id"])).scalars()
            assert list(kept) == [edit]
            stored = select(drafts.c.status).where(drafts.c.id == draft["id"])
            assert db.execute(stored).scalar_one() == "complete"
    assert service.http.get("/readyz").json()["status"] == "ready"


def test_a_named_version_that_was_asked_for_goes_on(
    service: RunningService, server: PostgresServer
) -> None:
    service.draft(user="named")
    service.put("users/named/consent", {"learn": True})
    for number in range(2):
        draft = service.draft(f"Parcel {number} is late.", user="named")
        service.post("edits", edit_of(draft, f"Sorry for number {number}."))
    until(lambda: service.get("users/named/adapters")["data"])
    before = service.draft(model="named@1")
    with stopped(server):
        meanwhile = service.draft("It is away.", model="named@1")
        assert meanwhile["corll"]["version"] == before["corll"]["version"] == 1
        body = {"model": "named@2", "messages": [{"role": "user", "content": "x"}]}
        assert service.http.post("/v1/chat/completions", json=body).status_code == 503


def test_whom_nobody_knows_cannot_be_drafted_for(
    service: RunningService, server: PostgresServer
) -> None:
    body = {"model": "corll", "messages": [{"role": "user", "content": "x"}], "user": "nobody yet"}
    with stopped(server):
        for http in (service.http, service.with_key("no key").http):
            answer = http.post("/v1/chat/completions", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                503,
                "store_unavailable",
            )
            assert "retry-after" in answer.headers


def test_a_key_that_was_revoked_elsewhere_does_not_come_back(
    service: RunningService, server: PostgresServer, store: Database
) -> None:
    made = service.post("keys", {"scope": "user", "user": "rita"})
    rita = service.with_key(made["key"])
    rita.draft()
    known: Any = ("key", hash_secret(made["key"]))
    assert service.services.known.find(known) is not None
    store.write(lambda db: accounts.revoke_key(db, made["id"], actor="a", now=1.0))
    until(lambda: service.services.known.find(known) is None)
    with stopped(server):
        answer = rita.http.post(
            "/v1/chat/completions",
            json={"model": "corll", "messages": [{"role": "user", "content": "x"}]},
        )
        assert answer.status_code == 503
    until(lambda: rita.http.get("/v1/models").status_code == 401)


def test_every_edit_that_was_acknowledged_is_kept_once_however_often_it_stops(
    service: RunningService, server: PostgresServer, store: Database
) -> None:
    """And the learner learns from all of them."""
    service.draft(user="ben")
    service.put("users/ben/consent", {"learn": True})
    made = [service.draft(f"No. {number}", user="ben") for number in range(8)]
    waiting, lock = list(made), threading.Lock()
    acknowledged: list[str] = []
    ending = threading.Event()

    def send() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                draft = waiting.pop()
            while True:
                answer = service.http.post("/v1/edits", json=edit_of(draft, "Sorry."))
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, answer.text
            acknowledged.append(answer.json()["id"])

    def stop_again_and_again() -> None:
        while not ending.is_set():
            so_far = len(acknowledged)
            server.stop()
            server.start()
            until(lambda so_far=so_far: len(acknowledged) > so_far or ending.is_set())

    threads = [threading.Thread(target=send) for _ in range(4)]
    stopping = threading.Thread(target=stop_again_and_again)
    for thread in (stopping, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ending.set()
    stopping.join()
    with store.read() as db:
        theirs = edits.c.draft_id.in_([draft["id"] for draft in made])
        kept = list(db.execute(select(edits.c.id).where(theirs)).scalars())
    assert sorted(kept) == sorted(acknowledged)
    assert len(set(kept)) == 8

    def learned() -> bool:
        answer = service.http.post("/v1/learn", json={"user": "ben"})
        return answer.status_code == 200 and answer.json()["waiting"] == 0

    until(learned)
    states = {service.get(f"edits/{one}")["state"] for one in acknowledged}
    assert states == {"serving"}

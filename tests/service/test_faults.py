"""What is answered where a part of the service cannot do its work."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from corll.service.learning.supervisor import Supervisor
from corll.service.logs import JsonLines
from corll.service.server import running_app
from corll.service.store import accounts, engines
from patience import PATIENCE_S
from running_service import ADMIN_KEY, RunningService, running_service, settings_for, until
from service_server import serve

HEADERS = {"authorization": f"Bearer {ADMIN_KEY}"}
DRAFT: Any = {"model": "corll", "messages": [{"role": "user", "content": "Of xylophones."}]}


@pytest.fixture
def app(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FastAPI]:
    """An app of the test's own, which waits for no lock."""
    monkeypatch.setattr(engines, "PATIENCE_S", 0)
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, log_texts=True)
    with running_app(settings) as made:
        yield made


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The log's lines, once the block has ended."""
    lines: list[dict[str, Any]] = []
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonLines(texts=True))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        lines += [json.loads(line) for line in handler.stream.getvalue().splitlines()]


def test_a_server_that_cannot_draft_is_not_ready(app: FastAPI) -> None:
    with TestClient(app, headers=HEADERS) as client:
        assert client.get("/readyz").status_code == 200
        app.state.services.drafter.close()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "unavailable",
            "drafting": "down",
            "store": "ok",
            "learner": "off",
        }
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/chat/completions", json=DRAFT).status_code == 429


def test_a_locked_database_is_a_503_and_no_loss(app: FastAPI) -> None:
    services = app.state.services
    with TestClient(app, headers=HEADERS) as client:
        draft = client.post("/v1/chat/completions", json=DRAFT).json()
        edit = {"draft_id": draft["id"], "text": "Of nothing else."}
        with closing(sqlite3.connect(services.database.url.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = client.post("/v1/edits", json=edit)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert "try again" in answer.json()["error"]["message"]
        assert answer.headers["x-request-id"]
        assert client.post("/v1/edits", json=edit).status_code == 200


def test_a_full_disk_is_a_503_and_quotes_no_text(app: FastAPI) -> None:
    services = app.state.services
    with TestClient(app, headers=HEADERS) as client:
        draft = client.post("/v1/chat/completions", json=DRAFT).json()
        edit = {"draft_id": draft["id"], "text": "Of xylophones alone. " * 9_000}
        services.writer.submit(lambda db: db.exec_driver_sql("PRAGMA max_page_count = 1")).result()
        with logged() as lines:
            answer = client.post("/v1/edits", json=edit)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert "free some space" in answer.json()["error"]["message"]
        assert "xylophones" not in answer.text + json.dumps(lines)
        services.writer.submit(
            lambda db: db.exec_driver_sql("PRAGMA max_page_count = 100000")
        ).result()
        assert client.post("/v1/edits", json=edit).status_code == 200


def test_a_full_queue_is_a_429_that_says_when_to_come_again(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Supervisor, "set_drafting", lambda self, busy: gate.wait(PATIENCE_S))
    settings = settings_for(tiny_model_folder, tmp_path, learn=False, max_waiting=1)
    with running_service(settings) as service, ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(service.draft)
            until(lambda: "corll_drafts_under_way 1.0" in service.http.get("/metrics").text)
            refused = service.http.post("/v1/chat/completions", json=DRAFT)
        finally:
            gate.set()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "engine_overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert first.result()["choices"]


def test_the_log_holds_texts_where_it_may(app: FastAPI) -> None:
    with TestClient(app, headers=HEADERS) as client, logged() as lines:
        answer = client.post("/v1/chat/completions", json=DRAFT)
        draft = answer.json()
        sent = {"draft_id": draft["id"], "text": "Of lyres."}
        edit = client.post("/v1/edits", json=sent).json()
        client.post("/v1/chat/completions", json={**DRAFT, "store": False})
    (drafted,) = [line for line in lines if line["message"] == "draft"]
    assert drafted["draft_id"] == draft["id"]
    assert drafted["texts"] == [draft["choices"][0]["message"]["content"]]
    (edited,) = [line for line in lines if line["message"] == "edit"]
    assert (edited["edit_id"], edited["text"]) == (edit["id"], edit["text"])
    (prompt,) = [line for line in lines if line["message"] == "prompt"]
    assert "xylophones" in json.dumps(prompt["prompt"])
    (request, *_) = [line for line in lines if line["message"] == "request"]
    assert prompt["request_id"] == request["request_id"] == answer.headers["x-request-id"]


def test_the_traceback_of_a_fault_has_the_requests_id(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(accounts, "users_of", broken)
    with logged() as lines:
        answer = service.http.get("/v1/users")
    assert answer.status_code == 500
    told = [line for line in lines if "traceback" in line]
    assert [line["request_id"] for line in told] == [answer.headers["x-request-id"]]
    assert "a fault of ours" in told[0]["traceback"]


def test_a_fault_in_mid_answer_ends_the_connection_and_is_told_once(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pieces() -> AsyncIterator[str]:
        yield "a beginning"
        raise RuntimeError("a fault of ours")

    app.add_api_route("/broken", lambda: StreamingResponse(pieces()))
    with logged() as lines, serve(app) as url:
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # as `corll serve`
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/broken")
    told = [line for line in lines if "a fault of ours" in line.get("traceback", "")]
    assert len(told) == 1
    assert told[0]["request_id"].startswith("req_")
    (request,) = [line for line in lines if line.get("route") == "/broken"]
    assert request["request_id"] == told[0]["request_id"]

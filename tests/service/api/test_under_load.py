"""Over HTTP, with more to draft than can be drafted at once: who is refused, and who leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from corll.service.drafting.engine import Engine
from corll.service.learning.supervisor import Supervisor
from corll.service.server import running_app
from patience import PATIENCE_S
from running_service import ADMIN_KEY, settings_for, until
from service_server import serve

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]
HEADERS = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What the drafting thread waits for before it draws."""
    opened = threading.Event()
    monkeypatch.setattr(Supervisor, "set_drafting", lambda *_: opened.wait(PATIENCE_S))
    yield opened
    opened.set()


@contextmanager
def served(model: Path, folder: Path, **changes: Any) -> Iterator[tuple[FastAPI, httpx.Client]]:
    settings = settings_for(model, folder, learn=False, **changes)
    with (
        running_app(settings) as app,
        serve(app) as url,
        httpx.Client(base_url=url, headers=HEADERS, timeout=PATIENCE_S) as http,
    ):
        yield app, http


def draft(http: httpx.Client, user: str, **more: Any) -> httpx.Response:
    body = {"model": "corll", "messages": MESSAGES, "safety_identifier": user, **more}
    return http.post("/v1/chat/completions", json=body)


def engine_of(app: FastAPI) -> Engine:
    engine = app.state.services.drafter
    assert isinstance(engine, Engine)
    return engine


def test_one_users_line_is_full_while_another_is_let_in(
    tiny_model_folder: Path, tmp_path: Path, gate: threading.Event
) -> None:
    with (
        served(tiny_model_folder, tmp_path, max_waiting=4) as (app, http),
        ThreadPoolExecutor(4) as pool,
    ):
        taken = [pool.submit(draft, http, "anna") for _ in range(2)]
        until(lambda: engine_of(app).waiting == 2)
        refused = draft(http, "anna")
        taken.append(pool.submit(draft, http, "ben"))
        until(lambda: engine_of(app).waiting == 3)
        told = http.get("/metrics").text
        gate.set()
        assert [one.result().status_code for one in taken] == [200] * 3
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "engine_overloaded")
        assert error["message"].startswith("Too many of your drafts are waiting; ask again in ")
        assert int(refused.headers["retry-after"]) >= 1
        assert "corll_drafts_waiting 3.0" in told
        assert "corll_drafts_refused_total 1.0" in told
        assert "corll_draft_wait_seconds_count 3.0" in http.get("/metrics").text


def test_openais_client_comes_again_when_it_is_told(
    tiny_model_folder: Path, tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served(tiny_model_folder, tmp_path, max_waiting=1) as (app, http),
        ThreadPoolExecutor(1) as pool,
    ):
        first, slept = pool.submit(draft, http, "anna"), list[float]()
        until(lambda: engine_of(app).waiting == 1)

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            gate.set()
            assert first.result().status_code == 200

        address: dict[str, Any] = {"base_url": f"{http.base_url}/v1", "api_key": ADMIN_KEY}
        asked: dict[str, Any] = {"model": "corll", "messages": MESSAGES}
        with (
            openai.OpenAI(**address, max_retries=0) as once,
            pytest.raises(openai.RateLimitError) as refused,
        ):
            once.chat.completions.create(**asked)
        told = float(refused.value.response.headers["retry-after"])
        monkeypatch.setattr("openai._base_client.time", SimpleNamespace(sleep=sleep))
        with openai.OpenAI(**address, max_retries=1) as twice:
            assert twice.chat.completions.create(**asked).choices
        assert slept == [told]


@pytest.mark.parametrize("stream", [False, True])
def test_who_waited_too_long_gets_a_429_streamed_or_not(
    tiny_model_folder: Path, tmp_path: Path, gate: threading.Event, stream: bool
) -> None:
    with (
        served(tiny_model_folder, tmp_path, max_branches=1) as (app, http),
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(draft, http, "anna")
        until(lambda: engine_of(app).waiting == 1)
        asked = pool.submit(draft, http, "anna", stream=stream)
        until(lambda: engine_of(app).waiting == 2)
        engine_of(app)._line.longest_wait = 1e-9
        gate.set()
        answer = asked.result()
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "engine_overloaded"
        assert int(answer.headers["retry-after"]) >= 1
        assert first.result().status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_the_line_is_never_drafted_for(
    tiny_model_folder: Path, tmp_path: Path, gate: threading.Event, stream: bool
) -> None:
    with served(tiny_model_folder, tmp_path) as (app, http), ThreadPoolExecutor(1) as pool:
        stays = pool.submit(draft, http, "anna")
        line = engine_of(app)._line
        until(lambda: len(line) == 1)
        with (
            httpx.Client(base_url=http.base_url, headers=HEADERS, timeout=1) as hasty,
            suppress(httpx.TimeoutException),
        ):
            draft(hasty, "ben", stream=stream)
        until(lambda: any(job.cancelled for job in line._waiting))
        gate.set()
        assert stays.result().status_code == 200
        until(lambda: engine_of(app).under_way == 0)
        assert "corll_draft_wait_seconds_count 1.0" in http.get("/metrics").text
        assert http.get("/v1/users/ben/drafts").json()["data"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_while_a_draft_is_drawn_costs_nothing_more(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """The thread is held before a token until the service has seen that the client is gone."""
    with served(tiny_model_folder, tmp_path) as (app, http):
        engine, held, turns = engine_of(app), threading.Event(), list[int]()

        def before_a_token() -> None:
            turns.append(0)
            if len(turns) == 5:
                held.set()
                until(lambda: engine._sessions[0].jobs[0].cancelled)

        monkeypatch.setattr(engine, "_settle_threads", before_a_token)
        with httpx.Client(base_url=http.base_url, headers=HEADERS, timeout=PATIENCE_S) as hasty:
            more: Any = {"max_tokens": 400, "stop": ["\u0001never"], "stream": stream}
            body = {"model": "base", "messages": MESSAGES, "user": "ben", **more}
            hasty.timeout = httpx.Timeout(2.0)
            with suppress(httpx.TimeoutException):
                hasty.post("/v1/chat/completions", json=body)
        assert held.wait(PATIENCE_S)
        (kept,) = until(lambda: http.get("/v1/users/ben/drafts").json()["data"])
        assert kept["status"] == "cancelled"
        assert len(turns) == 5
        assert engine.under_way == 0

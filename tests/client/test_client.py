"""The client against a small service that answers over HTTP: what is sent, what is read."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from corll.client import AsyncCorll, Corll
from corll.client.calls import Edit, Import, as_item
from corll.errors import ConfigError
from service_server import serve

EDIT = {
    "id": "edit_1",
    "object": "edit",
    "draft_id": "chatcmpl-1",
    "choice": 0,
    "text": "Hello",
    "state": "recorded",
    "accepted": False,
    "edit_cost": 0.4,
    "will_learn": True,
    "reason": None,
    "version": {"number": 3, "state": "serving"},
    "created_at": 12.5,
}
RESULT = {
    "edit_cost_before": {"mean": 0.4, "low": 0.3, "high": 0.5},
    "edit_cost_after": {"mean": 0.3, "low": 0.2, "high": 0.4},
    "change": {"mean": -0.25, "low": -0.5, "high": 0.0},
    "held_out": 4,
    "version": 1,
}
USER = {
    "id": "user_1",
    "name": "anna",
    "consent": {"store": True, "learn": True, "share": False},
    "holdback": 0.1,
    "waiting": 2,
    "serving": None,
    "reference": {"number": 1, "kind": "base", "name": "m"},
    "created_at": 12.5,
}
ANSWERS: dict[str, Any] = {
    "POST /v1/edits": EDIT,
    "GET /v1/edits/edit_1": EDIT,
    "POST /v1/comparisons": {
        "id": "comparison_1",
        "chosen": {"draft_id": "chatcmpl-1", "choice": 1},
        "rejected": {"draft_id": "chatcmpl-1", "choice": 0},
        "state": "recorded",
        "will_learn": True,
        "version": None,
        "created_at": 12.5,
    },
    "POST /v1/learn": {"queued": True, "waiting": 5, "learner": "ready"},
    "POST /v1/imports": {"id": "import_1", "state": "waiting", "total": 2},
    "GET /v1/imports/import_1": {"id": "import_1", "state": "done", "total": 2, "used": 2}
    | {"result": RESULT},
    "GET /v1/users/me": USER,
    "GET /v1/users/anna": USER,
    "PUT /v1/users/me/consent": USER,
    "POST /v1/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "corll",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hi"},
            }
        ],
        "corll": {"version": 3},
    },
}


@dataclass
class Service:
    """Keeps what it was asked; answers from the table, or with a status."""

    url: str = ""
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/v1/page/v1/{path:path}", methods=["POST"])
        async def page(path: str) -> HTMLResponse:
            return HTMLResponse("<p>Welcome</p>")

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
        async def answer(path: str, request: Request) -> JSONResponse:
            body = await request.json() if await request.body() else None
            name = f"{request.method} /{path}"
            self.asked.append((name, dict(request.query_params), body))
            self.keys.append(request.headers["authorization"])
            if self.failures:
                status = self.failures.pop(0)
                error = {"message": "No such draft.", "type": "t", "param": None, "code": "c"}
                return JSONResponse({"error": error}, status)
            return JSONResponse(ANSWERS[name])

        return app


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with serve(service.app()) as url:
        service.url = url
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Corll]:
    with Corll(base_url=service.url, api_key="corll-key") as client:
        yield client


def test_a_draft_and_its_edit(service: Service, client: Corll) -> None:
    draft = client.chat.completions.create(
        model="corll",
        messages=[{"role": "user", "content": "Greet."}],
        safety_identifier="anna",
        extra_body={"num_candidates": 4},
    )
    assert draft.model_extra == {"corll": {"version": 3}}
    edit = client.edits.create(draft_id=draft.id, text="Hello", idempotency_key="k")
    assert isinstance(edit, Edit)
    assert (edit.id, edit.accepted, edit.edit_cost, edit.will_learn) == ("edit_1", False, 0.4, True)
    assert edit.version is not None
    assert (edit.version.number, edit.version.state) == (3, "serving")
    assert client.edits.retrieve("edit_1") == edit
    body = {"draft_id": "chatcmpl-1", "text": "Hello", "choice": 0, "idempotency_key": "k"}
    assert service.asked[1:] == [("POST /v1/edits", {}, body), ("GET /v1/edits/edit_1", {}, None)]
    assert service.asked[0][2]["num_candidates"] == 4


def test_a_backend_names_its_user(service: Service, client: Corll) -> None:
    client.learn("anna")
    client.learn()
    assert service.asked == [
        ("POST /v1/learn", {}, {"user": "anna"}),
        ("POST /v1/learn", {}, {}),
    ]


def test_comparisons_and_learning(service: Service, client: Corll) -> None:
    found = client.comparisons.create(
        chosen={"draft_id": "chatcmpl-1", "choice": 1}, rejected="chatcmpl-1"
    )
    assert (found.chosen.choice, found.rejected.draft_id) == (1, "chatcmpl-1")
    assert service.asked[-1][2] == {
        "chosen": {"draft_id": "chatcmpl-1", "choice": 1},
        "rejected": {"draft_id": "chatcmpl-1"},
    }
    learning = client.learn()
    assert (learning.queued, learning.waiting) == (True, 5)


def test_imports(service: Service, client: Corll) -> None:
    talk = ({"role": "user", "content": "Hi"},)
    items = [as_item("Greet.", "Hello", ""), as_item(talk, "Hello", "Yo")]
    started = client.imports.create(items, user="anna")
    assert (started.state, started.total, started.used, started.result) == ("waiting", 2, 0, None)
    assert service.asked[-1][2] == {
        "items": [
            {"prompt": "Greet.", "sent": "Hello"},
            {"prompt": [{"role": "user", "content": "Hi"}], "sent": "Hello", "draft": "Yo"},
        ],
        "user": "anna",
    }
    done = client.imports.retrieve(started.id)
    assert isinstance(done, Import)
    assert done.result is not None
    assert done.result.change is not None
    assert done.result.edit_cost_before is not None
    assert (done.result.edit_cost_before.mean, done.result.change.low) == (0.4, -0.5)


def test_consent(service: Service, client: Corll) -> None:
    user = client.consent.retrieve(user="anna")
    assert (user.consent.store, user.consent.share, user.holdback) == (True, False, 0.1)
    client.consent.update(learn=False, include_past=True)
    assert service.asked == [
        ("GET /v1/users/anna", {}, None),
        ("PUT /v1/users/me/consent", {}, {"learn": False, "include_past": True}),
    ]


def test_faults_are_those_of_openai(service: Service, client: Corll) -> None:
    service.failures = [404]
    with pytest.raises(openai.NotFoundError, match="No such draft"):
        client.edits.retrieve("edit_1")


def test_edits_are_repeated_and_imports_are_not(service: Service, client: Corll) -> None:
    service.failures = [503]
    assert client.edits.create(draft_id="d", text="t").id == "edit_1"
    service.failures = [503]
    with pytest.raises(openai.InternalServerError):
        client.imports.create([])
    assert [name for name, *_ in service.asked] == ["POST /v1/edits"] * 2 + ["POST /v1/imports"]


def test_another_server(client: Corll) -> None:
    with pytest.raises(ConfigError, match="not a service of corll"):
        client.with_options(base_url=f"{client.base_url}page").learn()


def test_ids_stay_in_their_place(service: Service, client: Corll) -> None:
    service.failures = [404]
    with pytest.raises(openai.NotFoundError):
        client.edits.retrieve("../users/me?x")
    assert service.asked[0][0].startswith("GET /v1/edits/")


def test_awaited(service: Service) -> None:
    async def use() -> tuple[Any, ...]:
        async with AsyncCorll(base_url=service.url, api_key="corll-key") as client:
            return (
                await client.edits.create(draft_id="d", text="t"),
                await client.edits.retrieve("edit_1"),
                await client.comparisons.create(chosen="a", rejected="b"),
                await client.learn(),
                await client.imports.create([]),
                await client.imports.retrieve("import_1"),
                await client.consent.retrieve(),
                await client.consent.update(store=True),
            )

    edit, *others = asyncio.run(use())
    assert isinstance(edit, Edit)
    assert len(others) == len(service.asked) - 1 == 7


def test_url_and_key(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.delenv("CORLL_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="CORLL_API_KEY"):
        Corll(base_url=service.url)
    monkeypatch.setenv("CORLL_API_KEY", "corll-key")
    monkeypatch.setenv("CORLL_BASE_URL", f"{service.url}/v1/")
    with Corll(max_retries=0) as client:
        assert client.learn().queued
        assert client.with_options(timeout=5).learn().queued
    monkeypatch.delenv("CORLL_BASE_URL")
    with Corll() as client:
        assert str(client.base_url) == "http://127.0.0.1:8377/v1/"
    assert set(service.keys) == {"Bearer corll-key"}


def test_help_is_that_of_the_call(client: Corll) -> None:
    assert list(inspect.signature(client.edits.create).parameters) == [
        *("draft_id", "text", "choice", "idempotency_key")
    ]
    assert "accepts it" in str(client.edits.create.__doc__)
    assert inspect.signature(AsyncCorll(api_key="k").edits.retrieve).return_annotation is Edit


def test_without_openai() -> None:
    code = "import sys; sys.modules['openai'] = None; import corll.client.client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install openai" in done.stderr

"""The client against a real service on a tiny model: what is sent, and what is read."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import openai
import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corll.client import AsyncCorll, Corll
from corll.client.calls import as_item
from corll.errors import ConfigError
from corll.service.server import running_app
from corll.service.store import imports
from corll.service.store.database import Database
from corll_client.answers import Comparison, Edit, EditEvent, Import, Learning, User
from running_service import ADMIN_KEY, settings_for
from service_server import serve

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]
RESULT = {
    "held_out": 4,
    "version": 1,
    "edit_cost_before": {"mean": 0.4, "low": 0.3, "high": 0.5},
    "edit_cost_after": {"mean": 0.3, "low": 0.2, "high": 0.4},
    "change": None,
}


@dataclass
class Wire:
    """Stands before the service: notes what it is asked, and fails as a proxy does when told to."""

    app: ASGIApp
    data_dir: Path
    url: str = ""
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    failures: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["raw_path"].decode()
        query = dict(parse_qsl(scope["query_string"].decode()))
        self.asked.append((f"{scope['method']} {path}", query, json.loads(body) if body else None))
        self.keys.append(dict(scope["headers"])[b"authorization"].decode())
        if self.failures:
            self.failures -= 1
            await JSONResponse({"error": {"message": "Try again."}}, 503)(scope, receive, send)
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(given, None) or await receive()

        await self.app(scope, again, send)


@pytest.fixture(scope="module")
def running(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("client")
    settings = settings_for(tiny_model_folder, folder, learn=False)
    with running_app(settings) as app:
        wire = Wire(app, folder)
        with serve(wire) as url:
            wire.url = url
            yield wire


@pytest.fixture
def wire(running: Wire) -> Wire:
    """The service, of which nothing was asked yet."""
    running.asked.clear()
    running.keys.clear()
    running.failures = 0
    return running


@pytest.fixture
def client(wire: Wire) -> Iterator[Corll]:
    with Corll(base_url=wire.url, api_key=ADMIN_KEY) as client:
        yield client


def draft_of(client: Corll, user: str, **more: Any) -> Any:
    return client.chat.completions.create(
        model="corll", messages=MESSAGES, safety_identifier=user, **more
    )


def agreed(client: Corll, user: str) -> User:
    """A user who lets texts be stored and learned from."""
    draft_of(client, user)
    return client.consent.update(store=True, learn=True, user=user)


def test_a_draft_and_its_edit(wire: Wire, client: Corll) -> None:
    user = agreed(client, "anna")
    draft = draft_of(client, "anna", extra_body={"num_candidates": 4})
    assert wire.asked[-1][2]["num_candidates"] == 4
    assert draft.corll["user"] == user.id
    edit = client.edits.create(draft_id=draft.id, text="Hello", idempotency_key="k")
    assert isinstance(edit, Edit)
    # The edit keeps the spaces that its draft begins with.
    assert (edit.draft_id, edit.choice, edit.text.strip()) == (draft.id, 0, "Hello")
    assert (edit.state, edit.accepted, edit.will_learn) == ("recorded", False, True)
    assert (edit.reason, edit.version) == (None, None)
    assert edit.edit_cost > 0
    assert client.edits.retrieve(edit.id) == edit
    body = {"draft_id": draft.id, "text": "Hello", "choice": 0, "idempotency_key": "k"}
    assert wire.asked[-2:] == [
        ("POST /v1/edits", {}, body),
        (f"GET /v1/edits/{edit.id}", {}, None),
    ]


def test_an_edit_finds_its_draft_without_the_id(wire: Wire, client: Corll) -> None:
    agreed(client, "pia")
    draft = draft_of(client, "pia", metadata={"corll_ref": "ticket-7"})
    text = draft.choices[0].message.content
    talk = [*MESSAGES, {"role": "assistant", "content": text}]
    for way in ({"ref": "ticket-7"}, {"draft_text": f" {text}\n"}, {"messages": talk}):
        edit = client.edits.create(text="Hello", user="pia", **way)
        assert edit.draft_id == draft.id
        assert wire.asked[-1][2] == {**way, "text": "Hello", "choice": 0, "user": "pia"}


def test_an_accepted_and_a_replaced_edit_say_why_they_teach_nothing(client: Corll) -> None:
    agreed(client, "ria")
    draft = draft_of(client, "ria")
    first = client.edits.create(draft_id=draft.id, text="Hello")
    accepted = client.edits.create(draft_id=draft.id, text=draft.choices[0].message.content)
    replaced = client.edits.retrieve(first.id)
    assert (accepted.state, accepted.accepted, accepted.will_learn) == ("accepted", True, False)
    assert accepted.edit_cost == 0
    assert accepted.reason == "The draft was accepted as it is: there is nothing to learn."
    assert (replaced.state, replaced.accepted, replaced.will_learn) == ("replaced", False, False)
    assert replaced.reason == "A later edit of the same draft took its place."


def test_a_backend_names_its_user(wire: Wire, client: Corll) -> None:
    agreed(client, "bea")
    client.consent.update(learn=True)
    wire.asked.clear()
    client.learn("bea")
    client.learn()
    assert wire.asked == [
        ("POST /v1/learn", {}, {"user": "bea"}),
        ("POST /v1/learn", {}, {}),
    ]


def test_comparisons_and_learning(wire: Wire, client: Corll) -> None:
    agreed(client, "cleo")
    draft = draft_of(client, "cleo", n=2)
    found = client.comparisons.create(chosen={"draft_id": draft.id, "choice": 1}, rejected=draft.id)
    assert isinstance(found, Comparison)
    assert (found.chosen.choice, found.rejected.choice) == (1, 0)
    assert found.chosen.draft_id == found.rejected.draft_id == draft.id
    assert (found.state, found.will_learn, found.reason) == ("recorded", True, None)
    assert wire.asked[-1][2] == {
        "chosen": {"draft_id": draft.id, "choice": 1},
        "rejected": {"draft_id": draft.id},
    }
    learning = client.learn("cleo")
    assert isinstance(learning, Learning)
    assert (learning.queued, learning.waiting, learning.learner) == (False, 1, "off")


def test_imports(wire: Wire, client: Corll) -> None:
    agreed(client, "dora")
    talk = ({"role": "user", "content": "Hi"},)
    items = [as_item("Greet.", "Hello", ""), as_item(talk, "Hello", "Yo")]
    started = client.imports.create(items, user="dora")
    assert isinstance(started, Import)
    assert (started.state, started.total, started.used) == ("waiting", 2, 0)
    assert (started.result, started.error, started.finished_at) == (None, None, None)
    assert wire.asked[-1][2] == {
        "items": [
            {"prompt": "Greet.", "sent": "Hello"},
            {"prompt": [{"role": "user", "content": "Hi"}], "sent": "Hello", "draft": "Yo"},
        ],
        "user": "dora",
    }
    assert client.imports.retrieve(started.id) == started


def test_what_an_import_brought(wire: Wire, client: Corll) -> None:
    """As the learner, which is off here, leaves it in the store."""
    agreed(client, "ella")
    started = client.imports.create([as_item("Greet.", "Hello")], user="ella")
    store = Database.open(None, wire.data_dir)
    store.write(
        lambda db: imports.update_import(
            db, started.id, state="done", result=RESULT, finished_at=time.time()
        )
    )
    store.close()
    done = client.imports.retrieve(started.id)
    assert done.state == "done"
    assert done.result is not None
    assert done.result.model_dump(exclude_unset=True) == RESULT
    assert done.result.edit_cost_before is not None
    assert (done.result.edit_cost_before.mean, done.result.surprisal_before) == (0.4, None)


def test_consent(wire: Wire, client: Corll) -> None:
    agreed(client, "fay")
    user = client.consent.update(holdback=0.1, mask="numbers", user="fay")
    assert user.mask == "numbers"
    assert client.consent.retrieve(user="fay").model_dump() == user.model_dump()
    assert (user.consent.store, user.consent.learn, user.consent.share) == (True, True, False)
    assert (user.name, user.holdback, user.waiting, user.serving) == ("fay", 0.1, 0, None)
    wire.asked.clear()
    client.consent.update(learn=False, include_past=True)
    assert wire.asked == [
        ("PUT /v1/users/me/consent", {}, {"learn": False, "include_past": True}),
    ]


def test_users_drafts_and_versions(wire: Wire, client: Corll) -> None:
    user = agreed(client, "ida")
    assert client.users.retrieve("ida").id == user.id
    assert user.id in [one.id for one in client.users.list().data]
    first, second = draft_of(client, "ida"), draft_of(client, "ida")
    page = client.drafts.list(user="ida", limit=1)
    assert ([one.id for one in page.data], page.has_more) == ([second.id], True)
    assert first.id in [one.id for one in client.drafts.list(user="ida", before=second.id).data]
    assert client.drafts.list(user="ida", query="nowhere in it").data == []
    assert client.users.learning("ida").answers == []
    assert client.versions.list("ida").data == []
    assert client.versions.roll_back(0, user="ida").serving is None
    with pytest.raises(openai.NotFoundError):
        client.versions.retrieve(7, user="ida")
    assert wire.asked[-3:] == [
        ("GET /v1/users/ida/adapters", {}, None),
        ("POST /v1/users/ida/adapters/rollback", {}, {"to": 0, "requeue": False}),
        ("GET /v1/users/ida/adapters/7", {}, None),
    ]


def test_events_are_heard(client: Corll) -> None:
    client.consent.update(store=True, learn=True)
    draft = client.chat.completions.create(model="corll", messages=MESSAGES)
    with client.events() as events:
        edit = client.edits.create(draft_id=draft.id, text="Hello")
        heard = next(event for event in events)
    assert isinstance(heard, EditEvent)
    assert (heard.id, heard.state) == (edit.id, "recorded")


def test_events_are_heard_awaited(wire: Wire) -> None:
    async def use() -> tuple[Any, str]:
        async with AsyncCorll(base_url=wire.url, api_key=ADMIN_KEY) as client:
            await client.consent.update(store=True, learn=True)
            draft = await client.chat.completions.create(model="corll", messages=MESSAGES)
            async with await client.events() as events:
                edit = await client.edits.create(draft_id=draft.id, text="Hello")
                return await anext(aiter(events)), edit.id

    heard, id = asyncio.run(use())
    assert isinstance(heard, EditEvent)
    assert heard.id == id


def test_faults_are_those_of_openai(client: Corll) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no such edit") as fault:
        client.edits.retrieve("edit_1")
    assert fault.value.code == "not_found"
    agreed(client, "gil")
    client.consent.update(store=False, user="gil")
    draft = draft_of(client, "gil")
    with pytest.raises(openai.PermissionDeniedError, match="not stored") as refusal:
        client.edits.create(draft_id=draft.id, text="Hello")
    assert refusal.value.code == "consent_required"


def test_edits_are_repeated_and_imports_are_not(wire: Wire, client: Corll) -> None:
    agreed(client, "hana")
    draft = draft_of(client, "hana")
    wire.asked.clear()
    wire.failures = 1
    assert client.edits.create(draft_id=draft.id, text="Hello").draft_id == draft.id
    wire.failures = 1
    with pytest.raises(openai.InternalServerError):
        client.imports.create([as_item("Greet.", "Hello")], user="hana")
    assert [name for name, *_ in wire.asked] == ["POST /v1/edits"] * 2 + ["POST /v1/imports"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (HTMLResponse("<p>Welcome</p>"), "the answer: "),
        (JSONResponse({"object": "learn", "queued": True, "learner": "off"}), "waiting: "),
        (JSONResponse([1]), "the answer: "),
    ],
)
def test_another_server(answer: Any, problem: str) -> None:
    app = FastAPI()
    app.add_api_route("/v1/learn", lambda: answer, methods=["POST"], response_model=None)
    with (
        serve(app) as url,
        Corll(base_url=url, api_key="k") as client,
        pytest.raises(ConfigError, match="not a service of corll") as error,
    ):
        client.learn()
    assert problem in str(error.value)


def test_ids_stay_in_their_place(wire: Wire, client: Corll) -> None:
    with pytest.raises(openai.NotFoundError):
        client.edits.retrieve("../users/me?x")
    assert wire.asked[0][0].startswith("GET /v1/edits/")


def test_awaited(wire: Wire) -> None:
    async def use() -> tuple[Any, ...]:
        async with AsyncCorll(base_url=wire.url, api_key=ADMIN_KEY) as client:
            draft = await client.chat.completions.create(model="corll", messages=MESSAGES, n=2)
            sides = [{"draft_id": draft.id, "choice": choice} for choice in (0, 1)]
            return (
                await client.consent.update(store=True, learn=True),
                edit := await client.edits.create(draft_id=draft.id, text="t"),
                await client.edits.create(draft_text=draft.choices[0].message.content, text="t"),
                await client.edits.retrieve(edit.id),
                await client.comparisons.create(chosen=sides[0], rejected=sides[1]),
                await client.learn(),
                started := await client.imports.create([as_item("Greet.", "Hello")]),
                await client.imports.retrieve(started.id),
                await client.consent.retrieve(),
            )

    found = asyncio.run(use())
    kinds = (User, Edit, Edit, Edit, Comparison, Learning, Import, Import, User)
    assert tuple(map(type, found)) == kinds
    assert len(wire.asked) == 1 + len(kinds)


def test_url_and_key(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.delenv("CORLL_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="CORLL_API_KEY"):
        Corll(base_url=wire.url)
    monkeypatch.setenv("CORLL_API_KEY", ADMIN_KEY)
    monkeypatch.setenv("CORLL_BASE_URL", f"{wire.url}/v1/")
    with Corll(max_retries=0) as client:
        user = agreed(client, "default")
        assert client.consent.retrieve() == user
        assert client.with_options(timeout=5).consent.retrieve() == user
    monkeypatch.delenv("CORLL_BASE_URL")
    with Corll() as client:
        assert str(client.base_url) == "http://127.0.0.1:8377/v1/"
    assert set(wire.keys) == {f"Bearer {ADMIN_KEY}"}


def test_help_is_that_of_the_call(client: Corll) -> None:
    assert list(inspect.signature(client.edits.create).parameters) == [
        *("text", "draft_id", "ref", "draft_text", "messages", "choice", "user", "idempotency_key")
    ]
    assert "accepts it" in str(client.edits.create.__doc__)
    assert inspect.signature(AsyncCorll(api_key="k").edits.retrieve).return_annotation is Edit


def test_without_openai() -> None:
    code = "import sys; sys.modules['openai'] = None; from corll.client import Corll"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install openai" in done.stderr

"""Two users and an admin ask whatever can be asked, in any order: nothing of one reaches the other,
and nobody learns which ids there are.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from made_up_requests import operations, with_real
from sqlalchemy import Engine, event

from corll.service.news import READYING
from patience import PATIENCE_S
from running_service import ADMIN_KEY, RunningService

PLANTED = {"anna": "AARDVARK of anna", "bert": "BUMBLEBEE of bert"}
"""What each of them writes, and nobody else may ever read."""

_ID = re.compile(r"\b(?:[a-z]+_[0-9A-Za-z]{24}|chatcmpl-[0-9A-Za-z]{24}|cmpl-[0-9A-Za-z]{24})\b")
_ENDS_A_KEY = {"DELETE /v1/keys/{key_id}", "POST /v1/keys/{key_id}/rotate"}


class People:
    """Who asks, by name, and the ids that anybody was told."""

    def __init__(self, service: RunningService) -> None:
        made = {
            name: service.post("keys", {"scope": "user", "user": f"{name} of two"})
            for name in PLANTED
        }
        self.keys = {"admin": ADMIN_KEY, **{name: key["key"] for name, key in made.items()}}
        self.clients = {
            name: service.http if name == "admin" else service.with_key(key).http
            for name, key in self.keys.items()
        }
        self.users = {name: key["user_id"] for name, key in made.items()}
        self.ids: dict[str, list[str]] = {}
        self.told: dict[str, int] = {}
        for name, client in self.clients.items():
            if name != "admin":
                self._begin(client, PLANTED[name])

    def _begin(self, client: httpx.Client, text: str) -> None:
        """Write drafts, an edit and an import, so that there is something to find."""
        consent = client.put("/v1/users/me/consent", json={"store": True, "learn": True})
        assert consent.status_code == 200
        body = {"model": "corll", "messages": [{"role": "user", "content": text}], "max_tokens": 2}
        draft = client.post("/v1/chat/completions", json={**body, "n": 2})
        edit = client.post("/v1/edits", json={"draft_id": draft.json()["id"], "text": text})
        items = [{"prompt": text, "sent": text}]
        begun = client.post("/v1/imports", json={"items": items})
        for answer in (draft, edit, begun, client.get("/v1/users/me")):
            self.hear(answer)

    def hear(self, answer: httpx.Response) -> None:
        """Keep the ids of an answer, by their kind."""
        for found in _ID.findall(answer.text):
            kind = re.split("[_-]", found)[0]
            known = self.ids.setdefault(kind, [])
            if found not in known:
                known.append(found)


@pytest.fixture(scope="module")
def people(service: RunningService) -> People:
    return People(service)


ASKED = [
    ("GET", "edits/{edit}", None),
    ("DELETE", "edits/{edit}", None),
    ("POST", "edits", {"draft_id": "{draft}", "text": "Mine."}),
    ("POST", "comparisons", {k: {"draft_id": "{draft}"} for k in ("chosen", "rejected")}),
    ("DELETE", "drafts/{draft}", None),
    ("GET", "imports/{import}", None),
    ("GET", "users/{user}", None),
    ("DELETE", "users/{user}", None),
    ("DELETE", "users/{user}/texts", None),
    ("DELETE", "users/{user}/model", None),
    ("GET", "users/{user}/deletions", None),
    ("GET", "users/{user}/learning", None),
    ("POST", "users/{user}/adapters/rollback", {"to": 0}),
    ("GET", "users/{user}/export", None),
    ("GET", "users/{user}/drafts", None),
    ("GET", "users/{user}/memory", None),
    ("PUT", "users/me/memory/{edit}", {"mark": "pinned"}),
    ("PUT", "users/{user}/consent", {"learn": True}),
    ("GET", "users/{user}/adapters", None),
    ("GET", "deletions/{deletion}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ASKED, ids=[f"{m} {p}" for m, p, _ in ASKED])
def test_an_id_of_another_is_answered_as_one_that_is_not_there(
    people: People, method: str, path: str, body: Any
) -> None:
    """By status, words, headers and what the database is asked, so in the same time too."""
    real = {
        "edit": of_anna(people, "edits"),
        "draft": of_anna(people, "drafts"),
        "import": of_anna(people, "imports"),
        "user": people.users["anna"],
        "deletion": of_anna(people, "deletions"),
    }
    seen = []
    for ids in (real, {name: found[:-12] + "0" * 12 for name, found in real.items()}):
        asked = None if body is None else json.loads(filled(json.dumps(body), ids))
        with statements() as counted:
            answer = people.clients["bert"].request(method, f"/v1/{filled(path, ids)}", json=asked)
        words = answer.text
        for one in ids.values():
            words = words.replace(one, "…")
        seen.append((answer.status_code, words, sorted(answer.headers), counted))
    assert seen[0][0] == 404
    assert seen[0] == seen[1]


def of_anna(people: People, kind: str) -> str:
    """The id of a thing of anna's that is there."""
    anna = people.clients["anna"]
    if kind == "drafts":
        return str(fresh_draft(anna)["id"])
    if kind == "edits":
        body = {"draft_id": fresh_draft(anna)["id"], "text": PLANTED["anna"]}
        return str(anna.post("/v1/edits", json=body).json()["id"])
    if kind == "imports":
        items = [{"prompt": "Where?", "sent": "Here."}]
        anna.put("/v1/users/me/consent", json={"store": True, "learn": True})
        return str(anna.post("/v1/imports", json={"items": items}).json()["id"])
    body = {"draft_id": fresh_draft(anna)["id"], "text": PLANTED["anna"]}
    edit = anna.post("/v1/edits", json=body).json()["id"]
    return str(anna.delete(f"/v1/edits/{edit}").json()["receipt"]["id"])


def fresh_draft(client: httpx.Client) -> Any:
    client.put("/v1/users/me/consent", json={"store": True, "learn": True})
    messages = [{"role": "user", "content": PLANTED["anna"]}]
    body = {"model": "corll", "messages": messages, "max_tokens": 2}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def filled(text: str, ids: dict[str, str]) -> str:
    for name, found in ids.items():
        text = text.replace(f"{{{name}}}", found)
    return text


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements of all databases meanwhile, without their values.

    What the service asks by itself while it watches the database is left out.
    """
    found: list[str] = []

    def note(_db: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name not in ("watch", "fleet news", READYING):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_whatever_is_asked_nothing_of_one_reaches_the_other(
    service: RunningService, people: People
) -> None:
    known = operations(service)
    strategies = {name: one.as_strategy() for name, one in known.items()}

    class Asking(RuleBasedStateMachine):
        @rule(
            who=st.sampled_from(["admin", *PLANTED, *PLANTED]),
            name=st.sampled_from(sorted(known)),
            data=st.data(),
        )
        def ask(self, who: str, name: str, data: st.DataObject) -> None:
            if who == "admin" and name in _ENDS_A_KEY:
                return  # of those who ask here
            case = data.draw(strategies[name])
            real = named(data, people, who)
            case.path_parameters = with_real(case.path_parameters, real)
            if isinstance(case.body, dict):
                case.body = with_real(case.body, real)
            headers = {"authorization": f"Bearer {people.keys[who]}"}
            answer = case.call(headers=headers, timeout=PATIENCE_S)
            assert answer.status_code < 500, (who, case, answer.text)
            described = known[name].definition.raw["responses"]
            assert str(answer.status_code) in described, (who, case, answer.text)
            people.told[who] = people.told.get(who, 0) + (answer.status_code == 200)
            for other, text in PLANTED.items():
                if other != who != "admin":
                    assert text not in answer.text, (who, case)
            people.hear(answer)

    examples = int(os.environ.get("CORLL_FUZZ_EXAMPLES", 6))
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Asking,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert all(people.told[who] > 0 for who in people.keys)
    for name, client in people.clients.items():
        for path in ("users/me/drafts", "users/me/export", "users/me/memory", "users"):
            text = client.get(f"/v1/{path}").text
            for other, planted in PLANTED.items():
                assert name in ("admin", other) or planted not in text
    assert not any(text in httpx.get(f"{service.url}/metrics").text for text in PLANTED.values())


def named(data: st.DataObject, people: People, who: str) -> dict[str, Any]:
    """Ids that anybody was told, in the places where requests name one."""

    def of(*kinds: str) -> str:
        ids = [found for kind in kinds for found in people.ids.get(kind, [])]
        return data.draw(st.sampled_from(ids)) if ids else "nothing"

    draft = of("chatcmpl", "cmpl")
    real = {
        "user_id": data.draw(st.sampled_from(["me", *people.users.values()])),
        "draft_id": draft,
        "edit_id": of("edit"),
        "exchange_id": of("edit"),
        "import_id": of("import"),
        "deletion_id": of("deletion"),
        "key_id": of("key"),
        "model": data.draw(st.sampled_from(["corll", "base"])),
        "n": 1,
        "max_tokens": 2,
        "max_completion_tokens": 2,
        "choice": 0,
    }
    if who in PLANTED:
        real |= {"text": PLANTED[who], "content": PLANTED[who], "q": PLANTED[who]}
    return real

"""Who may do what over HTTP, how often, and with how large a body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from corll.service.store import accounts
from running_service import RunningService

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong-key-wrong-key-1"}])
def test_without_a_known_key_nothing_is_answered(
    service: RunningService, header: dict[str, str]
) -> None:
    response = httpx.get(f"{service.url}/v1/models", headers=header)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["x-request-id"].startswith("req_")


def test_nobody_sees_anothers_drafts_edits_or_versions(service: RunningService) -> None:
    keys = {
        name: service.post("keys", {"scope": "user", "user": name, "label": name})
        for name in ("anna", "bert")
    }
    backend = service.post("keys", {"scope": "backend", "label": "shop", "namespace": "shop"})
    anna, bert, shop = (
        service.with_key(key["key"]) for key in (keys["anna"], keys["bert"], backend)
    )
    draft = anna.draft()
    edit = anna.post("edits", {"draft_id": draft["id"], "text": "Sorry."})
    owner = draft["corll"]["user"]
    for stranger in (bert, shop):
        body = {"draft_id": draft["id"], "text": "Mine."}
        assert stranger.http.post("/v1/edits", json=body).status_code == 404
        for path in (f"edits/{edit['id']}", f"users/{owner}", f"users/{owner}/export"):
            assert stranger.http.get(f"/v1/{path}").status_code == 404
        assert stranger.http.put(f"/v1/users/{owner}/consent", json={}).status_code == 404
    assert service.get(f"edits/{edit['id']}")["id"] == edit["id"]  # an admin may
    # The same name in another name space is another user.
    assert shop.draft(safety_identifier="anna")["corll"]["user"] != owner
    # A user's key speaks for that user, whatever the body says.
    assert anna.draft(user="bert")["corll"]["user"] == owner


def test_scopes_bound_what_a_key_may_do(service: RunningService) -> None:
    backend = service.post("keys", {"scope": "backend", "label": "b", "namespace": "b"})
    shop = service.with_key(backend["key"])
    user = shop.post("keys", {"scope": "user", "user": "u1", "label": "u1"})
    person = service.with_key(user["key"])
    assert shop.http.post("/v1/keys", json={"scope": "admin"}).status_code == 403
    assert person.http.get("/v1/keys").status_code == 403
    assert {key["id"] for key in shop.get("keys")["data"]} == {backend["id"], user["id"]}
    assert "key" not in shop.get("keys")["data"][0]
    assert person.get("users")["data"][0]["name"] == "u1"
    assert shop.ask("DELETE", f"keys/{user['id']}")["deleted"] is True
    assert person.http.get("/v1/models").status_code == 401


def test_a_key_with_a_limit_is_told_when_to_come_again(service: RunningService) -> None:
    key = service.post("keys", {"scope": "backend", "label": "slow", "rate_per_minute": 2})
    assert key["namespace"] != "local"  # a backend's users are its own
    slow = service.with_key(key["key"])
    responses = [slow.http.get("/v1/models") for _ in range(3)]
    assert [r.status_code for r in responses] == [200, 200, 429]
    assert responses[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert int(responses[2].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'"text"', 400),
        (json.dumps({"model": "corll", "messages": MESSAGES}).encode()[:-1] + b"," * 9, 400),
        (b" " * 3_000_000, 413),
    ],
)
def test_bodies_that_are_no_request_are_refused(
    service: RunningService, content: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    response = service.http.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_a_body_without_a_length_is_bounded_too(service: RunningService) -> None:
    def endless() -> Iterator[bytes]:
        yield from [b" " * 100_000] * 40

    headers = {"content-type": "application/json"}
    response = service.http.post("/v1/edits", content=endless(), headers=headers)
    assert response.status_code == 413


def test_what_fails_unexpectedly_has_its_id_in_answer_log_and_metrics(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> int:
        lines = service.http.get("/metrics").text.splitlines()
        return sum('status="500"' in line and "corll_requests_total" in line for line in lines)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    before = counted()
    monkeypatch.setattr(accounts, "users_of", broken)
    response = service.http.get("/v1/users")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert response.headers["x-request-id"].startswith("req_")
    monkeypatch.undo()
    assert counted() == before + 1
    (record,) = [r for r in caplog.records if r.message == "a request failed"]
    assert record.exc_info is not None
    assert "a fault of ours" in str(record.exc_info[1])


def test_an_import_may_be_larger_than_other_bodies(service: RunningService) -> None:
    items = [{"prompt": "Say sorry.", "sent": "x" * 20_000}] * 150
    assert service.http.post("/v1/imports", json={"items": items}).status_code != 413
    response = service.http.post("/v1/edits", json={"items": items})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


@pytest.fixture
def shop(service: RunningService) -> RunningService:
    """The service, asked by a backend with users of its own."""
    key = service.post("keys", {"scope": "backend", "label": "shop"})
    return service.with_key(key["key"])


def test_consent_can_be_given_before_the_first_draft(
    service: RunningService, shop: RunningService
) -> None:
    consent = shop.put("users/vera/consent", {"store": False, "learn": True})
    assert (consent["name"], consent["consent"]["store"], consent["consent"]["learn"]) == (
        "vera",
        False,
        True,
    )
    draft = shop.draft(safety_identifier="vera")
    assert (draft["corll"]["user"], draft["corll"]["stored"]) == (consent["id"], False)
    assert service.http.get("/v1/users/vera").status_code == 404  # of another name space
    assert service.put("users/vera/consent", {"learn": True})["id"] != consent["id"]


def test_consent_makes_no_user_of_what_is_no_name_or_not_the_keys(
    service: RunningService, shop: RunningService
) -> None:
    stranger = service.draft(user="olga")["corll"]["user"]
    for identity in (stranger, "user_" + "0" * 24):
        assert shop.http.put(f"/v1/users/{identity}/consent", json={}).status_code == 404
    for name in ("x" * 65, "a%07b"):
        assert shop.http.put(f"/v1/users/{name}/consent", json={}).status_code == 400
    person = service.with_key(service.post("keys", {"scope": "user", "user": "pia"})["key"])
    assert person.http.put("/v1/users/nobody/consent", json={}).status_code == 404
    assert {user["name"] for user in shop.get("users")["data"]} == set()


def test_a_method_that_is_none_is_no_label_of_the_metrics(service: RunningService) -> None:
    assert service.http.request("XYLOPHONE", "/v1/models").status_code == 405
    metrics = service.http.get("/metrics").text
    assert "XYLOPHONE" not in metrics
    assert 'method="_OTHER"' in metrics

"""For whom a key that speaks for many users asks: by the body, by a header, or by a setting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from corll.errors import ConfigError
from corll.service.settings import ServiceSettings
from running_service import ADMIN_KEY, RunningService, running_service, settings_for

MESSAGES: Any = [{"role": "user", "content": "The parcel is late."}]
ASKED: Any = [
    ("POST", "chat/completions", {"model": "corll", "messages": MESSAGES}),
    ("POST", "chat/completions", {"model": "base", "messages": MESSAGES, "user": ""}),
    ("POST", "chat/completions", {"model": "base", "messages": MESSAGES, "user": " "}),
    ("POST", "completions", {"model": "corll", "prompt": "Hi"}),
    ("POST", "imports", {"items": [{"prompt": "Hi", "sent": "Hello."}]}),
    ("POST", "learn", {}),
    ("POST", "links", {}),
    ("GET", "users/me", None),
    ("PUT", "users/me/consent", {"learn": True}),
]


@pytest.fixture(scope="module")
def strict(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service as it is by default: nobody stands for whoever is not named."""
    folder = tmp_path_factory.mktemp("strict")
    settings = settings_for(tiny_model_folder, folder, learn=False, default_user=None)
    with running_service(settings) as running:
        yield running


def key_of(service: RunningService, scope: str, **more: Any) -> RunningService:
    return service.with_key(service.post("keys", {"scope": scope, **more})["key"])


def refused(service: RunningService, method: str, path: str, **more: Any) -> dict[str, Any]:
    response = service.http.request(method, f"/v1/{path}", **more)
    assert response.status_code == 400, (path, response.text)
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize("scope", ["backend", "admin"])
def test_a_key_that_names_nobody_is_told_the_field_and_the_header(
    strict: RunningService, scope: str
) -> None:
    asking, users = key_of(strict, scope), strict.get("users")["data"]
    for method, path, body in ASKED:
        for headers in ({}, {"x-corll-user": ""}):
            error = refused(asking, method, path, json=body, headers=headers)
            assert (error["code"], error["param"]) == ("user_required", "user"), path
            for told in ('"user"', "x-corll-user", "--default-user"):
                assert told in error["message"]
    assert strict.get("users")["data"] == users
    assert [model["id"] for model in asking.get("models")["data"]] == ["corll", "base"]


def test_the_header_names_the_user_on_every_route(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    of_anna = strict.with_key(shop.http.headers["authorization"].removeprefix("Bearer "))
    of_anna.http.headers["x-corll-user"] = "anna"
    of_anna.put("users/me/consent", {"store": True, "learn": True})
    statuses = {
        path: of_anna.http.request(method, f"/v1/{path}", json=body).status_code
        for method, path, body in ASKED
    }
    assert set(statuses.values()) == {200}, statuses
    (user,) = shop.get("users")["data"]
    assert user["name"] == "anna"
    assert of_anna.draft()["corll"]["user"] == user["id"]
    assert of_anna.draft(user="anna")["corll"]["user"] == user["id"]


def test_a_header_and_a_body_that_differ_are_refused(strict: RunningService) -> None:
    headers, body = {"x-corll-user": "ben"}, {"model": "corll", "messages": MESSAGES}
    for field in ("user", "safety_identifier"):
        asked = {**body, field: "dora"}
        error = refused(strict, "POST", "chat/completions", json=asked, headers=headers)
        assert error["code"] == "user_mismatch"
        assert "'dora'" in error["message"]
        assert "'ben'" in error["message"]
    assert {"ben", "dora"}.isdisjoint(user["name"] for user in strict.get("users")["data"])


def test_an_edit_is_of_the_user_whom_the_header_names(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    headers = {"x-corll-user": "eva"}
    drafts = {name: shop.draft(user=name)["id"] for name in ("eva", "finn")}
    body = {"draft_id": drafts["finn"], "text": "Mine."}
    refusal = shop.http.post("/v1/edits", json=body, headers=headers)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (404, "not_found")
    error = refused(shop, "POST", "edits", json={**body, "user": "finn"}, headers=headers)
    assert error["code"] == "user_mismatch"
    body["draft_id"] = drafts["eva"]
    assert shop.ask("POST", "edits", json=body, headers=headers)["draft_id"] == drafts["eva"]
    # A user's own key speaks for its user, whatever the header says.
    finn = strict.with_key(shop.post("keys", {"scope": "user", "user": "finn"})["key"])
    body["draft_id"] = drafts["finn"]
    assert finn.ask("POST", "edits", json=body, headers=headers)["draft_id"] == drafts["finn"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_in_the_header_may_have_any_letters(strict: RunningService, encoding: str) -> None:
    headers = {"x-corll-user": "Jürgen".encode(encoding)}
    about = strict.ask("GET", "users/me", headers=headers)
    assert about["name"] == "Jürgen"
    error = refused(strict, "GET", "users/me", headers={"x-corll-user": "x" * 65})
    assert "64 printable characters" in error["message"]


def test_a_users_key_speaks_for_its_user_whatever_the_header_says(strict: RunningService) -> None:
    anna = key_of(strict, "user", user="anna")
    about = anna.ask("GET", "users/me", headers={"x-corll-user": "ben"})
    assert about["name"] == "anna"


def test_a_path_names_its_user_whatever_the_header_says(strict: RunningService) -> None:
    headers = {"x-corll-user": "ben"}
    made = strict.ask("PUT", "users/carl/consent", json={"learn": True}, headers=headers)
    assert made["name"] == "carl"


def test_with_a_default_user_that_one_stands_for_whoever_is_not_named(
    service: RunningService,
) -> None:
    name = service.settings.default_user
    assert service.get("users/me")["name"] == name
    assert service.draft()["corll"]["user"] == service.get("users/me")["id"]
    assert service.draft(user="")["corll"]["user"] == service.get("users/me")["id"]
    headers = {"x-corll-user": "ben"}
    assert service.ask("GET", "users/me", headers=headers)["name"] == "ben"


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "me", "..", "user_" + "0" * 24])
def test_a_default_user_has_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        ServiceSettings(default_user=name)


def test_a_user_is_made_with_their_consent_before_the_first_draft(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    made = shop.post("users", {"name": "vera", "consent": {"store": False, "learn": True}})
    assert (made["name"], made["consent"]["store"], made["consent"]["learn"]) == (
        "vera",
        False,
        True,
    )
    draft = shop.draft(user="vera")
    assert (draft["corll"]["user"], draft["corll"]["stored"]) == (made["id"], False)
    again = shop.post("users", {"name": "vera", "consent": {"store": True}})
    assert (again["id"], again["consent"]["store"], again["consent"]["learn"]) == (
        made["id"],
        True,
        True,
    )
    assert shop.post("users", {"name": "vera"})["consent"] == again["consent"]
    assert strict.post("users", {"name": "vera"})["id"] != made["id"]  # of another name space


def test_no_user_is_made_of_what_is_no_name_or_not_the_keys(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    for name in ("", " ", "a\x07b", "x" * 65, "user_" + "0" * 24, "me", ".", ".."):
        assert refused(shop, "POST", "users", json={"name": name})["param"] == "name"
        if name.strip() and name.isprintable():
            body = {"model": "corll", "messages": MESSAGES, "safety_identifier": name}
            assert refused(shop, "POST", "chat/completions", json=body)["code"] == "invalid_value"
            headers = {"x-corll-user": name}
            refused(
                shop,
                "POST",
                "completions",
                json={"model": "corll", "prompt": "Hi"},
                headers=headers,
            )
            refused(shop, "POST", "keys", json={"scope": "user", "user": name})
    body = {"name": "wim", "consent": {"learns": True}}
    assert refused(shop, "POST", "users", json=body)["code"] == "unsupported_parameter"
    assert shop.get("users")["data"] == []
    person = key_of(strict, "user", user="pia")
    assert person.http.post("/v1/users", json={"name": "pia"}).status_code == 403


def test_the_id_of_a_user_means_that_user_and_makes_nobody(strict: RunningService) -> None:
    shop, others = key_of(strict, "backend"), key_of(strict, "backend")
    yuki = shop.post("users", {"name": "yuki", "consent": {"store": True, "learn": True}})
    draft = shop.draft(user=yuki["id"])
    assert draft["corll"]["user"] == yuki["id"]
    assert shop.ask("GET", "users/me", headers={"x-corll-user": yuki["id"]})["name"] == "yuki"
    assert shop.post("users", {"name": yuki["id"]})["name"] == "yuki"
    body = {"draft_id": draft["id"], "text": "Mine.", "user": yuki["id"]}
    assert shop.post("edits", body)["draft_id"] == draft["id"]
    assert [user["name"] for user in shop.get("users")["data"]] == ["yuki"]
    # For another name space it is the id of nobody.
    asked = {"model": "corll", "messages": MESSAGES, "user": yuki["id"]}
    stranger = {**asked, "user": "user_" + "0" * 24}
    messages = {
        refused(others, "POST", "chat/completions", json=one)["message"].replace(one["user"], "")
        for one in (asked, stranger)
    }
    assert len(messages) == 1
    assert "ids look like that" in messages.pop()
    shop.put(f"users/{yuki['id']}/consent", {"learn": False})
    assert shop.get("users/yuki")["consent"]["learn"] is False
    assert others.get("users")["data"] == []
    gone = shop.ask("DELETE", f"users/{yuki['id']}")
    assert gone["receipt"]["user"] == yuki["id"]
    refused(shop, "POST", "chat/completions", json=asked)
    assert shop.get("users")["data"] == []


def test_a_name_is_the_same_in_any_form_of_unicode(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    made = {shop.draft(user=name)["corll"]["user"] for name in ("zo\u00eb", "zoe\u0308")}
    assert len(made) == 1
    headers = {"x-corll-user": "zo\u00eb".encode()}
    body = {"model": "corll", "prompt": "Hi", "user": "zoe\u0308"}
    assert shop.ask("POST", "completions", json=body, headers=headers)["corll"]["user"] in made
    assert [user["name"] for user in shop.get("users")["data"]] == ["zo\u00eb"]


@pytest.fixture(scope="module")
def for_pages(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service whose API the scripts of one page may ask."""
    folder, origins = tmp_path_factory.mktemp("pages"), ("https://app.example.org",)
    settings = settings_for(tiny_model_folder, folder, learn=False, cors_origins=origins)
    with running_service(settings) as running:
        yield running


def test_a_page_of_a_named_origin_may_ask_with_a_key_and_reads_our_headers(
    for_pages: RunningService,
) -> None:
    asks = {
        "origin": "https://app.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-corll-user",
    }
    address = f"{for_pages.url}/v1/chat/completions"
    before = httpx.options(address, headers=asks)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == asks["origin"]
    allowed = before.headers["access-control-allow-headers"].lower()
    assert "x-corll-user" in allowed
    assert "authorization" in allowed
    key = {"authorization": f"Bearer {ADMIN_KEY}"}
    for headers in (key, {"authorization": "Bearer wrong-key-wrong-key"}):
        answer = httpx.get(
            f"{for_pages.url}/v1/models", headers={**headers, "origin": asks["origin"]}
        )
        assert answer.headers["access-control-allow-origin"] == asks["origin"]
        readable = answer.headers["access-control-expose-headers"].split(", ")
        assert {"x-request-id", "x-corll-draft-id"} < set(readable)
        assert "access-control-allow-credentials" not in answer.headers


def test_pages_of_other_origins_may_not_ask(
    for_pages: RunningService, service: RunningService
) -> None:
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for one in (for_pages, service):
        before = httpx.options(f"{one.url}/v1/chat/completions", headers=asks)
        assert "access-control-allow-origin" not in before.headers


@pytest.mark.parametrize(
    "origin", ["app.example.org", "https://app.example.org/", "https://a@b", "null", "http://a:x"]
)
def test_what_is_no_origin_is_no_setting(origin: str) -> None:
    with pytest.raises(ConfigError, match="no origin of web pages"):
        ServiceSettings(cors_origins=(origin,))


def test_origins_are_parted_by_commas_in_a_variable() -> None:
    settings = ServiceSettings(cors_origins="https://a.example,capacitor://localhost,*")  # type: ignore[arg-type]
    assert settings.cors_origins == ("https://a.example", "capacitor://localhost", "*")


def test_a_comparison_is_of_the_user_whom_the_header_names(strict: RunningService) -> None:
    shop = key_of(strict, "backend")
    headers = {"x-corll-user": "eva"}
    sides = {
        name: {
            side: {"draft_id": shop.draft(user=name, seed=seed)["id"]}
            for seed, side in enumerate(("chosen", "rejected"))
        }
        for name in ("eva", "finn")
    }
    refusal = shop.http.post("/v1/comparisons", json=sides["finn"], headers=headers)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (404, "not_found")
    kept = shop.ask("POST", "comparisons", json=sides["eva"], headers=headers)
    assert kept["chosen"]["draft_id"] == sides["eva"]["chosen"]["draft_id"]

"""Each route that is described, asked by nobody and by those whom its subject is not of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from store_samples import NOW, new_version, register

from corll.service.api.app import routes
from corll.service.store import accounts, bases, lineages
from corll.service.store.database import Database
from running_service import RunningService

OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /sign-in",  # needs a link's token
    "GET /v1/session",  # needs a browser's cookie
    "POST /v1/session/end",
}
BODIES: dict[str, dict[str, Any]] = {
    "PUT /v1/users/{user_id}/consent": {"learn": False, "store": False},
    "PUT /v1/users/{user_id}/memory/{exchange_id}": {"mark": "skipped"},
    "POST /v1/users/{user_id}/adapters/rollback": {"to": 0},
    "POST /v1/users/{user_id}/adapters/start": {"reference": 1},
    "POST /v1/keys/{key_id}/rotate": {"overlap_s": 0},
}

DESCRIBED: dict[str, Any] = routes().openapi()["paths"]
ROUTES = [f"{method.upper()} {path}" for path, of in DESCRIBED.items() for method in of]
FOR_SOMEBODY = [route for route in ROUTES if "{" in route]
GUARDED = [route for route in ROUTES if route not in OPEN]


class Owned(NamedTuple):
    """What a user has, by the names that paths have for it, and how it is exported."""

    owner: RunningService
    ids: dict[str, str]

    def export(self) -> str:
        return self.owner.http.get("/v1/users/me/export").text

    def ask(self, who: RunningService, route: str) -> httpx.Response:
        method, _, path = route.partition(" ")
        return who.http.request(method, path.format(**self.ids), json=BODIES.get(route))


@pytest.fixture(scope="module")
def owned(service: RunningService) -> Iterator[Owned]:
    """A user with one of everything."""
    key = service.post("keys", {"scope": "user", "user": "olga", "label": "o"})
    service.put("users/olga/consent", {"store": True, "learn": True})
    olga = service.with_key(key["key"])
    user = olga.get("users/me")["id"]
    gone = olga.draft()["id"]
    deletion = olga.ask("DELETE", f"drafts/{gone}")["receipt"]["id"]
    draft = olga.draft()["id"]
    response = olga.post("responses", {"model": "corll", "input": "Mine alone."})["id"]
    edit = olga.post("edits", {"draft_id": draft, "text": "Mine alone."})["id"]
    job = olga.post("imports", {"items": [{"prompt": "Hi", "sent": "Hello"}]})["id"]
    database = Database.open(service.settings.database, service.settings.data_dir)

    def make(db: Any) -> None:
        found = accounts.find_user(db, user)
        served = bases.served_fingerprint(db)
        assert found is not None
        assert served is not None
        reference = lineages.get_or_create_base_reference(
            db, base_model="tiny", base_fingerprint=served, now=NOW
        )
        lineages.start_lineage(db, user_id=user, reference_id=reference.id, now=NOW)
        register(db, new_version(db, found, folder="versions/one"))

    database.write(make)
    ids = {
        "user_id": user,
        "draft_id": draft,
        "response_id": response,
        "edit_id": edit,
        "exchange_id": edit,
        "import_id": job,
        "deletion_id": deletion,
        "key_id": key["id"],
        "number": "1",
        "name": "olga@1",
    }
    yield Owned(olga, ids)
    database.close()


@pytest.fixture(scope="module")
def strangers(service: RunningService) -> list[RunningService]:
    """Another user of the same name space, and the backend of another."""
    bodies = [
        {"scope": "user", "user": "stig", "label": "s"},
        {"scope": "backend", "namespace": "elsewhere", "label": "e"},
    ]
    return [service.with_key(service.post("keys", body)["key"]) for body in bodies]


@pytest.mark.parametrize("route", GUARDED)
def test_nobody_is_answered_without_a_key(service: RunningService, route: str) -> None:
    method, _, path = route.partition(" ")
    for header in ({}, {"authorization": "Bearer corll-guess"}, {"authorization": "Basic YTpi"}):
        answer = httpx.request(method, f"{service.url}{path}", headers=header)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("route", FOR_SOMEBODY)
def test_what_is_anothers_is_not_there(
    owned: Owned, strangers: list[RunningService], route: str
) -> None:
    before = owned.export()
    for stranger in strangers:
        answer = owned.ask(stranger, route)
        assert answer.status_code in (403, 404), answer.text
        assert "Mine alone" not in answer.text
    assert owned.export() == before


@pytest.mark.parametrize("route", [one for one in FOR_SOMEBODY if one.startswith("GET ")])
def test_its_owner_or_an_admin_is_shown_the_same(
    service: RunningService, owned: Owned, route: str
) -> None:
    """So that what strangers are told is not for want of it."""
    if "references" in route:
        assert owned.ask(owned.owner, route).status_code == 403  # an admin's alone
        return
    assert owned.ask(owned.owner, route).status_code == 200
    assert owned.ask(service, route).status_code == 200


@pytest.mark.parametrize("route", ["GET /v1/users", "GET /v1/keys", "GET /v1/models"])
def test_lists_hold_nothing_of_others(
    owned: Owned, strangers: list[RunningService], route: str
) -> None:
    for stranger in strangers:
        told = owned.ask(stranger, route).text
        assert not [one for one in owned.ids.values() if len(one) > 1 and one in told]


def test_every_route_is_open_or_needs_a_key() -> None:
    assert set(ROUTES) >= OPEN
    assert len(GUARDED) > 30
    assert len(FOR_SOMEBODY) > 20

"""Who stands at the door: wrong keys and links are counted, cookies are for TLS, keys rotate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from teaching import add_user

from corll.service.api.error_answers import ApiError
from corll.service.api.failed_tries import FailedTries
from corll.service.server import _uvicorn_config, running_app
from corll.service.store import sign_ins
from corll.service.store.database import Database
from running_service import ADMIN_KEY, RunningService, settings_for

FIRST, SECOND = "203.0.113.7", "203.0.113.8"


@pytest.fixture(scope="module")
def app(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """A service behind a proxy at 10.1.2.3, where three wrong keys a minute are taken."""
    settings = settings_for(
        tiny_model_folder,
        tmp_path_factory.mktemp("door"),
        learn=False,
        behind_proxy=True,
        trusted_proxies="10.1.2.0/24",
        failed_tries_per_minute=3,
        public_hosts="write.example.org",
    )
    with running_app(settings) as app:
        yield app


def client_at(app: FastAPI, address: str, *, forwarded: str | None = None) -> TestClient:
    """A client whose connection comes from an address, through all that uvicorn puts before us."""
    config = _uvicorn_config(app.state.services.settings, app)
    config.load()
    headers = {"host": "write.example.org"}
    if forwarded is not None:
        headers |= {"x-forwarded-proto": "https", "x-forwarded-for": forwarded}
    loaded: Any = config.loaded_app
    return TestClient(loaded, headers=headers, client=(address, 4711), follow_redirects=False)


def link(app: FastAPI) -> str:
    with client_at(app, "10.1.2.3") as client:
        answer = client.post("/v1/links", json={"user": "ann"}, headers=bearer(ADMIN_KEY))
    path: str = answer.json()["path"]
    return path


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def cookie_of(app: FastAPI, port: int) -> str:
    """The name of its session's cookie, by port and data folder."""
    folder = str(app.state.services.settings.data_dir)
    return f"corll_session_{port}_{sha256(folder.encode()).hexdigest()[:8]}"


def test_after_so_many_wrong_keys_an_address_waits(app: FastAPI) -> None:
    client = client_at(app, "10.1.2.3", forwarded="198.51.100.1")
    tried = [client.get("/v1/models", headers=bearer(f"wrong-{n}")) for n in range(4)]
    assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
    assert tried[3].json()["error"]["code"] == "too_many_failed_tries"
    assert 1 <= int(tried[3].headers["retry-after"]) <= 20
    # A link and a cookie are tries as well.
    assert client.get("/sign-in?token=guess").status_code == 429
    # A browser is led to a page that says so.
    shown = client.get("/sign-in?token=guess", headers={"accept": "text/html,*/*;q=0.8"})
    assert (shown.status_code, shown.headers["location"]) == (303, "/?link=too-often")
    client.cookies.set(f"__Host-{cookie_of(app, 443)}", "guess")
    assert client.get("/v1/session").status_code == 429
    # Another address behind the same proxy is none the worse.
    other = client_at(app, "10.1.2.3", forwarded="198.51.100.2")
    assert other.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200


def test_a_link_at_a_host_that_is_not_ours_signs_nobody_in(app: FastAPI) -> None:
    client, path = client_at(app, "10.1.2.3"), link(app)
    foreign = {"host": "other.example.org"}
    answer = client.get(path, headers=foreign)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_host")
    # A browser is led to the desk, which says so there.
    shown = client.get(path, headers={**foreign, "accept": "text/html,*/*;q=0.8"})
    assert (shown.status_code, shown.headers["location"]) == (303, "/")
    assert "set-cookie" not in shown.headers
    page = client.get("/", headers={**foreign, "accept": "text/html"})
    assert (page.status_code, client.get("/", headers=foreign).status_code) == (400, 400)
    assert "--public-hosts" in page.text
    assert client.get(path).headers["set-cookie"]


def test_a_key_that_was_right_is_not_shut_out_by_a_neighbour(app: FastAPI) -> None:
    client = client_at(app, "10.1.2.3", forwarded="198.51.100.9")
    assert client.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200
    wrong = [client.get("/v1/models", headers=bearer(f"bad-{n}")).status_code for n in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    assert client.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200


def test_over_tls_a_cookie_is_of_this_host_alone(app: FastAPI) -> None:
    with client_at(app, "10.1.2.3", forwarded="198.51.100.3") as client:
        answer = client.get(link(app))
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        name = f"__Host-{cookie_of(app, 443)}"
        assert cookie.startswith(f"{name}=")
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=strict", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)
        secret = cookie.partition("=")[2].partition(";")[0]
        own = client.get("/v1/session", headers={"cookie": f"{name}={secret}"})
        assert own.status_code == 200
        # A cookie without the prefix could have been set by a neighbour of our host.
        bare = name.removeprefix("__Host-")
        planted = client.get("/v1/session", headers={"cookie": f"{bare}={secret}"})
        assert planted.status_code == 401
        changing = {"origin": "https://write.example.org", "x-corll-csrf": own.json()["csrf"]}
        changing["cookie"] = f"{name}={secret}"
        ended = client.post("/v1/session/end", headers=changing)
        assert ended.status_code == 200
        assert "secure" in ended.headers["set-cookie"].lower()


def test_forwarded_headers_of_others_than_the_proxy_are_not_believed(app: FastAPI) -> None:
    with client_at(app, FIRST, forwarded="198.51.100.4") as client:
        cookie = client.get(link(app)).headers["set-cookie"]
        assert cookie.startswith(f"{cookie_of(app, 80)}=")
        assert "secure" not in cookie.lower()
        # Its tries count for itself, whomever it names.
        for n in range(3):
            assert client.get("/v1/models", headers=bearer(f"no-{n}")).status_code == 401
    with client_at(app, FIRST, forwarded="198.51.100.5") as renamed:
        assert renamed.get("/v1/models", headers=bearer("no-3")).status_code == 429


def test_a_link_signs_in_one_of_many_that_use_it_at_once(
    service: RunningService, database: Database
) -> None:
    path = service.post("links", {"user": "ann"})["path"]
    answers: list[int] = []

    def follow() -> None:
        answers.append(httpx.get(f"{service.url}{path}").status_code)

    threads = [threading.Thread(target=follow) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, *[401] * 5]
    user = add_user(database, "ann")
    token = database.write(lambda db: sign_ins.create_link(db, user.id, actor="a", now=0.0))
    found = [database.write(lambda db: sign_ins.redeem_link(db, token, now=1.0)) for _ in range(2)]
    assert [one is None for one in found] == [False, True]


def test_a_key_is_rotated_over_http(service: RunningService) -> None:
    backend = service.post("keys", {"scope": "backend", "label": "shop"})
    shop = service.with_key(backend["key"])
    person = shop.post("keys", {"scope": "user", "user": "u1", "label": "u1"})
    new = shop.post(f"keys/{person['id']}/rotate", {})
    assert new["id"] != person["id"]
    about = ("scope", "namespace", "user_id", "label")
    assert [new[name] for name in about] == [person[name] for name in about]
    for key in (person, new):
        assert service.with_key(key["key"]).get("users")["data"][0]["name"] == "u1"
    listed = {key["id"]: key["revoked_at"] for key in shop.get("keys")["data"]}
    assert listed[person["id"]] == pytest.approx(new["created_at"] + 86_400, abs=1)
    assert listed[new["id"]] is None
    at_once = shop.post(f"keys/{new['id']}/rotate", {"overlap_s": 0})
    assert service.with_key(new["key"]).http.get("/v1/models").status_code == 401
    # Neither its own key, nor another's, nor one that ends.
    others = (backend["id"], "key_" + "0" * 24, person["id"])
    for key_id in others:
        assert shop.http.post(f"/v1/keys/{key_id}/rotate", json={}).status_code == 404
    own = service.with_key(at_once["key"]).http
    assert own.post(f"/v1/keys/{at_once['id']}/rotate", json={}).status_code == 403
    for overlap in (-1, 31 * 86_400, "soon"):
        refused = service.http.post(f"/v1/keys/{backend['id']}/rotate", json={"overlap_s": overlap})
        assert refused.status_code == 400


class TestFailedTries:
    def test_they_come_back_over_the_minute(self) -> None:
        now = [0.0]
        tries = FailedTries(2, clock=lambda: now[0])
        for _ in range(2):
            tries.check(asked_from(FIRST), "x")
            tries.failed(asked_from(FIRST))
        with pytest.raises(ApiError) as refused:
            tries.check(asked_from(FIRST), "x")
        assert refused.value.headers["retry-after"] == "30"
        tries.check(asked_from(SECOND), "x")
        now[0] = 29.9
        with pytest.raises(ApiError):
            tries.check(asked_from(FIRST), "x")
        now[0] = 30.0
        tries.check(asked_from(FIRST), "x")

    def test_a_secret_is_known_for_an_hour_and_from_its_address(self) -> None:
        now = [0.0]
        tries = FailedTries(1, clock=lambda: now[0])
        tries.succeeded(asked_from(FIRST), "right")
        for address in (FIRST, SECOND):
            tries.failed(asked_from(address))
        tries.check(asked_from(FIRST), "right")
        with pytest.raises(ApiError):
            tries.check(asked_from(SECOND), "right")
        now[0] = 3600.0
        tries.failed(asked_from(FIRST))
        with pytest.raises(ApiError):
            tries.check(asked_from(FIRST), "right")

    def test_addresses_of_one_ipv6_network_are_one(self) -> None:
        tries = FailedTries(1, clock=lambda: 0.0)
        tries.failed(asked_from("2001:db8:1:2::1"))
        with pytest.raises(ApiError):
            tries.check(asked_from("2001:db8:1:2:ffff::9"), "x")
        tries.check(asked_from("2001:db8:1:3::1"), "x")
        tries.failed(asked_from(f"::ffff:{FIRST}"))
        with pytest.raises(ApiError):
            tries.check(asked_from(FIRST), "x")
        tries.check(asked_from(f"::ffff:{SECOND}"), "x")

    def test_no_more_than_so_many_addresses_are_kept(self) -> None:
        tries = FailedTries(1, clock=lambda: 0.0)
        for number in range(10_001):
            tries.failed(asked_from(f"10.0.{number // 256}.{number % 256}"))
            tries.succeeded(asked_from(FIRST), str(number))
        assert len(tries._tries) == len(tries._right) == 10_000


def asked_from(address: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "client": (address, 1)})

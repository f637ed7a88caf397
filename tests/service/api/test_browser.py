"""The browser's side of the API: links, sessions, and what a cookie must prove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from teaching import add_user

from corll.service.store import sign_ins
from patience import PATIENCE_S
from running_service import RunningService, running_service, settings_for


@pytest.fixture
def browser(service: RunningService) -> Iterator[httpx.Client]:
    """Signed in as ann, and sending what our own page sends."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        sign_in(service, client)
        yield client


def sign_in(service: RunningService, client: httpx.Client, user: str = "ann") -> httpx.Response:
    link = service.post("links", {"user": user})["path"]
    answer = client.get(link)
    assert answer.status_code == 303, answer.text
    word = client.get("/v1/session").json()["csrf"]
    client.headers.update({"origin": service.url, "x-corll-csrf": word})
    return answer


DRAFT: Any = {"model": "corll", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_link_signs_in_once(service: RunningService) -> None:
    link = service.post("links", {"user": "ann"})["path"]
    with httpx.Client(base_url=service.url) as client:
        assert client.get("/v1/session").status_code == 401
        cookie = client.get(link).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/v1/session").json()["user"]["name"] == "ann"
    with httpx.Client(base_url=service.url) as other:
        assert other.get(link).status_code == 401
        assert other.get("/sign-in?token=guess").status_code == 401
        # A browser is led to a page: to the desk, where it is signed in.
        for path in (link, "/sign-in?token=guess"):
            shown = other.get(path, headers={"accept": "text/html,*/*;q=0.8"})
            assert (shown.status_code, shown.headers["location"]) == (303, "/?link=in-vain")
            assert "set-cookie" not in shown.headers


def test_two_services_on_one_machine_do_not_sign_each_others_users_out(
    service: RunningService, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """As `corll demo` beside one's own: a browser sends a host's cookies to all its ports."""
    with (
        running_service(settings_for(tiny_model_folder, tmp_path, learn=False)) as demo,
        httpx.Client(timeout=PATIENCE_S) as client,
    ):
        for one, user in ((service, "ann"), (demo, "writer")):
            client.get(one.url + one.post("links", {"user": user})["path"])
        assert len({cookie.name for cookie in client.cookies.jar}) == 2
        for one, user in ((service, "ann"), (demo, "writer")):
            assert client.get(f"{one.url}/v1/session").json()["user"]["name"] == user


def test_a_browser_speaks_for_its_user_alone(
    service: RunningService, browser: httpx.Client
) -> None:
    draft = browser.post("/v1/chat/completions", json={**DRAFT, "user": "bob"}).json()
    assert draft["corll"]["user"] == service.get("users/ann")["id"]
    assert browser.post("/v1/keys", json={"scope": "admin"}).status_code == 403
    foreign = service.draft(user="bob")["id"]
    body = {"draft_id": foreign, "text": "Mine."}
    assert browser.post("/v1/edits", json=body).status_code == 404


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("origin", "https://evil.example", 403),
        ("origin", None, 403),
        ("x-corll-csrf", "guess", 403),
        ("x-corll-csrf", None, 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.example", 400),
    ],
)
def test_a_change_that_is_not_our_own_pages_is_refused(
    browser: httpx.Client, header: str, value: str | None, status: int
) -> None:
    if value is None:
        del browser.headers[header]
    else:
        port = f":{browser.base_url.port}" if header == "host" else ""
        browser.headers[header] = value + port
    assert browser.post("/v1/chat/completions", json=DRAFT).status_code == status
    assert browser.put("/v1/users/me/consent", json={"learn": True}).status_code == status


def test_reading_needs_the_cookie_and_our_own_origin(browser: httpx.Client) -> None:
    del browser.headers["origin"]  # browsers send none with a plain GET
    assert browser.get("/v1/users/me").status_code == 200
    browser.headers["origin"] = "https://evil.example"
    assert browser.get("/v1/users/me").status_code == 403
    browser.headers["origin"] = str(browser.base_url).rstrip("/")
    browser.cookies.clear()
    assert browser.get("/v1/users/me").status_code == 401


def test_a_bearer_key_ignores_cookies(service: RunningService, browser: httpx.Client) -> None:
    headers = dict(service.http.headers) | {"origin": "https://evil.example"}
    cookies = dict(browser.cookies)
    own = httpx.get(f"{service.url}/v1/users", headers=headers, cookies=cookies)
    assert own.status_code == 200


def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(
    browser: httpx.Client,
) -> None:
    cookies = dict(browser.cookies)
    assert browser.post("/v1/session/end").json()["ended"] is True
    copied = httpx.get(browser.base_url.join("/v1/session"), cookies=cookies)
    assert copied.status_code == 401


def test_links_and_sessions_end_by_themselves(service: RunningService, database: Any) -> None:
    user = add_user(database, "ann")
    token = database.write(lambda db: sign_ins.create_link(db, user.id, actor="a", now=0.0))
    late = sign_ins.LINK_LASTS_S + 1
    assert database.write(lambda db: sign_ins.redeem_link(db, token, now=late)) is None
    found = database.write(lambda db: sign_ins.redeem_link(db, token, now=1.0))
    assert found is not None
    _, secret = found
    with database.read() as db:
        assert sign_ins.find_session(db, secret, now=2.0) is not None
        assert sign_ins.find_session(db, secret, now=2 + sign_ins.SESSION_LASTS_S) is None


def test_the_page_forbids_other_hosts_and_frames(service: RunningService) -> None:
    answers = [
        httpx.get(f"{service.url}{path}") for path in ("/", "/learning", "/data", "/welcome")
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    nonces = {answer.headers["content-security-policy"] for answer in answers}
    assert len(nonces) == len(answers)
    assert httpx.get(service.url, headers={"host": "evil.example"}).status_code == 400


def test_drafts_are_listed_with_their_edits_and_searched(
    service: RunningService, browser: httpx.Client
) -> None:
    prompts = [f"About parcel {number}" for number in range(5)]
    ids = []
    for prompt in prompts:
        messages = [{"role": "user", "content": prompt}]
        asked = {**DRAFT, "messages": messages, "seed": 1}
        draft = browser.post("/v1/chat/completions", json=asked).json()
        ids.append(draft["id"])
    edit = {"draft_id": ids[2], "text": "The Crocodile."}
    assert browser.post("/v1/edits", json=edit).status_code == 200
    page = browser.get("/v1/users/me/drafts?limit=2&q=about parcel").json()
    assert [row["id"] for row in page["data"]] == ids[:2:-1]
    assert page["has_more"] is True
    rest = browser.get(f"/v1/users/me/drafts?q=parcel&before={ids[3]}").json()
    assert [row["id"] for row in rest["data"]] == ids[2::-1]
    found = browser.get("/v1/users/me/drafts?q=crocodile").json()["data"]
    assert [row["id"] for row in found] == [ids[2]]
    assert found[0]["edits"][0]["text"] == "The Crocodile."
    other = service.with_key(service.post("keys", {"scope": "user", "user": "eve"})["key"])
    assert other.get("users/me/drafts")["data"] == []


def test_a_browser_hears_of_its_users_edits(service: RunningService, browser: httpx.Client) -> None:
    with browser.stream("GET", "/v1/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        draft = service.draft(user="ann")
        service.post("edits", {"draft_id": service.draft(user="bob")["id"], "text": "Not yours."})
        edit = service.post("edits", {"draft_id": draft["id"], "text": "Hello."})
        heard = [line for line in (next(lines) for _ in range(3)) if line]
    assert heard[0] == "event: edit"
    told = {name: edit[name] for name in ("id", "state", "edit_cost")}
    assert json.loads(heard[1].removeprefix("data: ")) == told

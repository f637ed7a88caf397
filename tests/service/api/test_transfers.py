"""Imports, exports and uploads: bounded, and beside the event loop, which goes on answering."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from json import JSONDecodeError
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.schemas.requests import ImportRequest
from corll.service.api import transfers, user_routes
from corll.service.api.transfers import _parsed
from corll.service.drafting.fairness import Owner
from corll.service.places import NoPlaceError, Places
from patience import PATIENCE_S
from running_service import RunningService, until

ITEMS = [{"prompt": f"Is number {n} in stock?", "sent": "It is. Regards, Anna"} for n in range(50)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=10,
)


class Held:
    """Holds a thread where it is called, until it is let go."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE_S)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.open.set()


def send_import(service: RunningService, user: str) -> httpx.Response:
    service.put(f"users/{user}/consent", {"store": True, "learn": True})
    return service.http.post("/v1/imports", json={"items": ITEMS, "user": user})


def is_answering(service: RunningService) -> bool:
    """Whether a small request, by a client of its own, is answered."""
    alive = httpx.get(f"{service.url}/healthz", timeout=PATIENCE_S)
    return alive.json() == {"status": "ok"} and service.get("users/small")["object"] == "user"


@pytest.fixture
def small(service: RunningService) -> RunningService:
    service.draft(safety_identifier="small")
    return service


@pytest.mark.parametrize("part", ["parse", "validate"])
def test_the_service_answers_while_an_import_is_read(
    small: RunningService, held: Held, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    if part == "parse":
        items = transfers._items
        monkeypatch.setattr(transfers, "_items", lambda *a: (held(), items(*a))[1])
    else:
        framing = ImportRequest.framing
        monkeypatch.setattr(ImportRequest, "framing", lambda *a: (held(), framing(*a))[1])
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send_import, small, "importer")
        assert held.reached.wait(PATIENCE_S)
        assert is_answering(small)
        held.open.set()
        assert sent.result().json()["total"] == len(ITEMS)


def test_the_service_answers_while_an_export_is_made(
    small: RunningService, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = user_routes.export_lines

    def slowly(*parts: Any) -> Iterator[str]:
        held()
        yield from lines(*parts)

    monkeypatch.setattr(user_routes, "export_lines", slowly)
    with ThreadPoolExecutor(1) as pool:
        export = pool.submit(small.http.get, "/v1/users/small/export")
        assert held.reached.wait(PATIENCE_S)
        assert is_answering(small)
        held.open.set()
        found = [json.loads(line) for line in export.result().text.splitlines()]
    assert [line["record"] for line in found][:2] == ["user", "draft"]


def test_a_user_has_two_exports_at_a_time_and_then_more(
    small: RunningService, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, begun = user_routes.export_lines, list[str]()

    def slowly(database: Any, user: Any) -> Iterator[str]:
        begun.append(user.name)
        held()
        yield from lines(database, user)

    monkeypatch.setattr(user_routes, "export_lines", slowly)
    small.draft(safety_identifier="other")
    with ThreadPoolExecutor(4) as pool:
        own = [pool.submit(small.http.get, "/v1/users/small/export") for _ in range(2)]
        until(lambda: begun == ["small"] * 2)
        refused = small.http.get("/v1/users/small/export")
        other = pool.submit(small.http.get, "/v1/users/other/export")
        until(lambda: "other" in begun)
        held.open.set()
        assert [one.result().status_code for one in [*own, other]] == [200] * 3
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_transfers")
    assert int(refused.headers["retry-after"]) >= 1
    assert small.http.get("/v1/users/small/export").status_code == 200


def test_who_hangs_up_in_an_export_gives_the_place_back(
    small: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: Any) -> Iterator[str]:
        while True:
            yield "{}\n" * 10_000

    def begins_and_hangs_up() -> bool:
        with small.http.stream("GET", "/v1/users/small/export") as response:
            return response.status_code == 200 and bool(next(response.iter_raw()))

    monkeypatch.setattr(user_routes, "export_lines", endless)
    for _ in range(5):
        until(begins_and_hangs_up)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b'{"items": [{"prompt": "a", "sent": "b"},]}', "application/json", "not JSON"),
        (b'{"items": [{"prompt": "a", "sent": "b"}', "application/json", "not JSON"),
        (b"\xff{}", "application/json", "not JSON"),
        (b"[]", "application/json", "The body must be an object"),
        (b"{}", "application/json", "items: is missing"),
        (b'{"items": [{"prompt": "a"}]}', "application/json", "items[0].sent: is missing"),
        (b'{"items": [], "of": 1}', "application/json", "items: must have at least 1 items"),
        (b"items=1", "text/plain", "content-type: application/json"),
    ],
)
def test_an_import_that_is_none_is_refused_as_any_other_body(
    service: RunningService, content: bytes, kind: str, said: str
) -> None:
    answer = service.http.post("/v1/imports", content=content, headers={"content-type": kind})
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_whoever_has_no_key_sends_no_import(service: RunningService) -> None:
    assert httpx.post(f"{service.url}/v1/imports", content=b"no JSON").status_code == 401


@given(st.dictionaries(st.text(max_size=3) | st.just("items"), JSON), st.sampled_from([None, 1]))
def test_a_body_is_parsed_as_the_standard_parser_does(found: Any, indent: int | None) -> None:
    text = json.dumps(found, indent=indent)
    assert _parsed(BytesIO(text.encode()), "items") == json.loads(text)


@given(st.text(alphabet='{}[]":,1 aitems\n', max_size=30))
def test_what_the_standard_parser_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except JSONDecodeError:
        with pytest.raises(JSONDecodeError):
            _parsed(BytesIO(text.encode()), "items")
    else:
        assert _parsed(BytesIO(text.encode()), "items") == expected


def test_a_place_is_free_again_when_it_was_told() -> None:
    now, anna, ben = [0.0], Owner("k", "anna"), Owner("l", "ben")
    places = Places(2, clock=lambda: now[0])
    for _ in range(20):
        place = places.take(anna)
        now[0] += 40
        places.give_back(place)
    places.take(anna)
    now[0] += 15
    with pytest.raises(NoPlaceError) as error:
        places.take(anna)  # of two a user has one
    assert error.value.retry_after in (25, 26)
    places.take(ben)
    with pytest.raises(NoPlaceError):
        places.take(Owner("m", "cara"))

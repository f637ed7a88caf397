"""The OpenAPI document says of every route what it takes and answers, and what is generated from it
is current.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from corll.schemas.responses import RESPONSE_EVENTS
from corll.service.api.app import routes

ROOT = Path(__file__).parents[2]
DOCUMENT: Any = routes().openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
OTHER_THAN_JSON = {
    "get /metrics": "text/plain",
    "get /sign-in": None,
    "get /v1/events": "text/event-stream",
    "get /v1/users/{user_id}/export": "application/x-ndjson",
}


def successes(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [answer for status, answer in operation["responses"].items() if status[0] in "23"]


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(OTHER_THAN_JSON)))
def test_every_route_that_answers_with_json_has_a_response_model(name: str) -> None:
    (answer,) = successes(OPERATIONS[name])
    schema = answer["content"]["application/json"]["schema"]
    shape = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    assert shape["type"] == "object"
    assert shape["properties"]


@pytest.mark.parametrize("name", sorted(OTHER_THAN_JSON))
def test_every_other_route_says_what_it_answers_with(name: str) -> None:
    (answer,) = successes(OPERATIONS[name])
    media = OTHER_THAN_JSON[name]
    assert set(answer.get("content", {})) == ({media} if media else set())


def streams() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in OPERATIONS.items():
        for answer in successes(operation):
            for media, content in answer.get("content", {}).items():
                if media == "text/event-stream":
                    yield name, content


def test_streams_say_what_their_events_hold() -> None:
    found = {
        name: {
            event["properties"].get("event", {}).get("const"): event["properties"]["data"][
                "contentSchema"
            ]["$ref"].rpartition("/")[2]
            for event in content["itemSchema"]["oneOf"]
        }
        for name, content in streams()
    }
    assert found == {
        "post /v1/chat/completions": {None: "ChatChunk"},
        "post /v1/completions": {None: "TextChunk"},
        "post /v1/responses": dict.fromkeys(RESPONSE_EVENTS, "ResponseEvent"),
        "get /v1/events": {
            "version": "VersionEvent",
            "edit": "EditEvent",
            "import": "ImportEvent",
            "start": "StartEvent",
        },
    }


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_shape_and_field_is_described(name: str) -> None:
    shape = SCHEMAS[name]
    assert shape.get("description"), name
    for field, about in shape["properties"].items():
        assert about.get("description"), f"{name}.{field}"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_whatever_is_referred_to_is_there() -> None:
    found = set(references(DOCUMENT))
    assert found >= {"#/components/schemas/ChatChunk", "#/components/responses/NotFound"}
    for reference in found:
        part: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


@pytest.mark.parametrize(
    ("shape", "field", "schema", "required"),
    [
        ("Edit", "state", "enum", True),
        ("Edit", "object", "const", True),
        ("Edit", "reason", "anyOf", True),
        ("ImportResult", "held_out", "type", False),
        ("ImportResult", "change", "anyOf", False),
        ("DraftFacts", "version", "anyOf", False),
        ("ChatChunk", "usage", "anyOf", False),
        ("ChatChunk", "corll", "$ref", False),
    ],
)
def test_what_may_be_null_or_left_out_is_told_apart(
    shape: str, field: str, schema: str, required: bool
) -> None:
    assert schema in SCHEMAS[shape]["properties"][field]
    assert (field in SCHEMAS[shape].get("required", ())) is required
    assert "default" not in SCHEMAS[shape]["properties"][field]


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def test_the_document_and_the_desks_types_are_current() -> None:
    for package in ("fastapi", "pydantic"):
        if version(package) != pinned(package):
            pytest.skip(f"the document is that of {package} {pinned(package)}")
    command = [sys.executable, str(ROOT / "tools" / "write_schemas.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

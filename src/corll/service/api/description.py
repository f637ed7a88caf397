"""The OpenAPI document: FastAPI's, with the errors that really come, streams, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from corll.schemas.bodies import Answer
from corll.schemas.completions import ChatChunk, TextChunk
from corll.schemas.errors import Error
from corll.schemas.events import EVENTS
from corll.schemas.exports import ExportLine
from corll.schemas.requests import ImportRequest
from corll.schemas.responses import RESPONSE_EVENTS, ResponseEvent
from corll.service.api.error_answers import ApiError, error_body
from corll.service.api.examples import EXAMPLES

_FAILURES = {
    400: ("What was asked for cannot be, or not in this form.", "invalid_value"),
    401: ("There is no key or session, or it is not known.", "invalid_api_key"),
    403: ("The key's scope is too small, or its user has not consented.", "consent_required"),
    404: ("There is no such thing, or it is another's.", "not_found"),
    409: (
        "The idempotency key, or the draft's reference, came with another text before; or more "
        "than one draft fits.",
        "idempotency_key_reused",
    ),
    413: ("The body is too large.", "body_too_large"),
    429: (
        "Asked too often, too many drafts wait already, or too many keys were wrong.",
        "rate_limit_exceeded",
    ),
    500: ("The server failed; its log has the request's id.", "internal_error"),
    502: ("The upstream is down, or did not answer as it should.", "upstream_failed"),
    503: ("Drafting or the store is down; nothing was stored.", "store_unavailable"),
    504: ("The upstream took too long.", "upstream_timeout"),
}
"""What each status says, with the code that comes oftenest."""

_RETRY_AFTER = {"description": "In so many seconds.", "schema": {"type": "integer"}}
_NAMES_A_DRAFT = frozenset({"/v1/edits", "/v1/comparisons"})
_NAMES_A_MODEL = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
_OF_AN_UPSTREAM = frozenset({"/v1/chat/completions", "/v1/responses"})
_REF = "#/components/schemas/{model}"

_STREAMS: Mapping[tuple[str, str], Mapping[str | None, type[Answer]]] = {
    ("post", "/v1/chat/completions"): {None: ChatChunk},
    ("post", "/v1/completions"): {None: TextChunk},
    ("post", "/v1/responses"): dict.fromkeys(RESPONSE_EVENTS, ResponseEvent),
    ("get", "/v1/events"): {event.kind: event for event in EVENTS},
}
"""What routes send as server-sent events, by the events' names."""

_NOT_OF_A_ROUTE = (Error, ExportLine, ChatChunk, TextChunk, ResponseEvent, *EVENTS)
"""Shapes that FastAPI does not find: those of errors, and of pieces of answers."""


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        parts = document["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(name, None)
        _, more = models_json_schema(
            [(shape, "serialization") for shape in _NOT_OF_A_ROUTE], ref_template=_REF
        )
        _, taken = models_json_schema([(ImportRequest, "validation")], ref_template=_REF)
        found = taken["$defs"] | parts["schemas"] | more["$defs"]
        parts["schemas"] = dict(sorted(found.items()))
        parts["responses"] = {"Failure": _failure("Any other error, in the same shape.")}
        parts["responses"] |= {_name(status): _described(status) for status in _FAILURES}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _describe_answers(method, path, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _describe_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status in _statuses(path, operation):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})
    answers["default"] = {"$ref": "#/components/responses/Failure"}
    if (example := EXAMPLES.get((method, path))) is not None:
        answers["200"]["content"]["application/json"]["example"] = example
    if (events := _STREAMS.get((method, path))) is not None:
        content = answers["200"].setdefault("content", {})
        content["text/event-stream"] = _event_stream(events)


def _event_stream(events: Mapping[str | None, type[Answer]]) -> dict[str, Any]:
    """Describe server-sent events as OpenAPI 3.2 does, whose `itemSchema` is that of one."""
    return {
        "schema": {"type": "string"},
        "itemSchema": {"oneOf": [_event(name, shape) for name, shape in events.items()]},
    }


def _event(name: str | None, shape: type[Answer]) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": _REF.format(model=shape.__name__)},
    }
    properties: dict[str, Any] = {"data": data}
    if name is not None:
        properties["event"] = {"const": name}
    return {"type": "object", "required": list(properties), "properties": properties}


def _statuses(path: str, operation: dict[str, Any]) -> list[int]:
    """Return the errors that an operation may end in, by who may ask and what it takes."""
    if "operation" in operation["tags"]:
        return []
    found = [400, 401, 403, 429, 500, 503]
    if "requestBody" in operation:
        found.append(413)
    if "{" in path or path in _NAMES_A_DRAFT | _NAMES_A_MODEL:
        found.append(404)
    if path in _NAMES_A_DRAFT | _NAMES_A_MODEL:
        found.append(409)
    if path in _OF_AN_UPSTREAM:
        found += [502, 504]
    return sorted(found)


def _described(status: int) -> dict[str, Any]:
    """Describe a status of errors, with an example."""
    meaning, code = _FAILURES[status]
    answer = _failure(meaning)
    example = error_body(ApiError(status, code, meaning)).model_dump()
    answer["content"]["application/json"]["example"] = example
    if status == 429:
        answer["headers"] = {"retry-after": _RETRY_AFTER}
    return answer


def _failure(meaning: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=Error.__name__)}
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")

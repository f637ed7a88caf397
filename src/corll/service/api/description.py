"""The OpenAPI document: FastAPI's, with the errors that really come, and answers by example."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from corll.service.api.errors import ApiError, error_body

_ERROR = {
    "type": "object",
    "title": "Error",
    "description": "In the shape of OpenAI's. `code` is for programs, `message` for people.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_FAILURES = {
    400: ("What was asked for cannot be, or not in this form.", "invalid_value"),
    401: ("There is no key or session, or it is not known.", "invalid_api_key"),
    403: ("The key's scope is too small, or its user has not consented.", "consent_required"),
    404: ("There is no such thing, or it is another's.", "not_found"),
    409: ("The idempotency key came with another text before.", "idempotency_key_reused"),
    413: ("The body is too large.", "body_too_large"),
    429: ("Asked too often, or too many drafts wait already.", "rate_limit_exceeded"),
    500: ("The server failed; its log has the request's id.", "internal_error"),
    503: ("Drafting or the store is down; nothing was stored.", "store_unavailable"),
}
"""What each status says, with the code that comes oftenest."""

_RETRY_AFTER = {"description": "In so many seconds.", "schema": {"type": "integer"}}
_NAMES_A_DRAFT = frozenset({"/v1/edits", "/v1/comparisons"})
_NAMES_A_MODEL = frozenset({"/v1/chat/completions", "/v1/completions"})
_CREATED = 1_790_000_000
_USAGE = {"prompt_tokens": 38, "completion_tokens": 12, "total_tokens": 50}
_FINGERPRINT = "26c63b34136f20f7"
_ABOUT = {
    "candidates": 1,
    "implicit_reward": None,
    "user": "user_8JxQ",
    "stored": True,
    "version": 3,
}
_LEARNING = {"state": "recorded", "will_learn": True, "reason": None, "version": None}
_IMPORT = {
    "id": "import_7Tz",
    "object": "import",
    "user": "user_8JxQ",
    "state": "waiting",
    "total": 100,
    "used": 0,
    "result": None,
    "error": None,
    "created_at": _CREATED + 0.5,
    "finished_at": None,
}
EXAMPLES: dict[tuple[str, str], Any] = {
    ("post", "/v1/chat/completions"): {
        "id": "chatcmpl-3vT",
        "object": "chat.completion",
        "created": _CREATED,
        "model": "corll",
        "system_fingerprint": _FINGERPRINT,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello, the parcel is late; it will arrive on Friday.",
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
        "corll": _ABOUT,
    },
    ("post", "/v1/completions"): {
        "id": "cmpl-9Qs",
        "object": "text_completion",
        "created": _CREATED,
        "model": "corll",
        "system_fingerprint": _FINGERPRINT,
        "choices": [
            {"index": 0, "text": " we are sorry.", "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": _USAGE,
        "corll": _ABOUT,
    },
    ("post", "/v1/edits"): {
        "id": "edit_5Rk",
        "object": "edit",
        "draft_id": "chatcmpl-3vT",
        "choice": 0,
        "text": "Hello, it comes on Friday. Anna",
        "accepted": False,
        "edit_cost": 0.9,
        "created_at": _CREATED + 0.5,
        **_LEARNING,
    },
    ("post", "/v1/comparisons"): {
        "id": "comparison_2Hm",
        "object": "comparison",
        "chosen": {"draft_id": "chatcmpl-3vT", "choice": 1},
        "rejected": {"draft_id": "chatcmpl-3vT", "choice": 0},
        "created_at": _CREATED + 0.5,
        **_LEARNING,
    },
    ("post", "/v1/learn"): {"object": "learn", "queued": True, "waiting": 1, "learner": "ready"},
    ("get", "/v1/models"): {
        "object": "list",
        "data": [
            {
                "id": "corll",
                "object": "model",
                "created": 0,
                "owned_by": "corll",
                "base": "smollm2-135m",
            }
        ],
    },
    ("post", "/v1/imports"): _IMPORT,
    ("get", "/v1/imports/{import_id}"): {
        **_IMPORT,
        "state": "done",
        "used": 80,
        "result": {
            "held_out": 20,
            "version": 3,
            "edit_cost_before": {"mean": 0.41, "low": 0.34, "high": 0.48},
            "edit_cost_after": {"mean": 0.3, "low": 0.24, "high": 0.37},
            "change": {"mean": -0.27, "low": -0.41, "high": -0.11},
            "surprisal_before": {"mean": 2.5, "low": 2.31, "high": 2.7},
            "surprisal_after": {"mean": 1.52, "low": 1.38, "high": 1.66},
            "surprisal_change": {"mean": -0.98, "low": -1.13, "high": -0.84},
        },
        "finished_at": _CREATED + 240.5,
    },
}
"""Answers with the fields that they have, by method and path."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an app, made once."""
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
        parts["schemas"]["Error"] = _ERROR
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


def _statuses(path: str, operation: dict[str, Any]) -> list[int]:
    """The errors that an operation may end in, by who may ask and what it takes."""
    if "operation" in operation["tags"]:
        return []
    found = [400, 401, 403, 500, 503]
    if "security" in operation:
        found.append(429)
    if "requestBody" in operation:
        found.append(413)
    if "{" in path or path in _NAMES_A_DRAFT | _NAMES_A_MODEL:
        found.append(404)
    if path in _NAMES_A_DRAFT:
        found.append(409)
    return sorted(found)


def _described(status: int) -> dict[str, Any]:
    """A status of errors, with an example."""
    meaning, code = _FAILURES[status]
    answer = _failure(meaning)
    example = error_body(ApiError(status, code, meaning))
    answer["content"]["application/json"]["example"] = example
    if status == 429:
        answer["headers"] = {"retry-after": _RETRY_AFTER}
    return answer


def _failure(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")

"""The OpenAPI document: FastAPI's, with the errors that really come, and answers by example."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
_ERRORS = {
    "description": (
        "400 what was asked for cannot be; 401 no key; 403 no consent, or a key of too small a "
        "scope; 404 not there, or not yours; 409 a conflict; 413 too large; 429 too often, or too "
        "many wait; 503 drafting or the store is down."
    ),
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
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
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Error"] = _ERROR
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                answers = operation["responses"]
                answers.pop("422", None)
                answers["default"] = _ERRORS
                if (example := EXAMPLES.get((method, path))) is not None:
                    answers["200"]["content"]["application/json"]["example"] = example
        app.openapi_schema = document
    return app.openapi_schema

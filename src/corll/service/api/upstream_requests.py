"""Requests that an upstream answers: which they are, and what of them it is told."""

from __future__ import annotations

from typing import Any, TypeGuard

from corll.schemas.completion_requests import ChatRequest, CompletionRequest
from corll.service.api.error_answers import bad_request
from corll.service.api.model_routes import OWN
from corll.service.api.services import Services

_PASSED_ON = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "chat_template_kwargs",
)
"""Fields of a request that an upstream is told as they came. Never whose request it is."""


def goes_upstream(body: CompletionRequest, services: Services) -> TypeGuard[ChatRequest]:
    """Say whether an upstream draws: chats of `corll`, where there is one."""
    has_one = services.upstream is not None
    return has_one and isinstance(body, ChatRequest) and body.model == OWN


def passed_on(body: ChatRequest, services: Services) -> dict[str, Any]:
    """Return what an upstream is told beside the messages: what the request said, nothing else.

    *Raises*: ApiError (400) for what an upstream cannot be asked for.
    """
    if body.goes_on:
        message = (
            "An upstream drafts here, and OpenAI's API does not go on with a message of the "
            "assistant's: end with a message of the user's that asks for the rest."
        )
        raise bad_request(message, param="messages")
    if body.wanted_logprobs is not None:
        message = "An upstream drafts here, whose log-probabilities are not passed through."
        raise bad_request(message, param="logprobs", code="unsupported_parameter")
    said = {name: getattr(body, name) for name in _PASSED_ON}
    told = {name: value for name, value in said.items() if value is not None}
    most = services.settings.max_output_tokens
    if body.longest is None and most is not None:
        told["max_tokens"] = most
    if body.wants_usage:
        told["stream_options"] = {"include_usage": True}
    return told

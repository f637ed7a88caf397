"""Requests that an upstream answers: which they are, and what of them it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeGuard

from corll.config import CoactiveConfig
from corll.schemas.completion_requests import ChatRequest, CompletionRequest
from corll.service.api.error_answers import bad_request
from corll.service.api.model_routes import OWN
from corll.service.api.services import Services
from corll.service.drafting.serving import Serving
from corll.service.memory import Recall
from corll.service.settings import ServiceSettings

_PASSED_ON = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
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


def who_ranks(serving: Serving, settings: ServiceSettings) -> Serving:
    """Return for whom an upstream drafts; a version is a part of it only where it reranks."""
    if settings.upstream_candidates > 1:
        return serving
    return replace(serving, version=None, held_back=False, blind=False, reference=None)


def recall_for(body: ChatRequest, services: Services) -> Recall:
    """Return what finds letters for a request to an upstream.

    *Raises*: ApiError (400) for one that asks for letters which may not leave this machine.
    """
    settings = services.settings
    if body.remembers not in (None, "none") and not settings.upstream_memory:
        message = (
            "An upstream drafts here, which is told no past letters; leave memory out, or ask for "
            "--upstream-memory."
        )
        raise bad_request(message, param="memory")
    return Recall.for_upstream(settings, services.drafter.count_tokens)


def reranking(settings: ServiceSettings) -> CoactiveConfig:
    """Return how many drafts an upstream draws, and that R_π chooses among them."""
    return settings.coactive.with_settings(
        num_candidates=settings.upstream_candidates, selection="implicit_reward"
    )


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

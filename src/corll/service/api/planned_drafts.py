"""What a completion asks for: who drafts, behind which letters, how many and how long."""

from __future__ import annotations

import secrets
from typing import Any

from corll.config import CoactiveConfig
from corll.errors import StoreUnavailableError
from corll.records import Prompt, Verbatim
from corll.schemas.completion_requests import CompletionRequest, TextRequest
from corll.service.api.callers import Caller
from corll.service.api.error_answers import bad_request
from corll.service.api.frame_routes import check_frame
from corll.service.api.model_routes import BASE, OWN
from corll.service.api.services import Services
from corll.service.api.upstream_requests import (
    goes_upstream,
    passed_on,
    recall_for,
    reranking,
    who_ranks,
)
from corll.service.arms import who_drafts, who_drafts_unread
from corll.service.drafting.fairness import Owner
from corll.service.drafting.requests import DraftRequest
from corll.service.drafting.serving import Serving, ready_for
from corll.service.memory import Recall, Recalled
from corll.service.settings import ServiceSettings


def planned(
    body: CompletionRequest, serving: Serving, caller: Caller
) -> tuple[Serving, DraftRequest]:
    """Return who drafts, with what before the request, and what the engine is asked for."""
    services, settings = caller.services, caller.services.settings
    told = passed_on(body, services) if goes_upstream(body, services) else None
    default = settings.coactive if told is None else reranking(settings)
    config = config_of(body, default)
    check_frame(body.framing.frame, services.drafter)
    asked = body.stored_prompt
    prompt = services.drafter.settled(
        Verbatim(asked) if isinstance(asked, str) else asked, body.template_kwargs
    )
    serving, recalled = _chosen(body, serving, services, prompt)
    check_number(body, config, settings)
    return serving, DraftRequest(
        prompt=prompt,
        version=ready_for(serving, services.drafter, services.database.versions),
        max_new_tokens=length_of(body, services),
        seed=seed_of(body),
        config=config,
        choices=body.n or 1,
        stop=body.stops,
        top_logprobs=body.wanted_logprobs,
        tells=bool(body.stream),
        scored=bool(body.implicit_reward),
        blind=serving.blind,
        beginning=body.beginning,
        shortens=body.longest is None,
        guarded=settings.guards and body.seed is None,
        memory=recalled.memory,
        own=recalled.own,
        passed_on=told,
        adjustments=body.adjustments,
        owner=Owner(caller.key_id or f"browser:{serving.user.id}", serving.user.id),
    )


def _chosen(
    body: CompletionRequest, serving: Serving, services: Services, prompt: Prompt
) -> tuple[Serving, Recalled]:
    """Return who drafts, and what stands before a prompt.

    Before a request to the base, which is to compare with, no letters stand. A request with a seed
    is to be repeated, so that no coin decides.
    """
    settings = services.settings
    recall = Recall(settings, services.drafter.count_tokens)
    if goes_upstream(body, services):
        serving, recall = who_ranks(serving, settings), recall_for(body, services)
    try:
        return _read(body, serving, recall, services, prompt)
    except StoreUnavailableError:
        services.known.failed()
        if body.model == OWN:
            return who_drafts_unread(serving, recall, settings, body.framing)
        return serving, recall.examples_for(body.framing)


def _read(
    body: CompletionRequest, serving: Serving, recall: Recall, services: Services, prompt: Prompt
) -> tuple[Serving, Recalled]:
    with services.database.read() as db:
        if body.model == OWN:
            return who_drafts(
                db,
                serving,
                recall,
                services.settings,
                body.framing,
                prompt,
                asked=body.remembers,
                may_toss=body.seed is None,
            )
        user = None if body.model == BASE else serving.user
        return serving, recall.before(db, user, body.framing, prompt, body.remembers)


def check_number(
    body: CompletionRequest, config: CoactiveConfig, settings: ServiceSettings
) -> None:
    """Check how many responses are asked for. *Raises*: ApiError (400)."""
    by_best_of = isinstance(body, TextRequest) and body.best_of is not None
    drawn = "best_of" if by_best_of else "num_candidates"
    for name, value in (("n", body.n or 1), (drawn, config.num_candidates)):
        if value > settings.max_choices:
            message = f"{name} is {value}; this server allows {settings.max_choices}."
            raise bad_request(message, param=name)


def seed_of(body: CompletionRequest) -> int:
    """Return the seed of a request: by default a random one."""
    # Masked to 63 bits, since streams are keyed by a signed integer.
    return secrets.randbits(62) if body.seed is None else body.seed & (2**63 - 1)


def length_of(body: CompletionRequest, services: Services) -> int:
    """Return the most new tokens: as asked, else the server's own. *Raises*: ApiError (400)."""
    most = services.settings.max_output_tokens
    if body.longest is not None:
        if most is not None and body.longest > most:
            message = f"{body.longest} tokens are asked for; this server allows {most}."
            raise bad_request(message, param="max_tokens")
        return body.longest
    return services.settings.longest_draft


def config_of(body: CompletionRequest, default: CoactiveConfig) -> CoactiveConfig:
    """Return the server's settings as the request has them; temperature and top_p 0 are greedy."""
    changes: dict[str, Any] = {}
    if body.num_candidates is not None:
        changes["num_candidates"] = body.num_candidates
    if isinstance(body, TextRequest) and body.best_of is not None:
        changes |= {"num_candidates": body.best_of, "selection": "mean_logprob"}
    if body.top_k is not None:
        changes["top_k"] = max(body.top_k, 0)
    if body.temperature is not None:
        changes |= {"temperature": body.temperature} if body.temperature > 0 else {"top_k": 1}
    if body.top_p is not None:
        changes |= {"top_p": body.top_p} if body.top_p > 0 else {"top_k": 1}
    return default.with_settings(**changes) if changes else default

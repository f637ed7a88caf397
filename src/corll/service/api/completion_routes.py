"""POST /v1/chat/completions and /v1/completions: drafts, whole or streamed.

A draft is committed before its reply ends. When its client has gone, generation stops, and what was
drawn is kept as cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from corll.config import CoactiveConfig
from corll.records import Prompt, Verbatim
from corll.schemas.completion_requests import ChatRequest, CompletionRequest, TextRequest
from corll.schemas.completions import ChatCompletion, DraftFacts, LeakedFact, TextCompletion
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import bad_request, error_body, translated
from corll.service.api.frame_routes import check_frame
from corll.service.api.model_routes import BASE, OWN, resolve_model
from corll.service.api.replies import DONE, Reply, comment, event_stream, sse
from corll.service.api.services import Services
from corll.service.api.upstream_requests import (
    goes_upstream,
    passed_on,
    recall_for,
    reranking,
    who_ranks,
)
from corll.service.arms import who_drafts
from corll.service.drafting.requests import (
    Delta,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    Failed,
    Progress,
)
from corll.service.drafting.serving import Serving
from corll.service.memory import Recall, Recalled
from corll.service.store import drafts
from corll.service.store.rows import new_id

log = logging.getLogger(__name__)
router = APIRouter(tags=["drafts"])

_DISCONNECT_POLL_S = 0.2
_PREFIXES = {"chat": "chatcmpl-", "text": "cmpl-"}


@router.post(
    "/v1/chat/completions",
    summary="Draft an answer to a conversation",
    response_model=ChatCompletion,
)
async def chat_completions(body: ChatRequest, request: Request, caller: CurrentCaller) -> Response:
    """OpenAI's endpoint. `id` is what an edit refers to; `corll` says which version drafted."""
    return await _answer(body, request, caller)


@router.post("/v1/completions", summary="Continue a text", response_model=TextCompletion)
async def completions(body: TextRequest, request: Request, caller: CurrentCaller) -> Response:
    """OpenAI's older endpoint: the prompt is continued as it stands, without a chat template."""
    return await _answer(body, request, caller)


async def _answer(body: CompletionRequest, request: Request, caller: Caller) -> Response:
    draft = await _DraftUnderWay.begin(body, caller)
    if not body.stream:
        whole = await draft.whole(request)
        return Response(whole.model_dump_json(exclude_unset=True), media_type="application/json")
    return event_stream(draft.stream())


class _DraftUnderWay:
    """One request on its way: its place in the engine, and what becomes of it."""

    def __init__(
        self, body: CompletionRequest, caller: Caller, serving: Serving, request: DraftRequest
    ) -> None:
        services = caller.services
        self.body, self.services, self.serving, self.request = body, services, serving, request
        self.key_id = caller.key_id
        self.stored = serving.user.store and not body.declines_storing
        self.started = time.time()
        self.reply = Reply(
            body.kind,
            new_id(_PREFIXES[body.kind]),
            body.model,
            int(self.started),
            self._fingerprint,
        )
        self.events: asyncio.Queue[DraftEvent] = asyncio.Queue()
        self.job: DraftJob

    @classmethod
    async def begin(cls, body: CompletionRequest, caller: Caller) -> _DraftUnderWay:
        """*Raises*: ApiError, InputError, PromptTooLongError, EngineBusyError."""
        services, loop = caller.services, asyncio.get_running_loop()
        serving = await resolve_model(body.model, body.user_name, caller)
        # Long texts take their time to become tokens, for which no other request is to wait.
        serving, request = await run_in_threadpool(_planned, body, serving, services)
        draft = cls(body, caller, serving, request)
        if services.settings.log_texts and draft.stored:
            log.info("prompt", extra={"prompt": body.stored_prompt})

        def on_event(event: DraftEvent) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(draft.events.put_nowait, event)

        upstream = services.upstream if request.passed_on is not None else None
        submit = (upstream or services.drafter).submit
        draft.job = await run_in_threadpool(submit, request, on_event)
        return draft

    @property
    def _fingerprint(self) -> str:
        """What is known of the weights that draft: of an upstream's, their name."""
        upstream = self.services.upstream
        if upstream is None or self.request.passed_on is None:
            return self.services.drafter.fingerprint
        return f"upstream:{upstream.model}"

    async def whole(self, request: Request) -> ChatCompletion | TextCompletion:
        """Return the reply in one piece, once all of it is drawn and committed."""
        try:
            drawn = await self._until_drawn(request)
        except asyncio.CancelledError:
            self._abandon()
            raise
        await self._keep(drawn)
        return self.reply.whole(drawn, self._facts(drawn))

    async def stream(self) -> AsyncIterator[str]:
        """Return server-sent events; an error after the first of them is an event too."""
        drawn: Drawn | None = None
        try:
            for chunk in self.reply.opening(self.request.choices):
                yield chunk
            while drawn is None:
                event = await self.events.get()
                if isinstance(event, Delta):
                    yield self.reply.piece(event.choice, event.text, event.logprobs)
                elif isinstance(event, Progress):
                    yield comment(f"{event.done}/{event.total}")
                elif isinstance(event, Failed):
                    await asyncio.shield(self._keep_half(event))
                    raise event.error
                else:
                    drawn = event
            await asyncio.shield(self._keep(drawn))  # its text was seen: it must not get lost
            for chunk in self.reply.closing(drawn, self._facts(drawn)):
                yield chunk
            if self.body.wants_usage:
                yield self.reply.usage_chunk(drawn)
            yield DONE
        except (asyncio.CancelledError, GeneratorExit):
            if drawn is None:
                self._abandon()
            raise
        except Exception as error:
            yield sse(error_body(translated(error)))
            yield DONE

    async def _until_drawn(self, request: Request) -> Drawn:
        while True:
            try:
                async with asyncio.timeout(_DISCONNECT_POLL_S):
                    event = await self.events.get()
            except TimeoutError:
                if await request.is_disconnected():
                    self.job.cancel()
                continue
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Drawn):
                return event

    def _abandon(self) -> None:
        """Stop the drawing, and keep what there is once the engine has let go of it."""
        self.job.cancel()

        async def keep_what_there_is() -> None:
            while True:
                event = await self.events.get()
                if isinstance(event, Failed):
                    await self._keep_half(event)
                    return
                if isinstance(event, Drawn):
                    await self._keep(replace(event, cancelled=True))
                    return

        task = asyncio.get_running_loop().create_task(keep_what_there_is())
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)

    async def _keep_half(self, event: Failed) -> None:
        """Keep what was told of a draft that has no end, as one that was cut off."""
        if event.drawn is not None:
            await self._keep(replace(event.drawn, cancelled=True))

    async def _keep(self, drawn: Drawn) -> None:
        """Commit the draft: to the store, or for a day to memory where it is not to be stored.

        Its user may have withdrawn consent while it was drawn.
        """
        row = self.serving.row_of(
            self.request,
            drawn,
            draft_id=self.reply.id,
            key_id=self.key_id,
            kind=self.body.kind,
            model=self.body.model,
            asked=self.body.filled,
            created_at=self.started,
        )
        if self.stored:
            self.stored = await self.services.write(lambda db: drafts.add_draft_if_agreed(db, row))
        if not self.stored:
            self.services.in_memory.add(row, never_stored=self.body.declines_storing)
        self.services.metrics.drafted(row, seconds=time.time() - self.started)

    def _facts(self, drawn: Drawn) -> DraftFacts:
        """Say what the reply adds under `corll`; a blind measurement does not say who drafted."""
        scores = drawn.scores if self.request.config.selection == "implicit_reward" else None
        best = None if scores is None else scores[drawn.shown[0]]
        version, user = self.serving.version, self.serving.user
        told: dict[str, Any] = {
            "implicit_reward": best,
            "version": None if version is None else version.number,
            **({} if self.serving.arm is None else {"arm": self.serving.arm}),
        }
        return DraftFacts(
            candidates=len(drawn.candidates),
            user=user.id,
            stored=self.stored,
            **self._exceptional(drawn),
            **({"implicit_reward": None, "blind": True} if self.serving.blind else told),
        )

    def _exceptional(self, drawn: Drawn) -> dict[str, Any]:
        """Return what most replies have nothing to say of."""
        told = {
            "goes_on": bool(self.request.beginning),
            "thrown_away": drawn.thrown_away,
            "looped": list(drawn.looped),
            "memory": list(drawn.memory),
            "leaks": _leaks(drawn),
            "drafted_by": "upstream" if drawn.upstream else None,
            "upstream_model": drawn.upstream,
        }
        return {name: value for name, value in told.items() if value}


def _leaks(drawn: Drawn) -> list[LeakedFact]:
    return [
        LeakedFact(
            choice=choice,
            start=leak.start,
            end=leak.end,
            text=leak.words,
            kind=leak.kind,
            memory=leak.exchange_id,
        )
        for choice, leaks in enumerate(drawn.leaks)
        for leak in leaks
    ]


_abandoned: set[asyncio.Task[None]] = set()
"""Tasks that store what a client left behind; the loop alone would not keep them alive."""


def _planned(
    body: CompletionRequest, serving: Serving, services: Services
) -> tuple[Serving, DraftRequest]:
    """Return who drafts, with what before the request, and what the engine is asked for."""
    asks_upstream = goes_upstream(body, services)
    default = reranking(services.settings) if asks_upstream else services.settings.coactive
    config = _config(body, default)
    check_frame(body.framing.frame, services.drafter)
    asked = body.stored_prompt
    prompt = services.drafter.settled(
        Verbatim(asked) if isinstance(asked, str) else asked, body.template_kwargs
    )
    serving, recalled = _chosen(body, serving, services, prompt)
    choices = body.n or 1
    most = services.settings.max_choices
    for name, value in (("n", choices), ("num_candidates", config.num_candidates)):
        if value > most:
            raise bad_request(f"{name} is {value}; this server allows {most}.", param=name)
    # Masked to 63 bits, since streams are keyed by a signed integer.
    seed = secrets.randbits(62) if body.seed is None else body.seed & (2**63 - 1)
    return serving, DraftRequest(
        prompt=prompt,
        version=serving.folder_in(services.database.folder),
        max_new_tokens=_length(body, services),
        seed=seed,
        config=config,
        choices=choices,
        stop=body.stops,
        top_logprobs=body.wanted_logprobs,
        tells=bool(body.stream),
        scored=bool(body.implicit_reward),
        blind=serving.blind,
        beginning=body.beginning,
        shortens=body.longest is None,
        guarded=services.settings.guards and body.seed is None,
        memory=recalled.memory,
        own=recalled.own,
        passed_on=passed_on(body, services) if goes_upstream(body, services) else None,
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
    with services.database.read() as db:
        if body.model == OWN:
            return who_drafts(
                db,
                serving,
                recall,
                settings,
                body.framing,
                prompt,
                asked=body.remembers,
                may_toss=body.seed is None,
            )
        user = None if body.model == BASE else serving.user
        return serving, recall.before(db, user, body.framing, prompt, body.remembers)


def _length(body: CompletionRequest, services: Services) -> int:
    """As asked; else the server's own."""
    most = services.settings.max_output_tokens
    if body.longest is not None:
        if most is not None and body.longest > most:
            message = f"{body.longest} tokens are asked for; this server allows {most}."
            raise bad_request(message, param="max_tokens")
        return body.longest
    return services.settings.longest_draft


def _config(body: CompletionRequest, default: CoactiveConfig) -> CoactiveConfig:
    """Return the server's settings as the request changes them; temperature 0 is greedy."""
    changes: dict[str, Any] = {}
    if body.num_candidates is not None:
        changes["num_candidates"] = body.num_candidates
    if body.temperature is not None:
        changes |= {"temperature": body.temperature} if body.temperature > 0 else {"top_k": 1}
    if body.top_p is not None:
        changes["top_p"] = body.top_p
    return default.with_settings(**changes) if changes else default

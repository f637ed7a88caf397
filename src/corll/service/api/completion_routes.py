"""POST /v1/chat/completions and /v1/completions: drafts, whole or streamed; /v1/responses too.

A draft is committed before its reply ends. When its client has gone, generation stops, and what was
drawn is kept as cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from corll.durable_points import reached
from corll.errors import StoreUnavailableError
from corll.schemas.bodies import Answer
from corll.schemas.completion_requests import ChatRequest, CompletionRequest, TextRequest
from corll.schemas.completions import (
    ChatCompletion,
    DraftFacts,
    LeakedFact,
    NotStored,
    TextCompletion,
)
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import error_body, translated
from corll.service.api.evaluations import evaluated
from corll.service.api.model_routes import resolve_model
from corll.service.api.planned_drafts import planned
from corll.service.api.refs import check_chosen_ref, client_ref
from corll.service.api.replies import (
    DRAFT_ID_HEADER,
    DraftReply,
    Reply,
    comment,
    event_stream,
)
from corll.service.api.request_spans import DraftSpan
from corll.service.drafting.requests import (
    Begun,
    Delta,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    EngineBusyError,
    Failed,
    Progress,
)
from corll.service.drafting.serving import Serving
from corll.service.logs import log_texts
from corll.service.store import drafts
from corll.service.store.drafts import DraftRow
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
    return await answer(body, request, caller)


@router.post("/v1/completions", summary="Continue a text", response_model=TextCompletion)
async def completions(body: TextRequest, request: Request, caller: CurrentCaller) -> Response:
    """OpenAI's older endpoint: the prompt is continued as it stands, without a chat template.

    With `echo`, several prompts, ids in place of a text, or `max_tokens` 0 it is no draft: nothing
    is kept of it.
    """
    if body.is_evaluation:
        try:
            return _json(await evaluated(body, request, caller))
        except EngineBusyError:
            caller.services.metrics.refused()
            raise
    return await answer(body, request, caller)


async def answer(
    body: CompletionRequest,
    request: Request,
    caller: Caller,
    *,
    serving: Serving | None = None,
    reply: DraftReply | None = None,
) -> Response:
    """Draft, and answer in one piece or as events.

    `serving` is who drafts where that is known already, and `reply` makes the answer of a request
    that came in another shape.
    """
    ref = client_ref(body, request)
    try:
        draft = await _DraftUnderWay.begin(body, caller, serving=serving, reply=reply, ref=ref)
        headers = {DRAFT_ID_HEADER: draft.reply.id}
        if body.stream:
            await draft.until_begun(request)
            return event_stream(draft.stream(), headers)
        whole = await draft.whole(request)
    except EngineBusyError:
        caller.services.metrics.refused()
        raise
    return _json(whole, headers)


def _json(reply: Answer, headers: dict[str, str] | None = None) -> Response:
    told = reply.model_dump_json(exclude_unset=True)
    return Response(told, media_type="application/json", headers=headers)


class _DraftUnderWay:
    """One request on its way: its place in the engine, and what becomes of it."""

    def __init__(
        self,
        body: CompletionRequest,
        caller: Caller,
        serving: Serving,
        request: DraftRequest,
        *,
        reply: DraftReply | None,
        ref: str | None,
    ) -> None:
        services = caller.services
        self.body, self.services, self.serving, self.request = body, services, serving, request
        self.key_id, self.ref = caller.key_id, ref
        self.not_stored: NotStored | None = None if serving.user.store else "consent"
        if body.declines_storing:
            self.not_stored = "request"
        self.started = time.time()
        self.reply: DraftReply = reply or Reply(
            body, new_id(_PREFIXES[body.kind]), int(self.started), self._fingerprint
        )
        self.events: asyncio.Queue[DraftEvent] = asyncio.Queue()
        self.span = DraftSpan(services.tracing, self.reply.id, serving.user)
        self.job: DraftJob

    @classmethod
    async def begin(
        cls,
        body: CompletionRequest,
        caller: Caller,
        *,
        serving: Serving | None,
        reply: DraftReply | None,
        ref: str | None,
    ) -> _DraftUnderWay:
        """*Raises*: ApiError, InputError, PromptTooLongError, EngineBusyError."""
        services, loop = caller.services, asyncio.get_running_loop()
        asked = serving or await resolve_model(body.model, body.user_name, caller)
        # Long texts take their time to become tokens, for which no other request is to wait.
        drafts_by, request = await run_in_threadpool(planned, body, asked, caller)
        await check_chosen_ref(body, request, drafts_by, caller)
        draft = cls(body, caller, drafts_by, request, reply=reply, ref=ref)
        if draft.not_stored is None:
            log_texts(services.settings, "prompt", prompt=body.stored_prompt)

        def on_event(event: DraftEvent) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(draft.events.put_nowait, event)

        upstream = services.upstream if request.passed_on is not None else None
        submit = (upstream or services.drafter).submit
        with draft.span.failing():
            draft.job = await run_in_threadpool(submit, request, on_event)
        return draft

    @property
    def _fingerprint(self) -> str:
        """What is known of the weights that draft: of an upstream's, their name."""
        upstream = self.services.upstream
        if upstream is None or self.request.passed_on is None:
            return self.services.drafter.fingerprint
        return f"upstream:{upstream.model}"

    async def until_begun(self, request: Request) -> None:
        """Wait until the drawing begins: who is refused while waiting gets a status that says so.

        *Raises*: EngineBusyError, and whatever the drawing could not be begun for.
        """
        try:
            event = await self._next(request)
        except asyncio.CancelledError:
            self._abandon()
            raise
        if isinstance(event, Failed):
            self.span.fail(event.error)
            raise event.error
        self._noted(event)

    async def whole(self, request: Request) -> Answer:
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
        has_failed = False
        try:
            for chunk in self.reply.opening(self.request.choices):
                yield chunk
            while drawn is None:
                event = await self.events.get()
                if isinstance(event, Delta):
                    yield self.reply.piece(event.choice, event.text, event.logprobs)
                elif isinstance(event, Progress):
                    yield comment(f"{event.done}/{event.total}")
                elif isinstance(event, Begun):
                    self._noted(event)
                elif isinstance(event, Failed):
                    has_failed = True
                    await asyncio.shield(self._keep_half(event))
                    raise event.error
                else:
                    drawn = event
            await asyncio.shield(self._keep(drawn))  # its text was seen: it must not get lost
            for chunk in self.reply.closing(drawn, self._facts(drawn)):
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            if drawn is None and not has_failed:  # else nothing more is told of it
                self._abandon()
            raise
        except Exception as error:
            for chunk in self.reply.failing(error_body(translated(error)).error):
                yield chunk

    async def _until_drawn(self, request: Request) -> Drawn:
        while True:
            event = await self._next(request)
            if isinstance(event, Failed):
                self.span.fail(event.error)
                raise event.error
            if isinstance(event, Drawn):
                return event
            self._noted(event)

    async def _next(self, request: Request) -> DraftEvent:
        """Wait for what is told next, and cancel the draft once its client has gone."""
        while True:
            try:
                async with asyncio.timeout(_DISCONNECT_POLL_S):
                    return await self.events.get()
            except TimeoutError:
                if await request.is_disconnected():
                    self.job.cancel()

    def _noted(self, event: DraftEvent) -> None:
        """Count for how long a draft that is begun has waited."""
        if isinstance(event, Begun):
            self.services.metrics.waited(event.waited)

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
        if event.drawn is None:
            self.span.fail(event.error)
        else:
            await self._keep(replace(event.drawn, cancelled=True))

    async def _keep(self, drawn: Drawn) -> None:
        """Commit the draft: to the store, or for a day to memory where it is not to be stored.

        Its user may have withdrawn consent while it was drawn. While the database is away, or takes
        no changes, memory has it, and the store once its edit comes.
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
        row = replace(row, ref=self.ref, response=self.reply.kept(drawn))
        if drawn.beginning is not None:
            begun = {drafts.BEGUN: len(drawn.beginning.text)}
            row = replace(row, sampling=row.sampling | begun)
        if self.not_stored is None:
            with self.span.failing():
                self.not_stored = await self._store(row)
        if self.not_stored is None:
            reached("draft committed")
            texts = [row.choice(number)["text"] for number in range(len(row.shown))]
            log_texts(self.services.settings, "draft", draft_id=row.id, texts=texts)
        else:
            self.services.in_memory.add(row, never_stored=self.body.declines_storing)
        self.services.metrics.drafted(row, seconds=time.time() - self.started)
        self.span.end(row, drawn, stored=self.not_stored is None)

    async def _store(self, row: DraftRow) -> NotStored | None:
        """Keep a draft for good; say why it is not, where its user or the database does not."""
        try:
            kept = await self.services.write(lambda db: drafts.add_draft_if_agreed(db, row))
        except StoreUnavailableError as error:
            log.warning("a draft is kept in memory alone: %s", error)
            return "database"
        return None if kept else "consent"

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
            stored=self.not_stored is None,
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
            "ignored": self.reply.ignored,
            "not_stored_because": self.not_stored,
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

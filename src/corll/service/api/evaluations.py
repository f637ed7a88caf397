"""POST /v1/completions where a model is looked at: echo, several prompts, ids, no new tokens.

Such a request is no draft. Nothing of it is stored, no coin decides who draws, no letter stands
before it, and no edit of it is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from corll.config import CoactiveConfig
from corll.errors import PromptTooLongError
from corll.records import Verbatim
from corll.schemas.completion_requests import TextRequest
from corll.schemas.completions import DraftFacts, TextChoice, TextCompletion, Usage
from corll.service.api.callers import Caller
from corll.service.api.model_routes import OWN, resolve_model
from corll.service.api.planned_drafts import check_number, config_of, length_of, seed_of
from corll.service.api.replies import finish_reason, text_logprobs
from corll.service.drafting.fairness import Owner
from corll.service.drafting.requests import (
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    Failed,
    NobodyWaitsError,
    TokenLogprob,
    VersionFolder,
)
from corll.service.drafting.serving import Serving, ready_for, serving_for
from corll.service.store.rows import new_id

PREFIX = "eval-"
"""What ids of such replies begin with, by which an edit of one is known."""

NO_DRAFT = (
    "A completion with echo, several prompts, ids in place of a text, or max_tokens=0 is no draft: "
    "nothing of it is kept, so it cannot be edited. Ask for one text without these."
)

_AT_ONCE = 16
_POLL_S = 0.2


class _Prompt(NamedTuple):
    """A prompt as it is read: its ids, how many of them it was not given with, and its text."""

    ids: tuple[int, ...]
    own: int
    text: str | None


async def evaluated(body: TextRequest, request: Request, caller: Caller) -> TextCompletion:
    """Return what a model makes of prompts.

    *Raises*: ApiError, InputError, PromptTooLongError, EngineBusyError, AdapterError.
    """
    serving = await _who_draws(body, caller)
    made = _Evaluation(body, serving, caller)
    work = asyncio.ensure_future(made.reply())
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=_POLL_S)
            if not work.done() and await request.is_disconnected():
                raise NobodyWaitsError
        return work.result()
    finally:
        work.cancel()


async def _who_draws(body: TextRequest, caller: Caller) -> Serving:
    """Return whose weights are looked at: of `corll` the version that serves, never by chance."""
    serving = await resolve_model(body.model, body.user_name, caller)
    if body.model != OWN:
        return serving
    user = serving.user
    return await caller.services.read(lambda db: serving_for(db, user, chance=lambda: 1.0))


class _Evaluation:
    """One request: its prompts are read one after another, and drawn for a few at a time."""

    def __init__(self, body: TextRequest, serving: Serving, caller: Caller) -> None:
        self.body, self.serving, self.services = body, serving, caller.services
        settings = caller.services.settings
        self.config: CoactiveConfig = config_of(body, settings.coactive)
        check_number(body, self.config, settings)
        self.version: VersionFolder | None = None
        self.owner = Owner(caller.key_id or f"browser:{serving.user.id}", serving.user.id)
        self.seed, self.jobs = seed_of(body), list[DraftJob]()

    async def reply(self) -> TextCompletion:
        """Return the reply in one piece."""
        services = self.services
        self.version = await run_in_threadpool(
            ready_for, self.serving, services.drafter, services.database.versions
        )
        prompts = await run_in_threadpool(self._prompts)
        read = [await self._read(prompt) for prompt in prompts]
        drawn: list[Drawn | None] = [None] * len(prompts)
        if self.body.max_tokens != 0:
            drawn = []
            for start in range(0, len(prompts), _AT_ONCE):
                drawn += await self._drawn(prompts[start : start + _AT_ONCE])
        parts = list(zip(prompts, read, drawn, strict=True))
        choices = [choice for part in parts for choice in self._choices(*part)]
        numbered = [one.model_copy(update={"index": n}) for n, one in enumerate(choices)]
        return self._whole(prompts, drawn, numbered)

    def _prompts(self) -> list[_Prompt]:
        drafter, limit = self.services.drafter, self.config.max_prompt_length
        found = []
        for prompt in self.body.prompts:
            if isinstance(prompt, str):
                found.append(_Prompt(*drafter.ids_of_text(prompt), prompt))
            else:
                found.append(_Prompt(prompt, 0, None))
            length = len(found[-1].ids)
            if limit is not None and length > limit:
                raise PromptTooLongError(
                    f"The prompt is too long: it has {length} tokens, over "
                    f"max_prompt_length={limit}. Shorten it or raise the limit."
                )
        return found

    async def _read(self, prompt: _Prompt) -> tuple[TokenLogprob, ...]:
        """Return what the echo says of a prompt's tokens."""
        if not self.body.echo:
            return ()
        count = self.body.logprobs or 0
        read = self.services.drafter.read
        return await asyncio.wrap_future(read(prompt.ids, self.version, count, prompt.own))

    async def _drawn(self, prompts: Sequence[_Prompt]) -> list[Drawn]:
        """Return what is drawn for some prompts, together as far as there is room."""
        pending = [await self._submitted(prompt) for prompt in prompts]
        try:
            return [await one for one in pending]
        finally:
            for job in self.jobs:
                job.cancel()
            self.jobs.clear()

    async def _submitted(self, prompt: _Prompt) -> asyncio.Future[Drawn]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Drawn] = loop.create_future()

        def settle(event: Drawn | Failed) -> None:
            if done.done():
                return
            if isinstance(event, Failed):
                done.set_exception(event.error)
            else:
                done.set_result(event)

        def on_event(event: DraftEvent) -> None:
            if isinstance(event, Drawn | Failed) and not loop.is_closed():
                loop.call_soon_threadsafe(settle, event)

        asked = self._request(prompt)
        job = await run_in_threadpool(self.services.drafter.submit, asked, on_event)
        self.jobs.append(job)
        return done

    def _request(self, prompt: _Prompt) -> DraftRequest:
        body = self.body
        return DraftRequest(
            prompt=Verbatim(prompt.text or ""),
            prompt_ids=prompt.ids,
            version=self.version,
            max_new_tokens=length_of(body, self.services),
            seed=self.seed,
            config=self.config,
            choices=body.n or 1,
            stop=body.stops,
            top_logprobs=body.logprobs or 0,  # so that the weights that score draw, not int8's
            tells=False,
            tells_end=True,
            shortens=body.longest is None,
            owner=self.owner,
            adjustments=body.adjustments,
        )

    def _choices(
        self, prompt: _Prompt, read: tuple[TokenLogprob, ...], drawn: Drawn | None
    ) -> list[TextChoice]:
        """Return the choices of one prompt."""
        wants = self.body.logprobs is not None
        before = "" if not self.body.echo else prompt.text
        if before is None:
            before = b"".join(token.bytes for token in read).decode(errors="replace")
        if drawn is None:
            logprobs = text_logprobs(read) if wants else None
            return [
                TextChoice(index=0, text=before, logprobs=logprobs, finish_reason="length")
                for _ in range(self.body.n or 1)
            ]
        return [
            TextChoice(
                index=0,
                text=before + _following(drawn, choice),
                logprobs=text_logprobs([*read, *drawn.logprobs[choice]]) if wants else None,
                finish_reason=finish_reason(drawn, choice),
            )
            for choice in range(len(drawn.shown))
        ]

    def _whole(
        self, prompts: Sequence[_Prompt], drawn: Sequence[Drawn | None], choices: list[TextChoice]
    ) -> TextCompletion:
        read = sum(len(prompt.ids) for prompt in prompts)
        written = sum(one.completion_tokens for one in drawn if one is not None)
        version = self.serving.version
        return TextCompletion(
            id=new_id(PREFIX),
            object="text_completion",
            created=int(time.time()),
            model=self.body.model,
            system_fingerprint=self.services.drafter.fingerprint,
            choices=choices,
            usage=Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written),
            corll=DraftFacts(
                candidates=sum(len(one.candidates) for one in drawn if one is not None),
                implicit_reward=None,
                user=self.serving.user.id,
                stored=False,
                not_stored_because="request",
                version=None if version is None else version.number,
                **({"ignored": self.body.ignored} if self.body.ignored else {}),
            ),
        )


def _following(drawn: Drawn, choice: int) -> str:
    """Return what was drawn of a choice, with the space that its first token has after a text."""
    text, tokens = drawn.text(choice), drawn.logprobs[choice]
    lacks = bool(tokens) and tokens[0].bytes.startswith(b" ") and not text.startswith(" ")
    return f" {text}" if lacks else text

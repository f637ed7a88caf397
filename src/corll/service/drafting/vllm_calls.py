"""Calls of vLLM's completions, in token ids: a prompt's ids go out, the drawn ids come back.

Checked against vLLM 0.32: `prompt` may be ids, `return_token_ids` gives those of a choice, and
`logprobs` are of the full distribution, before temperature and top-k.
"""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, Field

from corll.compute.packing import Ids
from corll.config import AdjustedSampling, SamplingConfig
from corll.service.drafting.upstream_calls import UpstreamCalls
from corll.service.drafting.upstream_failures import UpstreamFailures
from corll.service.upstream import UpstreamError

log = logging.getLogger(__name__)

_TOKEN = "token_id:"


class _Logprobs(BaseModel):
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(BaseModel):
    index: int = Field(0, ge=0)
    token_ids: list[int]
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: _Logprobs | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    error: Any = None


class _PromptChoice(BaseModel):
    prompt_logprobs: list[dict[str, Any] | None]


class _Scored(BaseModel):
    choices: list[_PromptChoice] = Field(min_length=1)


class _Model(BaseModel):
    id: str
    parent: str | None = None


class _Models(BaseModel):
    data: list[_Model]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is to be drawn: `name` is a version's id, or None for the base.

    `salt` keeps what the engine remembers of a prompt apart from that of other salts. `top` is how
    many likely tokens are told of at each place; None for none.
    """

    name: str | None
    prompt: Ids
    count: int
    max_new_tokens: int
    seed: int
    sampling: SamplingConfig
    end_ids: Ids
    stop: tuple[str, ...] = ()
    salt: str | None = None
    top: int | None = None

    def body(self, base: str) -> dict[str, Any]:
        """Return the request's body; `base` is the engine's name of the base."""
        return {
            "model": self.name or base,
            "prompt": list(self.prompt),
            "n": self.count,
            "max_tokens": self.max_new_tokens,
            "seed": self.seed,
            "temperature": self.sampling.temperature,
            "top_k": self.sampling.top_k,
            "top_p": self.sampling.top_p,
            "stop": list(self.stop),
            "stop_token_ids": list(self.end_ids),
            "logprobs": self.top or 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            # What is not ours to add: no second beginning, no end that is left out.
            "add_special_tokens": False,
            **({} if self.salt is None else {"cache_salt": self.salt}),
            **_adjustments(self.sampling),
        }


def _adjustments(sampling: SamplingConfig) -> dict[str, Any]:
    """Return the biases and penalties of a request, by the names that vLLM has for them too."""
    if not isinstance(sampling, AdjustedSampling):
        return {}
    own = sampling.model_dump(
        include=AdjustedSampling.model_fields.keys() - SamplingConfig.model_fields.keys()
    )
    bias = {str(token): value for token, value in sampling.logit_bias.items()}
    return {**own, "logit_bias": bias}


@dataclass(frozen=True, slots=True)
class RemotelyDrawn:
    """What an engine drew of a response, of which `index` is the number: all of it, or a piece.

    `ended` says that nothing follows, `finished` that the response came to an end of its own,
    which is the last of `token_ids` then. *Units*: `logprobs` in nats, one a token, of the full
    distribution as the engine computes it: near to our own, for showing, not for learning.
    """

    token_ids: Ids
    logprobs: tuple[float, ...]
    finished: bool
    top: tuple[dict[int, float], ...] = ()
    index: int = 0
    ended: bool = True


class EngineFailures(UpstreamFailures):
    """The errors of an engine that draws for this service."""

    flag = "--engine-url"

    def refused(self, answer: httpx.Response, content: bytes) -> UpstreamError:
        """Return the error of an answer by its status."""
        if answer.status_code == 404:
            return UpstreamError(
                f"The engine {self._url} does not know what is to draft "
                f"({self._message(content)}). See whether corll-vllm runs in it with this "
                "service's database, and what its log says.",
                code="engine_lacks_version",
            )
        return super().refused(answer, content)


class EngineCalls(UpstreamCalls):
    """Asks one replica of vLLM. *Units*: `timeout` in seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        super().__init__(url, None, timeout, route="/completions", failures=EngineFailures)
        self.base: str | None = None

    async def base_name(self) -> str:
        """Return the engine's name of its base: that of a model without a parent.

        *Raises*: UpstreamError.
        """
        if self.base is None:
            with self._failures.translated():
                answer = await self._client.get(f"{self.url}/models")
            if not answer.is_success:
                raise self._failures.refused(answer, answer.content)
            models = self._read(_Models, answer.content, answer).data
            bases = [model.id for model in models if model.parent is None]
            if not bases:
                raise self._failures.no_draft(None, "it serves no model")
            self.base = bases[0]
        return self.base

    async def draw(self, drawing: Drawing) -> list[RemotelyDrawn]:
        """Return what was drawn, in the order of candidates. *Raises*: UpstreamError."""
        whole = await self._asked(_Answer, drawing.body(await self.base_name()))
        choices = sorted(whole.choices, key=lambda choice: choice.index)
        if len(choices) != drawing.count:
            raise self._failures.no_draft(None, f"{len(choices)} choices of {drawing.count}")
        return [_drawn(choice, drawing.end_ids) for choice in choices]

    async def pieces(self, drawing: Drawing) -> AsyncGenerator[RemotelyDrawn, None]:
        """Yield what is drawn of each candidate, piece by piece.

        Who takes no more closes it, which lets the engine give up what is left.
        *Raises*: UpstreamError, also where the stream breaks off before all candidates have ended.
        """
        body, left = drawing.body(await self.base_name()), set(range(drawing.count))
        with self._failures.translated():
            async with self._answer({**body, "stream": True}) as answer:
                self._failures.check_stream(answer)
                async for data in self._events(answer):
                    if data == "[DONE]":
                        break
                    chunk = self._read(_Chunk, data.encode(), answer)
                    if chunk.error is not None:
                        raise self._failures.reported(chunk.error)
                    for choice in chunk.choices:
                        if choice.index in left:
                            piece = _drawn(choice, drawing.end_ids)
                            left -= {choice.index} if piece.ended else set()
                            yield piece
                if left:
                    raise self._failures.half()

    async def score(self, prompt: Ids, response: Ids) -> float:
        """Return log π_0(y|x) as the engine computes it. *Units*: nats. *Raises*: UpstreamError."""
        body = {
            "model": await self.base_name(),
            "prompt": [*prompt, *response],
            "max_tokens": 1,
            "prompt_logprobs": 0,
            "add_special_tokens": False,
        }
        told = (await self._asked(_Scored, body)).choices[0].prompt_logprobs
        places = told[len(prompt) : len(prompt) + len(response)]
        total = 0.0
        for token, place in zip(response, places, strict=True):
            found = (place or {}).get(str(token), {})
            total += float(found.get("logprob", -math.inf))
        return total

    async def unload(self, name: str) -> None:
        """Let the engine forget a version's name; one that it does not know is none to forget.

        *Raises*: UpstreamError.
        """
        with self._failures.translated():
            answer = await self._client.post(
                f"{self.url}/unload_lora_adapter", json={"lora_name": name}
            )
        if not answer.is_success and answer.status_code not in (400, 404):
            raise self._failures.refused(answer, answer.content)

    async def _asked(self, shape: type[Any], body: dict[str, Any]) -> Any:
        with self._failures.translated():
            async with asyncio.timeout(self._timeout), self._answer(body) as answer:
                content = await self._content(answer)
        return self._read(shape, content, answer)


class Replicas:
    """Engines that draw alike. A version's drafts go to one of them, where its weights are."""

    def __init__(self, urls: Sequence[str], timeout: float) -> None:
        self.each = [EngineCalls(url, timeout) for url in urls]

    async def draw(self, drawing: Drawing) -> list[RemotelyDrawn]:
        """Return what was drawn: by the replica whose turn it is, else by one that can be reached.

        *Raises*: UpstreamError.
        """
        for replica in self._in_turn(drawing):
            try:
                return await replica.draw(drawing)
            except UpstreamError as error:
                if error.code != "upstream_unreachable":
                    raise
                away = error
        raise away

    async def pieces(self, drawing: Drawing) -> AsyncGenerator[RemotelyDrawn, None]:
        """Yield what is drawn, piece by piece, by the replica that `draw` would ask.

        *Raises*: UpstreamError.
        """
        begun = False
        for replica in self._in_turn(drawing):
            try:
                async with aclosing(replica.pieces(drawing)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except UpstreamError as error:
                if begun or error.code != "upstream_unreachable":
                    raise
                away = error
        raise away

    def _in_turn(self, drawing: Drawing) -> list[EngineCalls]:
        first = zlib.crc32((drawing.name or drawing.salt or "").encode()) % len(self.each)
        return [*self.each[first:], *self.each[:first]]

    async def unload(self, name: str) -> None:
        """Let every replica forget a version's name; one that is away is said to the log."""
        for replica in self.each:
            try:
                await replica.unload(name)
            except UpstreamError as error:
                log.warning("%s may still know %s: %s", replica.url, name, error)

    async def close(self) -> None:
        """Let go of all connections."""
        for replica in self.each:
            await replica.close()


def _drawn(choice: _Choice, end_ids: Ids) -> RemotelyDrawn:
    """Return a choice with its end token, which the engine may leave out of the ids."""
    ids = tuple(choice.token_ids)
    finished = choice.finish_reason == "stop" and not isinstance(choice.stop_reason, str)
    if finished and (not ids or ids[-1] not in end_ids):
        ids += (choice.stop_reason if isinstance(choice.stop_reason, int) else end_ids[0],)
    told = choice.logprobs or _Logprobs()
    logprobs = tuple(0.0 if one is None else one for one in told.token_logprobs)
    top = tuple(
        {int(name.removeprefix(_TOKEN)): value for name, value in (one or {}).items()}
        for one in told.top_logprobs or ()
    )
    ended = choice.finish_reason is not None
    return RemotelyDrawn(ids, logprobs, finished, top, choice.index, ended)

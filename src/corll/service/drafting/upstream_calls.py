"""Calls of an upstream's chat completions, and what its answers say: OpenAI's shapes, checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from corll.service.drafting.upstream_failures import UpstreamFailures

_MOST_BYTES = 16 * 2**20
"""What a single answer may come to."""

Body = Mapping[str, Any]


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _ChunkChoice(BaseModel):
    delta: _Said = _Said()
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Whole(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


class _Chunk(BaseModel):
    choices: list[_ChunkChoice] = []
    usage: Any = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens as an upstream counts them."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.prompt + other.prompt, self.completion + other.completion)


@dataclass(frozen=True, slots=True)
class Written:
    """A text that an upstream wrote; `finished`: to an end of its own."""

    text: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """What an event of a stream adds: text, an end, or what was used."""

    text: str = ""
    ended: Written | None = None
    used: Used | None = None


class UpstreamCalls:
    """Asks an upstream, and translates what goes wrong. *Units*: `timeout` in seconds.

    To be used in one event loop.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        timeout: float,
        *,
        route: str = "/chat/completions",
        failures: type[UpstreamFailures] = UpstreamFailures,
    ) -> None:
        self._url = url.rstrip("/") + route
        self._timeout = timeout
        self._failures = failures(url, key, timeout)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(timeout))

    async def whole(self, body: Body) -> tuple[list[Written], Used | None]:
        """Return the texts of an answer in one piece, and what they took.

        *Raises*: UpstreamError.
        """
        with self._failures.translated():
            async with asyncio.timeout(self._timeout), self._answer(body) as answer:
                content = await self._content(answer)
        whole = self._read(_Whole, content, answer)
        return [self._written(one.message, one.finish_reason) for one in whole.choices], _used(
            whole.usage
        )

    async def stream(self, body: Body) -> AsyncIterator[Piece]:
        """Yield what a stream of one choice adds, event by event, its end at last.

        *Raises*: UpstreamError, also where the stream breaks off before the choice has ended.
        """
        ended = told = False
        with self._failures.translated():
            async with self._answer({**body, "stream": True}) as answer:
                self._failures.check_stream(answer)
                async for data in self._events(answer):
                    if data == "[DONE]":
                        break
                    chunk = self._read(_Chunk, data.encode(), answer)
                    if chunk.error is not None:
                        raise self._failures.reported(chunk.error)
                    for piece in self._pieces(chunk):
                        ended, told = ended or piece.ended is not None, told or bool(piece.text)
                        yield piece
                else:
                    told = False
                if not (ended or told):
                    raise self._failures.half()
        if not ended:  # some say it only so
            yield Piece(ended=Written("", finished=True))

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _answer(self, body: Body) -> AsyncIterator[httpx.Response]:
        """Yield an answer that is none of an error."""
        request = self._client.build_request("POST", self._url, json=dict(body))
        async with asyncio.timeout(self._timeout):
            answer = await self._client.send(request, stream=True)
        try:
            if not answer.is_success:
                async with asyncio.timeout(self._timeout):
                    content = await self._content(answer)
                raise self._failures.refused(answer, content)
            yield answer
        finally:
            await answer.aclose()

    async def _content(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > _MOST_BYTES:
                raise self._failures.too_long()
        return bytes(content)

    async def _events(self, answer: httpx.Response) -> AsyncIterator[str]:
        """Yield the data of server-sent events, each within the time that the upstream has.

        Lines end at a line feed alone: other characters that Unicode calls ends stand in texts.
        """
        held, seen, parts = bytearray(), 0, answer.aiter_bytes().__aiter__()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    part = await anext(parts)
            except StopAsyncIteration:
                return
            seen += len(part)
            if seen > _MOST_BYTES:
                raise self._failures.too_long()
            *lines, rest = (held + part).split(b"\n")
            held = bytearray(rest)
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].decode("utf-8", "replace").strip()
                    deadline = loop.time() + self._timeout

    def _pieces(self, chunk: _Chunk) -> list[Piece]:
        pieces = []
        for choice in chunk.choices[:1]:
            text = whole_characters(choice.delta.content or "")
            if choice.finish_reason is not None or choice.delta.refusal:
                ended = self._written(choice.delta, choice.finish_reason)
                pieces.append(Piece(text, ended))
            elif text:
                pieces.append(Piece(text))
        if (used := _used(chunk.usage)) is not None:
            pieces.append(Piece(used=used))
        return pieces

    def _written(self, said: _Said, reason: str | None) -> Written:
        """*Raises*: UpstreamError where there is no draft: a filter or a refusal, or a tool."""
        if said.refusal or reason not in (None, "stop", "length"):
            raise self._failures.no_draft(said.refusal, reason)
        return Written(whole_characters(said.content or ""), reason != "length")

    def _read(self, shape: type[Any], content: bytes, answer: httpx.Response) -> Any:
        try:
            return shape.model_validate(json.loads(content))
        except (ValueError, RecursionError) as error:
            problem = error if isinstance(error, ValidationError) else None
            raise self._failures.not_openais(answer, content, problem) from error


def whole_characters(text: str) -> str:
    """Return a text in which half characters, which JSON can name, are marked as such."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _used(usage: Any) -> Used | None:
    """Return what an answer says that it took; None where it says nothing of use."""
    try:
        said = _Usage.model_validate(usage)
    except ValidationError:
        return None
    return Used(said.prompt_tokens, said.completion_tokens)

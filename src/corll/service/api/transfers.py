"""Uploads, imports and exports: a few at a time, through files and in threads."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from json import JSONDecodeError
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from corll.service.api.callers import Caller
from corll.service.api.error_answers import ApiError, bad_request
from corll.service.drafting.fairness import Owner
from corll.service.places import NoPlaceError, Place, Places

_MOST: Final = 4
"""So many at a time; each has a thread, a file, and up to the largest body in memory."""

_IN_MEMORY = 2**20
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_PIECE = 2**16
"""Characters of an export that are sent at a time."""


class Transfers:
    """The transfers that are under way."""

    def __init__(self) -> None:
        self._places = Places(_MOST)

    def begin(self, caller: Caller, user_id: str) -> Place:
        """Take a place for a transfer. *Raises*: ApiError (429) where none is free."""
        try:
            return self._places.take(Owner(caller.key.id, user_id))
        except NoPlaceError as error:
            raise ApiError(
                429,
                "too_many_transfers",
                "Too many uploads, imports and exports are under way; ask again in "
                f"{error.retry_after} s.",
                headers={"retry-after": str(error.retry_after)},
            ) from error

    def end(self, place: Place) -> None:
        """Give a place back."""
        self._places.give_back(place)

    @asynccontextmanager
    async def one(self, caller: Caller, user_id: str = "") -> AsyncIterator[None]:
        """Hold a place while the context lasts. *Raises*: ApiError (429)."""
        place = self.begin(caller, user_id)
        try:
            yield
        finally:
            self.end(place)


def transfers_of(request: Request) -> Transfers:
    """Return the transfers of the app that is asked."""
    transfers: Transfers = request.app.state.transfers
    return transfers


class LinesResponse(StreamingResponse):
    """Lines, made in threads as they are sent, which have a place until they end."""

    def __init__(
        self, lines: Iterator[str], transfers: Transfers, place: Place, headers: dict[str, str]
    ) -> None:
        super().__init__(_pieces(lines), media_type="application/x-ndjson", headers=headers)
        self._transfers, self._place = transfers, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._transfers.end(self._place)


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines joined to pieces, so that not each of them changes threads."""
    piece, length = list[str](), 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= _PIECE:
            yield "".join(piece)
            piece, length = [], 0
    yield "".join(piece)


async def json_body(request: Request, *, many: str) -> Any:
    """Read a large JSON object from a request, through a file and in a thread.

    `many` names the field whose items are many: each is parsed by itself, since the parser holds
    up all threads for as long as it takes. *Raises*: RequestValidationError, ApiError.
    """
    if "json" not in request.headers.get("content-type", ""):
        raise bad_request("The body is JSON: send content-type: application/json.")
    with SpooledTemporaryFile(_IN_MEMORY) as body:
        try:
            async for chunk in request.stream():
                await run_in_threadpool(body.write, chunk)
        except ClientDisconnect as error:
            raise bad_request("The upload was cut short.") from error
        try:
            return await run_in_threadpool(_parsed, body, many)
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise _not_json(str(error)) from error


def _not_json(reason: str) -> RequestValidationError:
    problem = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": reason}}
    return RequestValidationError([problem])


def _parsed(body: IO[bytes], many: str) -> Any:
    body.seek(0)
    text = body.read().decode()
    if not text[_skip(text, 0) :].startswith("{"):
        return json.loads(text)
    found: dict[str, Any] = {}
    place = _skip(text, _skip(text, 0) + 1)
    decoder = json.JSONDecoder()
    while text[place : place + 1] != "}":
        name, place = decoder.raw_decode(text, place)
        if not isinstance(name, str):
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, place)
        place = _skip(text, _after(text, place, ":"))
        if name == many and text[place : place + 1] == "[":
            found[name], place = _items(decoder, text, place)
        else:
            found[name], place = decoder.raw_decode(text, place)
        place = _separated(text, place, "}")
    if _skip(text, place + 1) != len(text):
        raise JSONDecodeError("Extra data", text, place + 1)
    return found


def _items(decoder: json.JSONDecoder, text: str, place: int) -> tuple[list[Any], int]:
    """Parse an array that begins at a place; return it, and where it ends."""
    items: list[Any] = []
    place = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        item, place = decoder.raw_decode(text, place)
        items.append(item)
        place = _separated(text, place, "]")
    return items, place + 1


def _separated(text: str, place: int, end: str) -> int:
    """Return where the next part begins, or where the end stands."""
    place = _skip(text, place)
    if text[place : place + 1] == end:
        return place
    place = _skip(text, _after(text, place, ","))
    if text[place : place + 1] == end:
        raise JSONDecodeError("Illegal trailing comma", text, place)
    return place


def _after(text: str, place: int, sign: str) -> int:
    place = _skip(text, place)
    if text[place : place + 1] != sign:
        raise JSONDecodeError(f"Expecting {sign!r} delimiter", text, place)
    return place + 1


def _skip(text: str, place: int) -> int:
    """Return where the next sign stands that is no white space."""
    match = _WHITE_SPACE.match(text, place)
    assert match is not None
    return match.end()

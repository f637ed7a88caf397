"""What happens to a user's edits and versions, as the service tells it while one listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

from openai import AsyncStream, Stream

from corll_client.answers import EditEvent, ImportEvent, StartEvent, VersionEvent

Event: TypeAlias = VersionEvent | EditEvent | ImportEvent | StartEvent

_KINDS: dict[str, type[Event]] = {
    "version": VersionEvent,
    "edit": EditEvent,
    "import": ImportEvent,
    "start": StartEvent,
}


class EventStream(Stream[Event]):
    """Events in order. Iterate over it; `close` ends it, and so does the end of a `with` block."""

    def __stream__(self) -> Iterator[Event]:
        reader = _Reader()
        try:
            for line in self.response.iter_lines():
                if (event := reader.read(line)) is not None:
                    yield event
        finally:
            self.response.close()


class AsyncEventStream(AsyncStream[Event]):
    """`EventStream`, awaited."""

    async def __stream__(self) -> AsyncIterator[Event]:
        reader = _Reader()
        try:
            async for line in self.response.aiter_lines():
                if (event := reader.read(line)) is not None:
                    yield event
        finally:
            await self.response.aclose()


class _Reader:
    """Puts the lines of server-sent events together."""

    def __init__(self) -> None:
        self._kind, self._data = "", ""

    def read(self, line: str) -> Event | None:
        """Take a line, and return the event that it ends. Kinds of a later release are left out."""
        if line:
            name, _, value = line.partition(": ")
            if name == "event":
                self._kind = value
            elif name == "data":
                self._data = value
            return None
        kind, data = _KINDS.get(self._kind), self._data
        self._kind, self._data = "", ""
        return kind.model_validate_json(data) if kind is not None and data else None

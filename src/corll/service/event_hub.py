"""What happens to users' edits and versions, passed on to the browsers that are open."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator

from corll.schemas.events import Event

_KEEP_OPEN_S = 15.0
_MOST_WAITING = 100


class EventHub:
    """Passes events on to whoever listens for a user; those that nobody hears are gone."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[_Listener]] = defaultdict(set)
        self._lock = threading.Lock()
        self._closing = False

    def publish(self, user_id: str, event: Event) -> None:
        """Tell all listeners of a user; from any thread."""
        with self._lock:
            listeners = list(self._listeners.get(user_id, ()))
        for listener in listeners:
            listener.put(f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n")

    def is_heard(self, user_id: str) -> bool:
        """Say whether anybody listens for a user."""
        with self._lock:
            return user_id in self._listeners

    def close(self) -> None:
        """End all streams, so that a clean stop need not wait for browsers to leave."""
        with self._lock:
            self._closing = True
            listeners = [one for those in self._listeners.values() for one in those]
        for listener in listeners:
            listener.put(None)

    async def listen(self, user_id: str) -> AsyncIterator[str]:
        """Yield a user's events, with a comment now and then that keeps the connection open."""
        listener = _Listener()
        with self._lock:
            if self._closing:
                return
            self._listeners[user_id].add(listener)
        try:
            yield ": listening\n\n"
            while (event := await listener.next()) is not None:
                yield event
        finally:
            with self._lock:
                self._listeners[user_id].discard(listener)
                if not self._listeners[user_id]:
                    del self._listeners[user_id]


class _Listener:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)

    def put(self, event: str | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: str | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()  # whoever lags that far asks for the state anew
        self._queue.put_nowait(event)

    async def next(self) -> str | None:
        try:
            async with asyncio.timeout(_KEEP_OPEN_S):
                return await self._queue.get()
        except TimeoutError:
            return ": still here\n\n"

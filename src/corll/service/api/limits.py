"""How often a key may ask, by a bucket that refills evenly; and how large a body may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corll.service.api.error_answers import ApiError, error_response
from corll.service.store.accounts import Key

WINDOW_S = 60.0
_FORGET_ABOVE = 10_000


@dataclass
class Bucket:
    """Tokens that come back evenly, up to a limit, which is so many a minute.

    *Units*: `at`, when it was looked at last, in seconds.
    """

    tokens: float
    at: float

    def refill(self, limit: int, now: float) -> None:
        """Add what has come back since."""
        self.tokens = min(float(limit), self.tokens + (now - self.at) * (limit / WINDOW_S))
        self.at = now


@dataclass(frozen=True)
class Rate:
    """What is left to a key. *Units*: `reset_s` in seconds, until the bucket is full again."""

    limit: int
    remaining: int
    reset_s: float

    @property
    def headers(self) -> dict[str, str]:
        """Under OpenAI's names."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_s:.3f}s",
        }


class RateLimits:
    """The buckets of all keys that asked lately."""

    def __init__(self, default: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._default, self._clock = default, clock
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: Key) -> Rate:
        """Take one request from the key's bucket. *Raises*: ApiError (429) where it is empty."""
        limit = key.rate_per_minute or self._default
        now = self._clock()
        bucket = self._buckets.setdefault(key.id, Bucket(float(limit), now))
        bucket.refill(limit, now)
        per_second = limit / WINDOW_S
        if bucket.tokens < 1:
            wait = ceil((1 - bucket.tokens) / per_second)
            rate = Rate(limit, 0, (limit - bucket.tokens) / per_second)
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"This key may make {limit} requests a minute; try again in {wait} s.",
                headers={"retry-after": str(wait), **rate.headers},
            )
        bucket.tokens -= 1
        self._forget_full(now)
        return Rate(limit, int(bucket.tokens), (limit - bucket.tokens) / per_second)

    def _forget_full(self, now: float) -> None:
        if len(self._buckets) > _FORGET_ABOVE:
            for name in [n for n, b in self._buckets.items() if now - b.at > WINDOW_S]:
                del self._buckets[name]


class BodyLimit:
    """Refuses bodies that are too large, whatever their header says.

    `uploads` are the paths that take larger ones. *Units*: kB.
    """

    def __init__(self, app: ASGIApp, *, most_kb: int, uploads: Mapping[str, int]) -> None:
        self._app, self._most_kb, self._uploads = app, most_kb, dict(uploads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most_kb = self._uploads.get(scope["path"], self._most_kb)
        too_large = ApiError(
            413, "body_too_large", f"The body is larger than {most_kb} kB.", retry=False
        )
        refusal = error_response(too_large)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most_kb * 1024:
            await refusal(scope, receive, send)
            return
        seen, refused = 0, False

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most_kb * 1024:
                raise too_large
            return message

        async def unless_too_large(message: Message) -> None:
            # Whoever read the body may have taken the error for a fault of its content.
            nonlocal refused
            if seen <= most_kb * 1024:
                await send(message)
            elif not refused:
                refused = True
                await refusal(scope, receive, send)

        await self._app(scope, limited, unless_too_large)

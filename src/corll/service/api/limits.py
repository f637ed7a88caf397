"""How often a key may ask: a bucket of requests that refills evenly over the minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from corll.service.api.error_answers import ApiError
from corll.service.store.accounts import Key

_WINDOW_S = 60.0
_FORGET_ABOVE = 10_000


@dataclass
class _Bucket:
    tokens: float
    at: float


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
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: Key) -> Rate:
        """Take one request from the key's bucket. *Raises*: ApiError (429) where it is empty."""
        limit = key.rate_per_minute or self._default
        now = self._clock()
        bucket = self._buckets.setdefault(key.id, _Bucket(float(limit), now))
        per_second = limit / _WINDOW_S
        bucket.tokens = min(float(limit), bucket.tokens + (now - bucket.at) * per_second)
        bucket.at = now
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
            for name in [n for n, b in self._buckets.items() if now - b.at > _WINDOW_S]:
                del self._buckets[name]

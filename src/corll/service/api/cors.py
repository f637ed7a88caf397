"""Web pages of other origins: what their scripts may ask with a key, and which headers they read.

A cookie of ours is no use to them: no answer allows credentials, and `origins` refuses a session's
cookie that comes from another page.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

_METHODS = ("GET", "POST", "PUT", "DELETE")
_READABLE = (
    "openai-processing-ms",
    "retry-after",
    "x-corll-draft-id",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-request-id",
    "x-should-retry",
)
"""Headers of answers that a script may read; without this a browser hides them."""

_LASTS_S = 600


def let_in(app: FastAPI, origins: Sequence[str]) -> None:
    """Let the scripts of these origins ask; `*` stands for all, and none lets nobody in."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=list(_METHODS),
            allow_headers=["*"],
            expose_headers=list(_READABLE),
            max_age=_LASTS_S,
        )

"""The application: `create_app` puts the routes, the errors and the guards together."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corll.service.api import (
    completion_routes,
    desk_routes,
    draft_routes,
    error_answers,
    event_routes,
    feedback_routes,
    frame_routes,
    health_routes,
    import_routes,
    key_routes,
    memory_routes,
    model_routes,
    reference_routes,
    sign_in_routes,
    user_routes,
    version_routes,
)
from corll.service.api.description import describe
from corll.service.api.error_answers import ApiError, error_response, translated
from corll.service.api.limits import RateLimits
from corll.service.api.services import Services
from corll.service.logs import request_id
from corll.version import __version__

log = logging.getLogger(__name__)

_WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
_NO_PAGES: Any = {"docs_url": None, "redoc_url": None}
"""FastAPI's own pages load scripts from other hosts."""

_ABOUT = (
    "Drafts by the OpenAI API, edits that teach, an adapter for each user. "
    "`id` of a draft's reply is the `draft_id` of its edit."
)


_ROUTES = (
    completion_routes,
    frame_routes,
    model_routes,
    feedback_routes,
    user_routes,
    draft_routes,
    memory_routes,
    version_routes,
    key_routes,
    import_routes,
    reference_routes,
    sign_in_routes,
    event_routes,
    health_routes,
    desk_routes,
)
"""In the order of the API's description."""


def routes() -> FastAPI:
    """Return an application with all routes and no services: it can be described, not asked."""
    app = FastAPI(title="corll", version=__version__, description=_ABOUT, **_NO_PAGES)
    for module in _ROUTES:
        app.include_router(module.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


def create_app(services: Services) -> FastAPI:
    """Return the ASGI application over these services."""
    app = routes()
    app.state.services = services
    app.state.limits = RateLimits(services.settings.requests_per_minute)
    desk_routes.mount_files(app)
    error_answers.install(app)
    app.add_middleware(
        BodyLimit,
        most_kb=services.settings.max_body_kb,
        uploads={
            reference_routes.PATH: services.settings.max_adapter_mb * 1024,
            import_routes.router.prefix: services.settings.max_import_mb * 1024,
        },
    )
    app.add_middleware(Journal, services=services)
    return app


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


class Journal:
    """Gives each request an id, its answer the usual headers, and the log a line."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = "req_" + secrets.token_hex(12)
        token = request_id.set(identity)
        started = time.perf_counter()
        status, under_way = 500, False

        async def with_headers(message: Message) -> None:
            nonlocal status, under_way
            if message["type"] == "http.response.start":
                status, under_way = message["status"], True
                _add_headers(message, self._headers(scope, identity, started))
                self._count(scope, status, time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            if under_way:  # nothing can be said any more: the connection ends early
                log.error("an answer broke off", exc_info=error)
            else:
                await error_response(translated(error))(scope, receive, with_headers)
        finally:
            seconds = round(time.perf_counter() - started, 4)
            about = {"method": scope["method"], "route": _route(scope)}
            # Whoever watches the service asks every few seconds.
            level = logging.DEBUG if about["route"] in _WATCHED else logging.INFO
            log.log(level, "request", extra={**about, "status": status, "seconds": seconds})
            request_id.reset(token)

    def _headers(self, scope: Scope, identity: str, started: float) -> dict[str, str]:
        milliseconds = int(1000 * (time.perf_counter() - started))
        rate = scope.get("state", {}).get("rate")
        return {
            "x-request-id": identity,
            "openai-processing-ms": str(milliseconds),
            "x-content-type-options": "nosniff",
            **({} if rate is None else rate.headers),
        }

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        self._services.metrics.answered(scope["method"], _route(scope), status, seconds)


def _route(scope: Scope) -> str:
    """Return the route's template; a path could name someone."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _add_headers(message: MutableMapping[str, Any], headers: dict[str, str]) -> None:
    own = [(name.encode(), value.encode()) for name, value in headers.items()]
    message["headers"] = [*message.get("headers", []), *own]

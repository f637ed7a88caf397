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
    cors,
    deletion_routes,
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
    response_routes,
    sign_in_routes,
    user_routes,
    version_routes,
)
from corll.service.api.callers import USER_HEADER
from corll.service.api.description import describe
from corll.service.api.error_answers import error_response, translated
from corll.service.api.failed_tries import FailedTries
from corll.service.api.limits import BodyLimit, RateLimits
from corll.service.api.services import Services
from corll.service.api.transfers import Transfers
from corll.service.logs import request_id
from corll.service.tracing import NO_TRACING, Span
from corll.version import __version__

log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
_NO_PAGES: Any = {"docs_url": None, "redoc_url": None}
"""FastAPI's own pages load scripts from other hosts."""

_ABOUT = (
    "Drafts by the OpenAI API, edits that teach, an adapter for each user. "
    "`id` of a draft's reply is the `draft_id` of its edit. A key of scope backend or admin names "
    f"the user in the body, or in the header {USER_HEADER}."
)


_ROUTES = (
    completion_routes,
    response_routes,
    frame_routes,
    model_routes,
    feedback_routes,
    user_routes,
    draft_routes,
    memory_routes,
    version_routes,
    key_routes,
    import_routes,
    deletion_routes,
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
    app.state.transfers = Transfers()
    app.state.failed_tries = FailedTries(services.settings.failed_tries_per_minute)
    desk_routes.mount_files(app)
    error_answers.install(app)
    app.add_middleware(
        BodyLimit,
        most_kb=services.settings.max_body_kb,
        uploads={
            reference_routes.PATH: services.settings.max_adapter_mb * 1024,
            import_routes.IMPORTS: services.settings.max_import_mb * 1024,
        },
    )
    app.add_middleware(Journal, services=services)
    cors.let_in(app, services.settings.cors_origins)  # outermost: errors can be read too
    return app


class Journal:
    """Gives each request an id, its answer the usual headers, and the log a line."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tracing = NO_TRACING if scope["path"] in _WATCHED else self._services.tracing
        with tracing.request(scope["headers"]) as span:
            await self._answer(scope, receive, send, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
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
            about = {"method": _method(scope), "route": _route(scope)}
            # Whoever watches the service asks every few seconds.
            level = logging.DEBUG if about["route"] in _WATCHED else logging.INFO
            log.log(level, "request", extra={**about, "status": status, "seconds": seconds})
            _note(span, identity, about, status)
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
        self._services.metrics.answered(_method(scope), _route(scope), status, seconds)


def _note(span: Span, identity: str, about: Mapping[str, str], status: int) -> None:
    """Say what came of a request, by OpenTelemetry's names."""
    span.rename(f"{about['method']} {about['route']}")
    span.note(
        {
            "corll.request.id": identity,
            "http.request.method": about["method"],
            "http.route": about["route"],
            "http.response.status_code": status,
        }
    )
    if status >= 500:
        span.fail(str(status))


def _method(scope: Scope) -> str:
    """Return the method; a stranger may send any word in its place."""
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"


def _route(scope: Scope) -> str:
    """Return the route's template; a path could name someone."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _add_headers(message: MutableMapping[str, Any], headers: dict[str, str]) -> None:
    own = [(name.encode(), value.encode()) for name, value in headers.items()]
    message["headers"] = [*message.get("headers", []), *own]

"""From exceptions to answers: one table, in the shape that OpenAI's client reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from corll.errors import (
    AdapterError,
    ConfigError,
    CorllError,
    IdempotencyError,
    InputError,
    PromptTooLongError,
    StaleParentError,
    StoreError,
    StoreUnavailableError,
)
from corll.schemas.errors import Error, ErrorDetail
from corll.service.api.refused_fields import refusals
from corll.service.drafting.requests import EngineBusyError, NobodyWaitsError, VersionGoneError
from corll.service.feedback import ConsentRequiredError, FieldError
from corll.service.upstream import UpstreamError
from corll.text import half_character

log = logging.getLogger(__name__)


class ApiError(CorllError):
    """An answer that is an error. `retry` says whether the client should try the same again."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.headers = dict(headers or {})
        if retry is not None:
            self.headers["x-should-retry"] = str(retry).lower()


def not_found(what: str) -> ApiError:
    """Return the error for what is not there or another's; nobody learns which."""
    return ApiError(404, "not_found", f"There is no {what}, or it is not yours to see.")


def model_not_found(name: str) -> ApiError:
    return ApiError(
        404,
        "model_not_found",
        f"There is no model {name!r} for you; GET /v1/models lists those there are.",
        param="model",
    )


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, code, message, param=param)


_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}

_TABLE: tuple[tuple[type[CorllError], int, str], ...] = (
    (PromptTooLongError, 400, "context_length_exceeded"),
    (ConsentRequiredError, 403, "consent_required"),
    (InputError, 400, "invalid_value"),
    (NobodyWaitsError, 499, "client_closed_request"),
    (IdempotencyError, 409, "idempotency_key_reused"),
    (StaleParentError, 409, "version_changed"),
    (ConfigError, 400, "invalid_value"),
    (AdapterError, 503, "version_unavailable"),
    (StoreError, 503, "store_unavailable"),
)


_VERSION_AFTER_S = 1
"""When to ask again where what was to draft went meanwhile: another version serves already."""
_STORE_AFTER_S = 5
"""When to ask again where the database is away, full, or held by others."""


def translated(error: Exception) -> ApiError:
    """Return the answer to an exception."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineBusyError):
        headers = {"retry-after": str(error.retry_after)}
        return ApiError(429, "engine_overloaded", str(error), headers=headers)
    if isinstance(error, StoreUnavailableError):
        headers = {"retry-after": str(_STORE_AFTER_S)}
        return ApiError(503, "store_unavailable", str(error), headers=headers)
    if isinstance(error, VersionGoneError):
        headers = {"retry-after": str(_VERSION_AFTER_S)}
        return ApiError(503, "version_unavailable", str(error), headers=headers)
    if isinstance(error, UpstreamError):
        after = {} if error.retry_after is None else {"retry-after": error.retry_after}
        return ApiError(error.status, error.code, str(error), headers=after, retry=error.retry)
    for kind, status, code in _TABLE:
        if isinstance(error, kind):
            field = error.field if isinstance(error, FieldError) else None
            retry = False if status in (403, 409) else None
            return ApiError(status, code, str(error), param=field, retry=retry)
    log.error("a request failed", exc_info=error)
    return ApiError(500, "internal_error", "The server failed; its log has the request's id.")


def error_body(error: ApiError) -> Error:
    """Return what the answer says, in OpenAI's shape."""
    kind = _KINDS.get(error.status, "server_error" if error.status >= 500 else "api_error")
    detail = ErrorDetail(message=str(error), type=kind, param=error.param, code=error.code)
    return Error(error=detail)


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error_body(error).model_dump(), error.status, headers=error.headers)


def install(app: FastAPI) -> None:
    """Answer the exceptions that are expected in the same shape; `Journal` answers all others."""

    async def on_error(_: Request, error: Exception) -> JSONResponse:
        return error_response(translated(error))

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        content_type = request.headers.get("content-type", "")
        return error_response(_of_validation(error, content_type))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        words = _nowhere(request) if error.status_code == 404 else str(error.detail)
        answer = ApiError(error.status_code, code, words, headers=error.headers)
        return error_response(answer)

    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(CorllError, on_error)
    app.add_middleware(Addresses)


class Addresses:
    """Answers requests of which path or query hold what no id can: a NUL, half of a character."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = _no_address(scope) if scope["type"] == "http" else None
        await (self._app if refused is None else error_response(refused))(scope, receive, send)


def _no_address(scope: Scope) -> ApiError | None:
    if _is_no_id(scope["path"]):
        return not_found("such thing")
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for name, value in given:
        if _is_no_id(name) or _is_no_id(value):
            return bad_request(f"{name!r}: holds a NUL character, or half of one.", param=name)
    return None


def _is_no_id(text: str) -> bool:
    return "\0" in text or half_character(text) is not None


def _of_validation(error: RequestValidationError, content_type: str) -> ApiError:
    """Return all problems at once; `param` is the first."""
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "json_invalid":
            why = problem.get("ctx", {}).get("error", "")
            return bad_request(f"The body is not JSON ({why}).", code="invalid_json")
    if isinstance(error.body, bytes):
        message = (
            f"The body was not read as JSON, since its content-type is "
            f"{content_type or 'missing'}; send the header content-type: application/json."
        )
        return bad_request(message, code="invalid_json")
    told = refusals(problems, error.body)
    code = "unsupported_parameter" if any(one.unsupported for one in told) else "invalid_value"
    words = "; ".join(one.words for one in told)
    return bad_request(f"{words}.", param=told[0].field or None, code=code)


def _nowhere(request: Request) -> str:
    """Return what is said of a path that is none: where the same is, if that is known."""
    path = request.url.path
    other = path.removeprefix("/v1") if path.startswith("/v1/v1/") else f"/v1{path}"
    scope = {**request.scope, "path": other}
    if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
        return (
            f"There is no {path} here, but {other}: the client's base_url is to end with /v1, once."
        )
    return "Not Found"

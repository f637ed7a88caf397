"""The writing desk: the page, its files, and what a browser may do on it.

Only these are compressed: an answer that is drawn piece by piece must not wait for a compressor.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from corll.service.api.callers import CurrentServices
from corll.service.api.error_answers import ApiError
from corll.service.api.origins import check_host, wants_page

router = APIRouter(include_in_schema=False)

FILES = Path(__file__).parents[1] / "web" / "static"
"""What the front end was built to."""

_NONCE = "{{csp_nonce}}"
_NOT_BUILT = (
    "<!doctype html><title>corll</title><p>The desk is not built: <code>make desk</code> does "
    "that. The API is at <code>/v1</code>, described at <code>/openapi.json</code>."
)

_UNKNOWN_HOST = (
    "<!doctype html><html lang=en><title>corll</title><h1>Not known by this address</h1>"
    "<p>This server does not answer for the host that this page was opened at. Open it by the "
    "address that you were given, or ask whoever runs it to add this one: "
    "<code>corll serve --public-hosts HOST</code>."
)


@router.get("/")
@router.get("/welcome")
@router.get("/learning")
@router.get("/data")
async def page(request: Request, services: CurrentServices) -> Response:
    """One page for all four; what it shows it asks the API for."""
    index, nonce = FILES / "index.html", secrets.token_urlsafe(18)
    try:
        check_host(request, services.settings)
    except ApiError as error:
        if not wants_page(request):
            raise
        return _Page(_UNKNOWN_HOST, error.status, headers=page_headers(nonce))
    html = index.read_text(encoding="utf-8") if index.exists() else _NOT_BUILT
    headers = {"cache-control": "no-cache", **page_headers(nonce)}
    return _Page(html.replace(_NONCE, nonce), headers=headers)


def page_headers(nonce: str) -> dict[str, str]:
    """Allow scripts and styles of our own files alone, no other host, and no frame."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }


def mount_files(app: FastAPI) -> None:
    """Return the built files, whose names change with their content."""
    assets = FILES / "assets"
    if assets.is_dir():
        app.mount("/assets", GZipMiddleware(_Assets(directory=assets)), name="assets")


class _Page(HTMLResponse):
    """Compressed for whoever takes that."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await GZipMiddleware(super().__call__)(scope, receive, send)


class _Assets(StaticFiles):
    """Files that never change under their name, so that a browser asks for each once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

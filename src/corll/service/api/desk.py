"""The writing desk: the page, its files, and what a browser may do on it."""

from __future__ import annotations

import secrets
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from corll.service.api.callers import Given
from corll.service.api.origins import check_host

router = APIRouter(include_in_schema=False)

FILES = Path(__file__).parents[1] / "web" / "static"
"""What the front end was built to."""

_NONCE = "{{csp_nonce}}"
_NOT_BUILT = (
    "<!doctype html><title>corll</title><p>The desk is not built: <code>make desk</code> does "
    "that. The API is at <code>/v1</code>, described at <code>/openapi.json</code>."
)


@router.get("/")
@router.get("/welcome")
@router.get("/learning")
@router.get("/data")
async def page(request: Request, services: Given) -> HTMLResponse:
    """One page for all four; what it shows it asks the API for."""
    check_host(request, services.settings)
    index, nonce = FILES / "index.html", secrets.token_urlsafe(18)
    html = index.read_text(encoding="utf-8") if index.exists() else _NOT_BUILT
    headers = {"cache-control": "no-store", **page_headers(nonce)}
    return HTMLResponse(html.replace(_NONCE, nonce), headers=headers)


def page_headers(nonce: str) -> dict[str, str]:
    """Scripts and styles of our own files alone, no other host, no frame around it."""
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
    """The built files, whose names change with their content."""
    assets = FILES / "assets"
    if assets.is_dir():
        app.mount("/assets", StaticFiles(directory=assets), name="assets")

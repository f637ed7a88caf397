"""Where a browser's request comes from: our own page on one of our own hosts, or it is refused."""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from corll.service.api.error_answers import ApiError
from corll.service.settings import ServiceSettings
from corll.service.store.sign_ins import Session
from corll.service.store.urls import without_password

_COOKIE = "corll_session"
_HOST_ONLY = "__Host-"
"""Before a cookie's name: browsers then take it over TLS alone, and from this very host."""

_TAG = 8
_PORTS = {"http": 80, "https": 443}

CSRF_HEADER = "x-corll-csrf"

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_secure(request: HTTPConnection) -> bool:
    """Say whether a browser came over TLS: to us, or to a proxy that is believed."""
    return request.url.scheme == "https"


def cookie_name(request: HTTPConnection, settings: ServiceSettings) -> str:
    """Return the name of the session's cookie, which over TLS no other host can have set.

    A browser sends a host's cookies to all its ports, so the port and the place of the data tell
    the sessions of two services on one machine apart.
    """
    place = without_password(settings.database) if settings.database else str(settings.data_dir)
    tag = sha256(place.encode()).hexdigest()[:_TAG]
    own = f"{_COOKIE}_{request.url.port or _PORTS[request.url.scheme]}_{tag}"
    return _HOST_ONLY + own if is_secure(request) else own


def wants_page(request: HTTPConnection) -> bool:
    """Say whether a browser wants to show the answer, and not a program to read it."""
    return "text/html" in request.headers.get("accept", "")


def check_host(request: HTTPConnection, settings: ServiceSettings) -> None:
    """Refuse a Host header that names a host which is not ours. *Raises*: ApiError (400).

    A page of another site whose name was made to point here would send its own.
    """
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if host not in _LOCAL | {settings.host} | set(settings.public_hosts):
        raise ApiError(
            400,
            "unknown_host",
            f"This server does not answer for the host {host!r}; see --public-hosts.",
        )


def check_own_page(request: HTTPConnection, session: Session) -> None:
    """Refuse a request with our cookie that is not our own page's. *Raises*: ApiError (403)."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    changes = request.scope["method"] not in _SAFE
    foreign = origin != own if changes else origin not in (None, own)
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in _OWN_SITE:
        raise _refused("The request comes from another site.")
    word = request.headers.get(CSRF_HEADER, "")
    if changes and not hmac.compare_digest(word.encode(), session.csrf.encode()):
        raise _refused(f"A request by cookie repeats the session's `csrf` as {CSRF_HEADER}.")


_OWN_SITE = frozenset({"same-origin", "none"})
"""What browsers say of requests of our own page, and of addresses that were typed."""


def _refused(message: str) -> ApiError:
    return ApiError(403, "not_our_page", message, retry=False)

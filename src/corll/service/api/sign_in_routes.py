"""The browser: a link that signs it in once, a session in a cookie, and what a cookie must prove.

A cookie is sent by the browser whoever asks, so a request that carries one must come from our own
page: its Host is one of ours, its Origin is that host, and where it changes something it repeats
the session's secret word in a header, which no other site can read. A request with a bearer key
ignores cookies.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from corll.schemas.administration import EndedSession, Link, Session, SignedInUser
from corll.schemas.requests import LinkRequest
from corll.service.api.callers import (
    CurrentCaller,
    CurrentServices,
    failed_tries_of,
    session_of,
)
from corll.service.api.error_answers import ApiError
from corll.service.api.origins import check_host, cookie_name, is_secure, wants_page
from corll.service.api.services import Services
from corll.service.store import accounts, sign_ins

router = APIRouter(tags=["browser"])

_DEAD_LINKS = {400: "/", 401: "/?link=in-vain", 429: "/?link=too-often"}
"""Where a browser goes whose link signs nobody in, by the error; the desk says why."""


@router.post("/v1/links", summary="A link that signs a browser in")
async def create_link(body: LinkRequest, caller: CurrentCaller) -> Link:
    """It works once, within a quarter of an hour; the session ends by itself after two weeks."""
    user = await caller.user(body.user)
    token = await caller.services.write(
        lambda db: sign_ins.create_link(db, user.id, actor=caller.actor, now=time.time())
    )
    return Link(object="link", path=link_path(token), lasts_s=sign_ins.LINK_LASTS_S)


@router.get(
    "/sign-in",
    summary="Sign a browser in by its link",
    status_code=303,
    response_class=RedirectResponse,
    response_description="To the desk, with the session's cookie.",
)
async def sign_in(
    request: Request, services: CurrentServices, token: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Sets the session's cookie and goes to the desk. A browser whose link was used already, is
    unknown, or was not tried since too many were wrong or the host is not ours, goes there too:
    the desk opens where it is signed in, and else says why not.
    """
    try:
        check_host(request, services.settings)
        secret = await _redeemed(token, request, services)
    except ApiError as error:
        if not wants_page(request):
            raise
        return _to_desk(_DEAD_LINKS[error.status])
    answer = _to_desk("/")
    answer.set_cookie(
        cookie_name(request, services.settings),
        secret,
        max_age=int(sign_ins.SESSION_LASTS_S),
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
    return answer


@router.get("/v1/session", summary="Who is signed in")
async def retrieve_session(
    request: Request, response: Response, services: CurrentServices
) -> Session:
    """The user, and the secret word that requests must repeat. 401 without a session."""
    session = await session_of(request, services)
    user = await services.read(lambda db: accounts.find_user(db, session.user_id))
    assert user is not None
    response.headers["cache-control"] = "no-store"
    return Session(
        object="session",
        user=SignedInUser(id=user.id, name=user.name),
        csrf=session.csrf,
        expires_at=session.expires_at,
        model=services.drafter.model,
    )


@router.post("/v1/session/end", summary="Sign out")
async def end_session(
    request: Request, response: Response, services: CurrentServices
) -> EndedSession:
    """The session is over, in this browser and for anyone who copied its cookie."""
    session = await session_of(request, services)
    await services.write(lambda db: sign_ins.end_session(db, session.id, now=time.time()))
    response.delete_cookie(
        cookie_name(request, services.settings),
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
    return EndedSession(object="session", ended=True)


async def _redeemed(token: str, request: Request, services: Services) -> str:
    """Return the secret of the session that a link opens. *Raises*: ApiError (401, 429)."""
    tries = failed_tries_of(request)
    tries.check(request, token)
    found = await services.write(lambda db: sign_ins.redeem_link(db, token, now=time.time()))
    if found is None:
        tries.failed(request)
        raise ApiError(
            401,
            "link_expired",
            "This link was used already, or is too old. `corll link` makes another.",
        )
    _, secret = found
    return secret


def _to_desk(path: str) -> Response:
    return RedirectResponse(path, 303, headers={"cache-control": "no-store"})


def link_path(token: str) -> str:
    """Return where a link points, on whatever host serves."""
    return f"/sign-in?token={token}"

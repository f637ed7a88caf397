"""Who asks: the key of a request, what it may do, and for which user it speaks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from corll.service.api.error_answers import ApiError, not_found
from corll.service.api.origins import COOKIE, check_host, check_own_page
from corll.service.api.services import Services
from corll.service.store import accounts, sign_ins
from corll.service.store.accounts import DEFAULT_USER, Key, User
from corll.service.store.rows import is_id
from corll.service.store.sign_ins import Session

_LONGEST_NAME = 64

_bearer = HTTPBearer(auto_error=False, description="A key of `corll keys create`.")


def services_of(request: Request) -> Services:
    """Return what the app was created with."""
    services: Services = request.app.state.services
    return services


CurrentServices = Annotated[Services, Depends(services_of)]


@dataclass(frozen=True)
class Caller:
    """A key that was recognised."""

    key: Key
    services: Services
    is_browser: bool = False

    @property
    def key_id(self) -> str | None:
        """The key that a draft is noted with; a browser has none."""
        return None if self.is_browser else self.key.id

    @property
    def actor(self) -> str:
        """How the audit trail names it."""
        return self.key.id

    def require(self, scope: str) -> None:
        """Check the key's scope. *Raises*: ApiError (403) where the key's scope is smaller."""
        order = ("user", "backend", "admin")
        if order.index(self.key.scope) < order.index(scope):
            raise ApiError(
                403,
                "insufficient_scope",
                f"This needs a key of scope {scope}; yours is of scope {self.key.scope}.",
                retry=False,
            )

    async def user(self, name: str | None = None) -> User:
        """Return whom the request is for: the key's own user, or the one that it names.

        A user whom nobody has named before is created. *Raises*: ApiError (400) for a name that
        cannot be one, and where a backend, which speaks for many, names nobody.
        """
        found = await self.existing_user(name)
        if found is not None:
            return found
        own = name or DEFAULT_USER
        store = self.services.settings.stores_by_default
        return await self.services.write(
            lambda db: accounts.get_or_create_user(
                db, self.key.namespace, own, store=store, now=time.time()
            )
        )

    async def existing_user(self, name: str | None = None) -> User | None:
        """Return the user as `user` does, but create nobody."""
        if self.key.user_id is not None:
            own_id = self.key.user_id
            return await self.services.read(lambda db: accounts.find_user(db, own_id))
        if not name and self.key.scope == "backend":
            raise ApiError(
                400,
                "missing_required_parameter",
                "This key is a backend's, which speaks for many users: name the one that is meant, "
                "in safety_identifier (of a draft; its older name is user) or in user.",
                param="safety_identifier",
            )
        own = name or DEFAULT_USER
        if len(own) > _LONGEST_NAME or not own.isprintable():
            raise ApiError(
                400,
                "invalid_value",
                f"A user's name has at most {_LONGEST_NAME} printable characters.",
                param="safety_identifier",
            )
        namespace = self.key.namespace
        return await self.services.read(lambda db: accounts.find_user_by_name(db, namespace, own))

    async def user_in_path(self, identity: str, *, create: bool = False) -> User:
        """Return `me`, the user of an id, or of a name in the key's name space.

        With `create` a new name makes a user, for a key that speaks for more than one.
        *Raises*: ApiError (404; 400 for a name that cannot be one).
        """
        if identity == "me":
            return await self.user()
        namespace = self.key.namespace
        found = await self.services.read(
            lambda db: accounts.find_user_called(db, namespace, identity)
        )
        if found is None and create and self.key.scope != "user" and not is_id("user", identity):
            return await self.user(identity)
        if found is None or not self.may_see(found):
            raise not_found("such user")
        return found

    def visible_owner(self, db: Connection, user_id: str) -> User | None:
        """Return whose something is, if it is this key's to see."""
        owner = accounts.find_user(db, user_id)
        return owner if owner is not None and self.may_see(owner) else None

    def may_see(self, user: User) -> bool:
        """Say whether the user's drafts, edits and versions are this key's to see."""
        if self.key.scope == "admin":
            return True
        if self.key.scope == "backend":
            return user.namespace == self.key.namespace
        return user.id == self.key.user_id


async def caller_of(
    request: Request,
    services: CurrentServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Recognise who asks by its key, else by the session of its browser.

    *Raises*: ApiError: 401 without a key that is known, 403 where a cookie came from another site,
    429 where it asks too often.
    """
    if credentials is None and COOKIE in request.cookies:
        return await _in_browser(request, services)
    if credentials is None:
        raise _unauthorized("You did not provide an API key. Send: Authorization: Bearer YOUR_KEY.")
    secret = credentials.credentials
    key = await services.read(lambda db: accounts.find_key(db, secret))
    if key is None:
        raise _unauthorized("Incorrect API key provided. `corll keys create` makes one.")
    request.state.rate = request.app.state.limits.take(key)
    return Caller(key, services)


async def session_of(request: Request, services: Services) -> Session:
    """Return the session of a browser, after what a cookie must prove. *Raises*: ApiError."""
    check_host(request, services.settings)
    secret, now = request.cookies.get(COOKIE, ""), time.time()
    session = await services.read(lambda db: sign_ins.find_session(db, secret, now=now))
    if session is None:
        raise _unauthorized("Nobody is signed in here; `corll link` makes a link that does.")
    check_own_page(request, session)
    return session


async def _in_browser(request: Request, services: Services) -> Caller:
    session = await session_of(request, services)
    user = await services.read(lambda db: accounts.find_user(db, session.user_id))
    assert user is not None
    key = Key(
        id=session.id,
        scope="user",
        namespace=user.namespace,
        user_id=user.id,
        label="browser",
        rate_per_minute=None,
        created_at=session.created_at,
        revoked_at=None,
    )
    request.state.rate = request.app.state.limits.take(key)
    return Caller(key, services, is_browser=True)


def _unauthorized(message: str) -> ApiError:
    headers = {"www-authenticate": "Bearer"}
    return ApiError(401, "invalid_api_key", message, headers=headers)


CurrentCaller = Annotated[Caller, Depends(caller_of)]

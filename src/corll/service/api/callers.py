"""Who asks: the key of a request, what it may do, and for which user it speaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from corll.service.api.error_answers import ApiError, bad_request, not_found
from corll.service.api.failed_tries import FailedTries
from corll.service.api.origins import check_host, check_own_page, cookie_name
from corll.service.api.services import Services
from corll.service.store import accounts, sign_ins
from corll.service.store.accounts import Key, User
from corll.service.store.rows import hash_secret, is_id
from corll.service.store.sign_ins import Session
from corll.service.store.user_names import is_name, settled, why_no_name

USER_HEADER = "x-corll-user"
"""Names the user where a client strips the field that does."""

_bearer = HTTPBearer(auto_error=False, description="A key of `corll keys create`.")


def services_of(request: Request) -> Services:
    """Return what the app was created with."""
    services: Services = request.app.state.services
    return services


def failed_tries_of(request: Request) -> FailedTries:
    """Return the app's count of what was tried in vain."""
    tries: FailedTries = request.app.state.failed_tries
    return tries


CurrentServices = Annotated[Services, Depends(services_of)]


class _Owned(Protocol):
    """Something of a user's."""

    @property
    def user_id(self) -> str: ...


@dataclass(frozen=True)
class Caller:
    """A key that was recognised. `in_header` is the user whom the request's header names, or ""."""

    key: Key
    services: Services
    is_browser: bool = False
    in_header: str = ""

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
        cannot be one, and where a key that speaks for many names nobody.
        """
        if self.key.user_id is not None:
            return await self._own_user(self.key.user_id)
        return await self.user_named(self._named_in(name))

    async def existing_user(self, name: str | None = None) -> User | None:
        """Return the user as `user` does, but create nobody."""
        if self.key.user_id is not None:
            return await self._own_user(self.key.user_id)
        return await self._find_named(self._named_in(name))

    async def user_named(self, name: str, *, param: str = "user") -> User:
        """Return the user of that name in the key's name space, made where there is none yet.

        The id of a user whom the key may see means that user. *Raises*: ApiError (400) for what
        cannot be a name; `param` is the field that said it.
        """
        found = await self._find_named(name, param=param)
        if found is not None:
            return found
        if (why := why_no_name(name)) is not None:
            raise bad_request(why, param=param)
        namespace, store = self.key.namespace, self.services.settings.stores_by_default
        created = await self.services.write(
            lambda db: accounts.get_or_create_user(
                db, namespace, name, store=store, now=time.time()
            )
        )
        known_as, find = _named(namespace, name)
        self.services.known.keep(known_as, find, created)
        return created

    def names_someone(self, name: str | None = None) -> bool:
        """Say whether a request names a user, in its body or by its header."""
        return not (_is_blank(name) and _is_blank(self.in_header))

    def speaks_for_nobody(self, name: str | None = None) -> bool:
        """Say whether the key speaks for many users, and nothing says for whom it asks now."""
        default = self.services.settings.default_user
        return self.key.user_id is None and default is None and not self.names_someone(name)

    def _named_in(self, name: str | None) -> str:
        """Return whom a key that speaks for many means. *Raises*: ApiError (400)."""
        if self.speaks_for_nobody(name):
            raise ApiError(
                400,
                "user_required",
                "This key speaks for many users, and the request names none. Send the user's name "
                'as the field "user" (of a draft also "safety_identifier") or, where your client '
                f"drops that field, as the header {USER_HEADER}. A key of scope user needs none, "
                "and `corll serve --default-user NAME` has one stand for whoever is not named.",
                param="user",
            )
        if name is None or _is_blank(name):
            is_blank = _is_blank(self.in_header)
            return (self.services.settings.default_user or "") if is_blank else self.in_header
        if not _is_blank(self.in_header) and settled(self.in_header) != settled(name):
            raise ApiError(
                400,
                "user_mismatch",
                f"The request names {name!r}, and its header {USER_HEADER} names "
                f"{self.in_header!r}. Send one of them, or the same name in both.",
                param="user",
            )
        return name

    async def _own_user(self, own_id: str) -> User:
        found = await self.services.read_or_known(
            ("user", own_id), lambda db: accounts.find_user(db, own_id)
        )
        if found is None:  # deleted just now, and their keys with them
            raise _unauthorized("The user of this API key was deleted.")
        return found

    async def _find_named(self, name: str, *, param: str = "user") -> User | None:
        if not is_name(name):
            raise bad_request(why_no_name(name) or "", param=param)
        found = await self.services.read_or_known(*_named(self.key.namespace, name))
        return found if found is not None and self.may_see(found) else None

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
            return await self.user_named(identity)
        if found is None or not self.may_see(found):
            raise not_found("such user")
        return found

    def visible_owner(self, db: Connection, row: _Owned | None) -> User | None:
        """Return whose something is, if it is there and this key's to see.

        The database is asked either way, so that what is another's takes as long as what is not
        there.
        """
        owner = accounts.find_user(db, "" if row is None else row.user_id)
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
    429 where it asks too often, or too many keys from its address were wrong.
    """
    if credentials is None and cookie_name(request, services.settings) in request.cookies:
        return await _in_browser(request, services)
    if credentials is None:
        raise _unauthorized("You did not provide an API key. Send: Authorization: Bearer YOUR_KEY.")
    secret, now = credentials.credentials, time.time()
    tries = failed_tries_of(request)
    tries.check(request, secret)
    hashed = hash_secret(secret)
    key = await services.read_or_known(
        ("key", hashed), lambda db: accounts.find_key_by_hash(db, hashed, now=now)
    )
    if key is None or not key.is_live(now):
        tries.failed(request)
        raise _unauthorized("Incorrect API key provided. `corll keys create` makes one.")
    tries.succeeded(request, secret)
    request.state.rate = request.app.state.limits.take(key)
    return Caller(key, services, in_header=header_text(request, USER_HEADER))


async def session_of(request: Request, services: Services) -> Session:
    """Return the session of a browser, after what a cookie must prove. *Raises*: ApiError."""
    check_host(request, services.settings)
    secret, now = request.cookies.get(cookie_name(request, services.settings)), time.time()
    nobody = _unauthorized("Nobody is signed in here; `corll link` makes a link that does.")
    if secret is None:
        raise nobody
    tries = failed_tries_of(request)
    tries.check(request, secret)
    hashed = hash_secret(secret)
    session = await services.read_or_known(
        ("session", hashed),
        lambda db: sign_ins.find_session_by_hash(db, hashed, now=now),
    )
    if session is None or session.expires_at <= now:
        tries.failed(request)
        raise nobody
    tries.succeeded(request, secret)
    check_own_page(request, session)
    return session


async def _in_browser(request: Request, services: Services) -> Caller:
    session = await session_of(request, services)
    user = await services.read_or_known(
        ("user", session.user_id), lambda db: accounts.find_user(db, session.user_id)
    )
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


def _named(namespace: str, name: str) -> tuple[Hashable, Callable[[Connection], User | None]]:
    """Return the query for the user of a name or an id, and what that is known as."""
    find = accounts.find_user_called if is_id("user", name) else accounts.find_user_by_name
    return ("user", namespace, name), lambda db: find(db, namespace, name)


def header_text(request: Request, name: str) -> str:
    """Return what a header says, in UTF-8 as most clients send it, else in Latin-1; "" for none."""
    sent = request.headers.get(name, "")
    try:
        return sent.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return sent


def _is_blank(name: str | None) -> bool:
    return name is None or not name.strip()


def _unauthorized(message: str) -> ApiError:
    headers = {"www-authenticate": "Bearer"}
    return ApiError(401, "invalid_api_key", message, headers=headers)


CurrentCaller = Annotated[Caller, Depends(caller_of)]

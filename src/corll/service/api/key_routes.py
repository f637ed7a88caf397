"""Keys: made, listed, rotated and revoked. A secret is shown once, and kept as a hash."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from corll.schemas import administration as schemas
from corll.schemas.answers import Deleted
from corll.schemas.requests import KeyRequest, KeyRotation
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import bad_request, not_found
from corll.service.store import accounts
from corll.service.store.accounts import Key
from corll.service.store.rows import new_id

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post("", summary="Create a key")
async def create_key(body: KeyRequest, caller: CurrentCaller) -> schemas.NewKey:
    """Needs scope admin, or scope backend for a key of one of its users."""
    caller.require("backend" if body.scope == "user" else "admin")
    if (body.user is None) == (body.scope == "user"):
        raise bad_request("A key of scope user names its user; others name none.", param="user")
    if body.namespace is not None and body.scope != "backend":
        raise bad_request("Only a backend has a name space of its own.", param="namespace")
    user = await caller.user(body.user) if body.scope == "user" else None
    namespace = caller.key.namespace
    if body.scope == "backend":
        namespace = body.namespace or new_id("backend")

    def create(db: Connection) -> Any:
        return accounts.create_key(
            db,
            scope=body.scope,
            namespace=namespace,
            label=body.label,
            user_id=None if user is None else user.id,
            rate_per_minute=body.rate_per_minute,
            actor=caller.actor,
            now=time.time(),
        )

    key, secret = await caller.services.write(create)
    return schemas.NewKey(**dict(_about(key)), key=secret)


@router.get("", summary="The keys")
async def list_keys(caller: CurrentCaller) -> schemas.Keys:
    """All, or a backend's own name space; without their secrets, which nobody has."""
    caller.require("backend")
    keys = await caller.services.read(lambda db: accounts.list_keys(db, _namespace(caller)))
    return schemas.Keys(object="list", data=[_about(key) for key in keys])


@router.delete("/{key_id}", summary="Revoke a key")
async def revoke_key(key_id: str, caller: CurrentCaller) -> Deleted:
    """From the next request on it is refused."""
    caller.require("backend")

    def revoke(db: Connection) -> Any:
        if not _may_end(db, caller, key_id):
            return False
        return accounts.revoke_key(db, key_id, actor=caller.actor, now=time.time())

    if not await caller.services.write(revoke):
        raise not_found("such key")
    return Deleted(id=key_id, object="key", deleted=True)


@router.post("/{key_id}/rotate", summary="Rotate a key")
async def rotate_key(key_id: str, body: KeyRotation, caller: CurrentCaller) -> schemas.NewKey:
    """A new key that may do the same. The old one is refused once `overlap_s` seconds are over, so
    that programs can change keys meanwhile. A key that ends already cannot be rotated.
    """
    caller.require("backend")

    def rotate(db: Connection) -> Any:
        if not _may_end(db, caller, key_id):
            return None
        return accounts.rotate_key(
            db, key_id, overlap_s=body.overlap_s, actor=caller.actor, now=time.time()
        )

    rotated = await caller.services.write(rotate)
    if rotated is None:
        raise not_found("such key")
    key, secret = rotated
    return schemas.NewKey(**dict(_about(key)), key=secret)


def _may_end(db: Connection, caller: Caller, key_id: str) -> bool:
    """Say whether a key is there, and the caller's to end."""
    own = {key.id: key for key in accounts.list_keys(db, _namespace(caller))}
    return key_id in own and (caller.key.scope == "admin" or own[key_id].scope == "user")


def _namespace(caller: Caller) -> str | None:
    return None if caller.key.scope == "admin" else caller.key.namespace


def _about(key: Key) -> schemas.Key:
    return schemas.Key(object="key", **asdict(key))

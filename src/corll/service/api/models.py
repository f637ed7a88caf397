"""Which weights a model's name stands for, and GET /v1/models."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from corll.service.api.callers import Caller, Known
from corll.service.api.errors import model_not_found
from corll.service.drafting import VersionFolder
from corll.service.store import accounts, lineages
from corll.service.store.accounts import User
from corll.service.store.lineages import Version

OWN, BASE = "corll", "base"
router = APIRouter(tags=["models"])


@dataclass(frozen=True)
class Drafting:
    """For whom a draft is, and from which version: None is the base, π_0.

    `held_back` says that π_0 drafts in place of the version that serves, so that learning can be
    measured; `blind` that the reply must not tell.
    """

    user: User
    version: Version | None
    held_back: bool = False
    blind: bool = False

    @property
    def folder(self) -> VersionFolder | None:
        """Where the engine finds the version."""
        if self.version is None or self.version.folder is None:
            return None
        return VersionFolder(self.version.id, Path(self.version.folder))


async def resolve_model(name: str, user: User, caller: Caller) -> Drafting:
    """`corll` is the user's serving version, `base` the plain base, `NAME@7` that version.

    *Raises*: ApiError (404) for any other name, and for a version that is not the caller's to see.
    """
    if name == BASE:
        return Drafting(user, None)
    if name != OWN:
        return Drafting(user, await _named_version(name, caller))
    if not user.learn:
        return Drafting(user, None)  # withdrawn consent serves the base at once
    version = await caller.services.read(lambda db: lineages.serving_version(db, user.id))
    blind = user.holdback > 0 and version is not None
    if blind and random.random() < user.holdback:
        return Drafting(user, None, held_back=True, blind=True)
    return Drafting(user, version, blind=blind)


async def _named_version(name: str, caller: Caller) -> Version:
    owner_name, _, number = name.rpartition("@")
    if not owner_name or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise model_not_found(name)
    namespace = caller.key.namespace

    def find(db: Connection) -> Any:
        owner = accounts.find_user_by_name(db, namespace, owner_name) or accounts.find_user(
            db, owner_name
        )
        if owner is None or not caller.may_see(owner) or not owner.learn:
            return None
        return lineages.find_version_by_number(db, owner.id, int(number))

    version: Version | None = await caller.services.read(find)
    if version is None or version.folder is None or version.state not in ("serving", "retired"):
        raise model_not_found(name)
    return version


@router.get("/v1/models", summary="The models that can be asked for")
async def list_models(
    caller: Known, user: Annotated[str | None, Query(max_length=64)] = None
) -> dict[str, Any]:
    """`corll` first, then `base`, then the kept versions of the key's user."""
    owner = await caller.existing_user(user)
    names = [(OWN, 0.0), (BASE, 0.0)]
    if owner is not None:
        versions = await caller.services.read(lambda db: lineages.versions_of(db, owner.id))
        kept = [v for v in versions if v.folder and v.state in ("serving", "retired")]
        names += [(f"{owner.name}@{v.number}", v.created_at) for v in kept]
    return {"object": "list", "data": [_model(name, at, caller) for name, at in names]}


@router.get("/v1/models/{name}", summary="One model")
async def retrieve_model(name: str, caller: Known) -> dict[str, Any]:
    """*Raises*: 404 for a name that cannot be asked for."""
    if name in (OWN, BASE):
        return _model(name, 0.0, caller)
    version = await _named_version(name, caller)
    return _model(name, version.created_at, caller)


def _model(name: str, created: float, caller: Caller) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(created),
        "owned_by": "corll",
        "base": caller.services.drafter.model,
    }

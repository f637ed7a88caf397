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
from corll.service.drafting.requests import VersionFolder
from corll.service.store import accounts, lineages
from corll.service.store.accounts import User
from corll.service.store.lineages import Reference, Version

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
    reference: Reference | None = None

    @property
    def folder(self) -> VersionFolder | None:
        """Where the engine finds what drafts: the version, else an imported reference."""
        imported = None if self.reference is None else self.reference.folder
        reference = None if imported is None else Path(imported)
        if self.version is not None and self.version.folder is not None:
            return VersionFolder(self.version.id, Path(self.version.folder), reference)
        if reference is None or self.reference is None:
            return None
        return VersionFolder(self.reference.id, reference, reference)


async def resolve_model(name: str, user_name: str | None, caller: Caller) -> Drafting:
    """`corll` is the user's serving version, `base` the plain base, `NAME@7` that version.

    A named version drafts for its owner alone; `user_name` may be left out then.
    *Raises*: ApiError (404) for any other name, for a version that is not the caller's to see, and
    for one of another user than the named one.
    """
    if name not in (OWN, BASE):
        named = await _named_version(name, caller)
        if user_name is not None:
            asking = await caller.existing_user(user_name)
            if asking is None or asking.id != named.user.id:
                raise model_not_found(name)
        return named
    user = await caller.user(user_name)
    if name == BASE:
        return Drafting(user, None)
    if not user.learn:
        return Drafting(user, None)  # withdrawn consent serves the base at once

    def serving(db: Connection) -> tuple[Version | None, Reference | None]:
        return lineages.serving_version(db, user.id), lineages.current_reference(db, user.id)

    own, reference = await caller.services.read(serving)
    blind = user.holdback > 0 and own is not None
    if blind and random.random() < user.holdback:
        return Drafting(user, None, held_back=True, blind=True, reference=reference)
    return Drafting(user, own, blind=blind, reference=reference)


async def _named_version(name: str, caller: Caller) -> Drafting:
    owner_name, _, number = name.rpartition("@")
    if not owner_name or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise model_not_found(name)
    namespace = caller.key.namespace

    def find(db: Connection) -> Any:
        owner = accounts.find_user_called(db, namespace, owner_name)
        if owner is None or not caller.may_see(owner) or not owner.learn:
            return None
        version = lineages.find_version_by_number(db, owner.id, int(number))
        if version is None or not _can_draft(version):
            return None
        reference = lineages.find_reference(db, version.reference_id)
        return Drafting(owner, version, reference=reference)

    found: Drafting | None = await caller.services.read(find)
    if found is None:
        raise model_not_found(name)
    return found


def _can_draft(version: Version) -> bool:
    return version.folder is not None and version.state in ("serving", "retired")


@router.get("/v1/models", summary="The models that can be asked for")
async def list_models(
    caller: Known, user: Annotated[str | None, Query(max_length=64)] = None
) -> dict[str, Any]:
    """`corll` first, then `base`, then the kept versions of the key's user, who agreed to learn."""
    owner = await caller.existing_user(user)
    names = [(OWN, 0.0), (BASE, 0.0)]
    if owner is not None and owner.learn:
        versions = await caller.services.read(lambda db: lineages.versions_of(db, owner.id))
        kept = filter(_can_draft, versions)
        names += [(f"{owner.name}@{v.number}", v.created_at) for v in kept]
    return {"object": "list", "data": [_model(name, at, caller) for name, at in names]}


@router.get("/v1/models/{name}", summary="One model")
async def retrieve_model(name: str, caller: Known) -> dict[str, Any]:
    """*Raises*: 404 for a name that cannot be asked for."""
    if name in (OWN, BASE):
        return _model(name, 0.0, caller)
    version = (await _named_version(name, caller)).version
    assert version is not None
    return _model(name, version.created_at, caller)


def _model(name: str, created: float, caller: Caller) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(created),
        "owned_by": "corll",
        "base": caller.services.drafter.model,
    }

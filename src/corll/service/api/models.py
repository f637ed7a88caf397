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


async def resolve_model(name: str, user: User, caller: Caller) -> Drafting:
    """`corll` is the user's serving version, `base` the plain base, `NAME@7` that version.

    *Raises*: ApiError (404) for any other name, and for a version that is not the caller's to see.
    """
    if name == BASE:
        return Drafting(user, None)
    if name != OWN:
        version, reference = await _named_version(name, caller)
        return Drafting(user, version, reference=reference)
    if not user.learn:
        return Drafting(user, None)  # withdrawn consent serves the base at once

    def serving(db: Connection) -> tuple[Version | None, Reference | None]:
        return lineages.serving_version(db, user.id), lineages.current_reference(db, user.id)

    own, reference = await caller.services.read(serving)
    blind = user.holdback > 0 and own is not None
    if blind and random.random() < user.holdback:
        return Drafting(user, None, held_back=True, blind=True, reference=reference)
    return Drafting(user, own, blind=blind, reference=reference)


async def _named_version(name: str, caller: Caller) -> tuple[Version, Reference | None]:
    owner_name, _, number = name.rpartition("@")
    if not owner_name or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise model_not_found(name)
    namespace = caller.key.namespace

    def find(db: Connection) -> Any:
        owner = accounts.find_user_called(db, namespace, owner_name)
        if owner is None or not caller.may_see(owner) or not owner.learn:
            return None
        version = lineages.find_version_by_number(db, owner.id, int(number))
        if version is None:
            return None
        return version, lineages.find_reference(db, version.reference_id)

    found: tuple[Version, Reference | None] | None = await caller.services.read(find)
    if found is None or found[0].folder is None or found[0].state not in ("serving", "retired"):
        raise model_not_found(name)
    return found


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
    version, _ = await _named_version(name, caller)
    return _model(name, version.created_at, caller)


def _model(name: str, created: float, caller: Caller) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(created),
        "owned_by": "corll",
        "base": caller.services.drafter.model,
    }

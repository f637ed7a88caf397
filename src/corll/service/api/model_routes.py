"""Names of models: what each stands for, and GET /v1/models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from corll.schemas.administration import Model, Models
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import model_not_found
from corll.service.drafting.serving import Serving, draftable, named_serving, serving_of
from corll.service.store import lineages

OWN, BASE = "corll", "base"
router = APIRouter(tags=["models"])


async def resolve_model(name: str, user_name: str | None, caller: Caller) -> Serving:
    """Say whose weights a model's name means.

    `corll` is the user's serving version, `base` the plain base, `NAME@7` that version.
    A named version drafts for its owner alone; `user_name` may be left out then.
    *Raises*: ApiError (404) for any other name, for a version that is not the caller's to see, and
    for one of another user than the named one.
    """
    if name not in (OWN, BASE):
        named = await _named_version(name, caller)
        if caller.names_someone(user_name):
            asking = await caller.existing_user(user_name)
            if asking is None or asking.id != named.user.id:
                raise model_not_found(name)
        return named
    user = await caller.user(user_name)
    if name == BASE:
        return Serving(user, None)
    serving = await caller.services.read_or_known(
        ("serving", user.id), lambda db: serving_of(db, user.id)
    )
    if serving is None:  # of a user who was deleted just now
        raise model_not_found(name)
    return serving


async def _named_version(name: str, caller: Caller) -> Serving:
    namespace = caller.key.namespace
    found = await caller.services.read_or_known(
        ("version", caller.key.id, name),  # which a key may see, another may not
        lambda db: named_serving(db, name, namespace=namespace, may_see=caller.may_see),
    )
    if found is None:
        raise model_not_found(name)
    return found


@router.get("/v1/models", summary="The models that can be asked for")
async def list_models(
    caller: CurrentCaller, user: Annotated[str | None, Query(max_length=64)] = None
) -> Models:
    """`corll` first, then `base`, then the kept versions of the key's user, who agreed to learn."""
    owner = None if caller.speaks_for_nobody(user) else await caller.existing_user(user)
    names = [(OWN, 0.0), (BASE, 0.0)]
    if owner is not None and owner.learn:
        kept = await caller.services.read(
            lambda db: draftable(db, lineages.versions_of(db, owner.id))
        )
        names += [(f"{owner.name}@{v.number}", v.created_at) for v in kept]
    return Models(object="list", data=[_model(name, at, caller) for name, at in names])


@router.get("/v1/models/{name}", summary="One model")
async def retrieve_model(name: str, caller: CurrentCaller) -> Model:
    """*Raises*: 404 for a name that cannot be asked for."""
    if name in (OWN, BASE):
        return _model(name, 0.0, caller)
    version = (await _named_version(name, caller)).version
    assert version is not None
    return _model(name, version.created_at, caller)


def _model(name: str, created: float, caller: Caller) -> Model:
    base = caller.services.drafter.model
    return Model(id=name, object="model", created=int(created), owned_by="corll", base=base)

"""A user's versions: list, show, roll back, prune."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.schemas import administration as schemas
from corll.schemas.requests import RollbackRequest
from corll.service.api.callers import CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.store import lineages
from corll.service.store.lineages import Version
from corll.service.versions.retention import remove_pruned

router = APIRouter(prefix="/v1/users/{user_id}/adapters", tags=["versions"])


@router.get("", summary="A user's versions")
async def list_versions(user_id: str, caller: CurrentCaller) -> schemas.Versions:
    """In order of number; `kept` says whether its weights are still there."""
    user = await caller.user_in_path(user_id)
    rows = await caller.services.read(lambda db: lineages.versions_of(db, user.id))
    return schemas.Versions(object="list", data=[_about(row) for row in rows])


@router.get("/{number}", summary="A version")
async def retrieve_version(
    user_id: str, number: int, caller: CurrentCaller
) -> schemas.VersionAndAncestry:
    """With its ancestry, and why it was rejected if it was."""
    user = await caller.user_in_path(user_id)

    def find(db: Connection) -> Any:
        if not 0 < number < 2**31:
            return None
        row = lineages.find_version_by_number(db, user.id, number)
        if row is None:
            return None
        ancestry = [version.number for version in lineages.ancestry(db, row.id)]
        return schemas.VersionAndAncestry(**dict(_about(row)), ancestry=ancestry)

    found: schemas.VersionAndAncestry | None = await caller.services.read(find)
    if found is None:
        raise not_found("such version")
    return found


@router.post("/rollback", summary="Serve an earlier version again")
async def roll_back(user_id: str, body: RollbackRequest, caller: CurrentCaller) -> schemas.Rollback:
    """The alias is pointed at that version; nothing is deleted."""
    user = await caller.user_in_path(user_id)

    def change(db: Connection) -> Any:
        return lineages.rollback(
            db, user.id, to=body.to, requeue=body.requeue, actor=caller.actor, now=time.time()
        )

    serving: Version | None = await caller.services.write(change)
    caller.services.learner.wake()
    number = None if serving is None else serving.number
    return schemas.Rollback(object="rollback", serving=number)


@router.post("/requeue", summary="Learn again from what was set aside")
async def requeue(user_id: str, caller: CurrentCaller) -> schemas.Requeue:
    """Preferences of versions that were rolled back or rejected wait again."""
    user = await caller.user_in_path(user_id)
    count = await caller.services.write(
        lambda db: lineages.requeue_set_aside(db, user.id, actor=caller.actor, now=time.time())
    )
    caller.services.learner.wake()
    return schemas.Requeue(object="requeue", preferences=count)


@router.post("/prune", summary="Remove weights that retention does not keep")
async def prune(user_id: str, caller: CurrentCaller) -> schemas.Prune:
    """Kept are the serving version, the three before it, every tenth, and what deletions replay
    from by `--replay-slack`.
    """
    user = await caller.user_in_path(user_id)
    gone = await run_in_threadpool(
        remove_pruned, caller.services.database, user.id, actor=caller.actor
    )
    return schemas.Prune(object="prune", removed=[version.number for version in gone])


def _about(version: Version) -> schemas.Version:
    return schemas.Version(
        object="version",
        number=version.number,
        state=version.state,
        parent=version.parent_id,
        id=version.id,
        lineage=version.lineage_id,
        reference=version.reference_id,
        reasons=version.reasons,
        metrics=version.metrics,
        steps=version.steps,
        kept=version.folder is not None,
        optimizer_kept=version.has_optimizer,
        created_at=version.created_at,
        served_at=version.served_at,
    )

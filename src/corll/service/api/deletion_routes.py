"""Deleting: a text, an import, all texts of a user, their model, or the user; and the receipts."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.schemas.deletions import Forgotten, Receipt, Receipts
from corll.schemas.states import Deletable
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.api.letting_go import let_go, publish
from corll.service.store import deletions
from corll.service.store.deletions import DeletionRow
from corll.service.versions.forgetting import (
    DryRunError,
    Target,
    clean,
    find_target,
    forget,
    weights_in,
)

router = APIRouter(prefix="/v1", tags=["deletions"])

DryRun = Annotated[
    bool, Query(description="Change nothing; say what would be undone, what not, and its cost.")
]


@router.delete("/edits/{edit_id}", summary="Delete an edit")
async def delete_edit(edit_id: str, caller: CurrentCaller, dry_run: DryRun = False) -> Forgotten:
    """With the earlier edits of the same choice. Its draft stays, a thing of its own."""
    return await _delete("edit", edit_id, caller, dry_run=dry_run)


@router.delete("/drafts/{draft_id}", summary="Delete a draft, its prompt and its edits")
async def delete_draft(draft_id: str, caller: CurrentCaller, dry_run: DryRun = False) -> Forgotten:
    """With its comparisons too. A draft that was never stored is forgotten, without a receipt of
    its own: it is a 404 from then on.
    """
    in_memory = caller.services.in_memory.find(draft_id)
    if not dry_run:
        owner = await caller.services.read(lambda db: caller.visible_owner(db, in_memory))
        if owner is not None:
            caller.services.in_memory.forget(draft_id=draft_id)
    return await _delete("draft", draft_id, caller, dry_run=dry_run)


@router.delete("/imports/{import_id}", summary="Delete an import")
async def delete_import(
    import_id: str, caller: CurrentCaller, dry_run: DryRun = False
) -> Forgotten:
    """Its texts, the drafts beside them, and what was learned from them."""
    return await _delete("import", import_id, caller, dry_run=dry_run)


@router.delete("/users/{user_id}/texts", summary="Delete all texts of a user")
async def delete_texts(user_id: str, caller: CurrentCaller, dry_run: DryRun = False) -> Forgotten:
    """And all that was learned from them; the user stays, with keys and consent."""
    user = await caller.user_in_path(user_id)
    return await _delete("texts", user.id, caller, dry_run=dry_run)


@router.delete("/users/{user_id}/model", summary="Delete what was learned from a user")
async def delete_model(user_id: str, caller: CurrentCaller, dry_run: DryRun = False) -> Forgotten:
    """All versions; the texts stay, and what was learned from them is set aside."""
    user = await caller.user_in_path(user_id)
    return await _delete("model", user.id, caller, dry_run=dry_run)


@router.delete("/users/{user_id}", summary="Delete a user")
async def delete_user(user_id: str, caller: CurrentCaller, dry_run: DryRun = False) -> Forgotten:
    """With texts, versions, keys and sessions. The receipt stays, with ids alone."""
    user = await caller.user_in_path(user_id)
    return await _delete("user", user.id, caller, dry_run=dry_run)


@router.get("/users/{user_id}/deletions", summary="What was deleted of a user")
async def list_deletions(user_id: str, caller: CurrentCaller) -> Receipts:
    """The newest first."""
    user = await caller.user_in_path(user_id)
    rows = await caller.services.read(lambda db: deletions.deletions_of(db, user.id))
    return Receipts(object="list", data=[row.to_receipt() for row in rows])


@router.get("/deletions/{deletion_id}", summary="The receipt of a deletion")
async def retrieve_deletion(deletion_id: str, caller: CurrentCaller) -> Receipt:
    """As it stands: whether the replay that it waited for serves, and whether all bytes are gone.

    That of a deleted user is the name space's, and an admin's, to see.
    """

    def find(db: Connection) -> DeletionRow | None:
        row = deletions.find_deletion(db, deletion_id)
        return row if row is not None and _may_see(caller, row) else None

    found = await caller.services.read(find)
    if found is None:
        raise not_found("such deletion")
    return found.to_receipt()


def _may_see(caller: Caller, row: DeletionRow) -> bool:
    if caller.key.scope == "admin":
        return True
    if caller.key.scope == "backend":
        return row.namespace == caller.key.namespace
    return row.user_id == caller.key.user_id


async def _delete(kind: Deletable, subject: str, caller: Caller, *, dry_run: bool) -> Forgotten:
    """Delete what the caller may see; answer once folders and bytes are gone, as far as they go."""
    services = caller.services

    def work(db: Connection) -> Receipt:
        target = _visible(db, kind, subject, caller)
        return forget(
            db,
            target,
            weights_of=weights_in(services.database),
            actor=caller.actor,
            now=time.time(),
            dry_run=dry_run,
        )

    try:
        receipt = await services.write(work)
    except DryRunError as rehearsed:
        told = rehearsed.receipt
        return Forgotten(id=subject, object=kind, deleted=False, receipt=told)
    await run_in_threadpool(let_go, services, receipt)
    await run_in_threadpool(clean, services.database)
    publish(services, receipt)
    services.learner.wake()
    row = await services.read(lambda db: deletions.find_deletion(db, receipt.id))
    assert row is not None
    return Forgotten(id=subject, object=kind, deleted=True, receipt=row.to_receipt())


def _visible(db: Connection, kind: Deletable, subject: str, caller: Caller) -> Target:
    """*Raises*: ApiError (404) for what is not there, or is another's."""
    target = find_target(db, kind, subject)
    if target is None or not caller.may_see(target.user):
        what = "user" if kind in ("texts", "model", "user") else kind
        raise not_found(f"such {what}")
    return target

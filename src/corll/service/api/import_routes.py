"""The first day: texts that were sent before, learned from as if the service had been there."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.schemas.answers import Deleted, Import, ImportResult, SkippedText
from corll.schemas.requests import ImportRequest
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.api.frame_routes import check_frame
from corll.service.feedback import ConsentRequiredError
from corll.service.store import imports
from corll.service.store.imports import ImportItem, ImportRow, NewItem

router = APIRouter(prefix="/v1/imports", tags=["imports"])

_MOST_SKIPPED = 100


@router.post(
    "", summary="Learn from texts that were sent before", response_model_exclude_unset=True
)
async def create_import(body: ImportRequest, caller: CurrentCaller) -> Import:
    """Of 12 texts or more a fifth is held out, to measure edit cost before and after."""
    user = await caller.user(body.user)
    if not (user.store and user.learn):
        raise ConsentRequiredError(
            "An import is stored and learned from. PUT /v1/users/{id}/consent "
            '{"store": true, "learn": true} allows it.'
        )
    check_frame(body.frame or "none", caller.services.drafter)
    items = await run_in_threadpool(_framed, body)
    row = await caller.services.write(
        lambda db: imports.add_import(
            db, user_id=user.id, items=items, actor=caller.actor, now=time.time()
        )
    )
    caller.services.learner.wake()
    return _about(row, (0, []))


def _framed(body: ImportRequest) -> list[NewItem]:
    """Return the texts as they are kept, each prompt in its frame."""
    texts = []
    for item in body.items:
        framing, asked = body.framing(item), item.conversation
        prompt, filled = framing.around_last(asked), framing.filled(asked)
        texts.append(NewItem(prompt, item.draft, item.sent, filled))
    return texts


@router.get(
    "/{import_id}", summary="An import, and what it brought", response_model_exclude_unset=True
)
async def retrieve_import(import_id: str, caller: CurrentCaller) -> Import:
    """waiting → running → done, with edit cost before and after; or failed, with the reason."""
    row = await _find(import_id, caller)
    skipped = await caller.services.read(
        lambda db: imports.skipped_items(db, row.id, limit=_MOST_SKIPPED)
    )
    return _about(row, skipped)


@router.delete("/{import_id}", summary="Forget an import")
async def delete_import(import_id: str, caller: CurrentCaller) -> Deleted:
    """Its texts and pairs go, save what a version has learned from already; that keeps its id."""
    row = await _find(import_id, caller)
    await caller.services.write(
        lambda db: imports.delete_import(db, row.id, actor=caller.actor, now=time.time())
    )
    return Deleted(id=row.id, object="import", deleted=True)


async def _find(import_id: str, caller: Caller) -> ImportRow:
    def find(db: Connection) -> Any:
        row = imports.find_import(db, import_id)
        return row if row is not None and caller.visible_owner(db, row.user_id) else None

    row: ImportRow | None = await caller.services.read(find)
    if row is None:
        raise not_found("such import")
    return row


def _about(row: ImportRow, skipped: tuple[int, list[ImportItem]]) -> Import:
    done = row.state == "done" and row.result is not None
    return Import(
        id=row.id,
        object="import",
        user=row.user_id,
        state=row.state,
        total=row.total,
        used=row.used,
        skipped=skipped[0],
        skipped_texts=[
            SkippedText(item=item.number, reason=item.reason or "") for item in skipped[1]
        ],
        result=ImportResult.model_validate(row.result) if done else None,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )

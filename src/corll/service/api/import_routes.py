"""The first day: texts that were sent before, learned from as if the service had been there."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.durable_points import reached
from corll.schemas.answers import Import, ImportResult, Imports, SkippedText
from corll.schemas.requests import ImportRequest
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.api.frame_routes import check_frame
from corll.service.api.transfers import json_body, transfers_of
from corll.service.feedback import ConsentRequiredError
from corll.service.store import imports
from corll.service.store.imports import ImportItem, ImportRow, NewItem

router = APIRouter(prefix="/v1", tags=["imports"])

IMPORTS = "/v1/imports"

_MOST_SKIPPED = 100
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ImportRequest"}}},
    }
}


@router.post(
    "/imports",
    summary="Learn from texts that were sent before",
    response_model_exclude_unset=True,
    openapi_extra=_BODY,
)
async def create_import(request: Request, caller: CurrentCaller) -> Import:
    """Of 12 texts or more a fifth is held out, to measure edit cost before and after."""
    # Read here and not by FastAPI, which would take in the texts of whoever has no key.
    async with transfers_of(request).one(caller):
        given = await json_body(request, many="items")
        body = await run_in_threadpool(_checked, given)
        return await _begun(body, caller)


def _checked(given: Any) -> ImportRequest:
    try:
        return ImportRequest.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise RequestValidationError(
            [{**problem, "loc": ("body", *problem["loc"])} for problem in problems], body=given
        ) from error


async def _begun(body: ImportRequest, caller: Caller) -> Import:
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
    reached("import committed")
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
    "/users/{user_id}/imports", summary="A user's imports", response_model_exclude_unset=True
)
async def list_imports(
    user_id: str,
    caller: CurrentCaller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=64, description="An import's id.")] = None,
) -> Imports:
    """Newest first, without those that were deleted; `before` goes on after the last of a page."""
    user = await caller.user_in_path(user_id)

    def find(db: Connection) -> Imports:
        rows = imports.imports_of(db, user.id, limit=limit + 1, before=before)
        found = [
            _about(row, imports.skipped_items(db, row.id, limit=_MOST_SKIPPED))
            for row in rows[:limit]
        ]
        return Imports(object="list", data=found, has_more=len(rows) > limit)

    return await caller.services.read(find)


@router.get(
    "/imports/{import_id}",
    summary="An import, and what it brought",
    response_model_exclude_unset=True,
)
async def retrieve_import(import_id: str, caller: CurrentCaller) -> Import:
    """waiting → running → done, with edit cost before and after; or failed, with the reason."""
    row = await _find(import_id, caller)
    skipped = await caller.services.read(
        lambda db: imports.skipped_items(db, row.id, limit=_MOST_SKIPPED)
    )
    return _about(row, skipped)


async def _find(import_id: str, caller: Caller) -> ImportRow:
    def find(db: Connection) -> Any:
        row = imports.find_import(db, import_id)
        return row if caller.visible_owner(db, row) is not None else None

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

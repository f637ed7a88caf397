"""The first day: texts that were sent before, learned from as if the service had been there."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection

from corll.service.api.bodies import Body, ChatMessage, example
from corll.service.api.callers import Caller, Known
from corll.service.api.errors import consent_required, not_found
from corll.service.store import imports
from corll.service.store.imports import ImportRow

router = APIRouter(prefix="/v1/imports", tags=["imports"])

_MOST_ITEMS = 10_000
Text = Annotated[str, Field(min_length=1, max_length=200_000)]


class PastTextBody(Body):
    """A text that was sent, what it answered, and the draft it was made from if there was one."""

    prompt: Text | Annotated[list[ChatMessage], Field(min_length=1, max_length=200)]
    sent: Text
    draft: Text | None = None

    @property
    def stored_prompt(self) -> list[dict[str, str]]:
        """As drafts keep it."""
        if isinstance(self.prompt, str):
            return [{"role": "user", "content": self.prompt}]
        return [message.as_plain() for message in self.prompt]


class ImportBody(Body):
    """Past texts of one user."""

    model_config = example(
        items=[{"prompt": "Is the red one in stock?", "sent": "It is. Regards, Anna"}]
    )

    items: list[PastTextBody] = Field(min_length=1, max_length=_MOST_ITEMS)
    user: str | None = Field(None, max_length=64)


@router.post("", summary="Learn from texts that were sent before")
async def create_import(body: ImportBody, caller: Known) -> dict[str, Any]:
    """Of 12 texts or more a fifth is held out, to measure edit cost before and after."""
    user = await caller.user(body.user)
    if not (user.store and user.learn):
        raise consent_required(
            "An import is stored and learned from. PUT /v1/users/{id}/consent "
            '{"store": true, "learn": true} allows it.'
        )
    items = [(item.stored_prompt, item.draft, item.sent) for item in body.items]
    row = await caller.services.write(
        lambda db: imports.add_import(
            db, user_id=user.id, items=items, actor=caller.actor, now=time.time()
        )
    )
    caller.services.learner.wake()
    return _about(row)


@router.get("/{import_id}", summary="An import, and what it brought")
async def retrieve_import(import_id: str, caller: Known) -> dict[str, Any]:
    """waiting → running → done, with edit cost before and after; or failed, with the reason."""
    return _about(await _find(import_id, caller))


@router.delete("/{import_id}", summary="Forget an import")
async def delete_import(import_id: str, caller: Known) -> dict[str, Any]:
    """Its texts and pairs go, save what a version has learned from already; that keeps its id."""
    row = await _find(import_id, caller)
    await caller.services.write(
        lambda db: imports.delete_import(db, row.id, actor=caller.actor, now=time.time())
    )
    return {"id": row.id, "object": "import", "deleted": True}


async def _find(import_id: str, caller: Caller) -> ImportRow:
    def find(db: Connection) -> Any:
        row = imports.find_import(db, import_id)
        return row if row is not None and caller.visible_owner(db, row.user_id) else None

    row: ImportRow | None = await caller.services.read(find)
    if row is None:
        raise not_found("such import")
    return row


def _about(row: ImportRow) -> dict[str, Any]:
    result = row.result if row.state == "done" else None
    return {
        "id": row.id,
        "object": "import",
        "user": row.user_id,
        "state": row.state,
        "total": row.total,
        "used": row.used,
        "result": result,
        "error": row.error,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }

"""A user's drafts with what became of them, newest first, to be read and searched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from corll.records import messages_of
from corll.schemas.answers import (
    DraftRecord,
    Drafts,
    EditRecord,
    FramedMessage,
    PromptMessage,
    ShownText,
)
from corll.service.api.callers import CurrentCaller
from corll.service.store import drafts, lineages
from corll.service.store.drafts import DraftRow, EditRow

router = APIRouter(prefix="/v1/users/{user_id}/drafts", tags=["users"])

_PAGE = 100
_MOST_SEARCHED = 10_000


@router.get("", summary="A user's drafts and edits")
async def list_drafts(
    user_id: str,
    caller: CurrentCaller,
    q: Annotated[str, Query(max_length=200, description="In prompts, drafts and edits.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=64, description="A draft's id.")] = None,
) -> Drafts:
    """Newest first; `before` goes on after the last draft of a page."""
    user = await caller.user_in_path(user_id)

    def find(db: Connection) -> Drafts:
        numbers = {version.id: version.number for version in lineages.versions_of(db, user.id)}
        found: list[DraftRecord] = []
        for draft, edits in _with_edits(db, user.id, before):
            if _mentions(q.casefold(), draft, edits):
                if len(found) == limit:
                    return Drafts(object="list", data=found, has_more=True)
                found.append(_about(draft, edits, numbers))
        return Drafts(object="list", data=found, has_more=False)

    return await caller.services.read(find)


def _with_edits(
    db: Connection, user_id: str, before: str | None
) -> Iterator[tuple[DraftRow, list[EditRow]]]:
    searched = 0
    while searched < _MOST_SEARCHED:
        rows = drafts.drafts_of(db, user_id, limit=_PAGE, before=before)
        if not rows:
            return
        edits: dict[str, list[EditRow]] = defaultdict(list)
        for edit in drafts.edits_of_drafts(db, [row.id for row in rows]):
            edits[edit.draft_id].append(edit)
        for row in rows:
            yield row, edits[row.id]
        searched += len(rows)
        before = rows[-1].id


def _mentions(wanted: str, draft: DraftRow, edits: Iterable[EditRow]) -> bool:
    if not wanted:
        return True
    texts = _written(draft)
    texts += [draft.choice(number)["text"] for number in range(len(draft.shown))]
    texts += [edit.text for edit in edits]
    return any(wanted in text.casefold() for text in texts)


def _written(draft: DraftRow) -> list[str]:
    """Return the texts of a prompt that its user wrote: of a framed one not the frame's words."""
    content = messages_of(draft.prompt)
    texts = [content] if isinstance(content, str) else [message["content"] for message in content]
    if (asked := draft.asked) is None:
        return texts
    return [*texts[:-1], asked["message"], asked["hint"], asked["name"]]


def _about(draft: DraftRow, edits: list[EditRow], numbers: dict[str, int]) -> DraftRecord:
    told = edits or not draft.blind  # who wrote it must not sway the edit
    return DraftRecord(
        id=draft.id,
        object="draft",
        created_at=draft.created_at,
        kind=draft.kind,
        prompt=_prompt(draft),
        asked=_asked(draft),
        version=numbers.get(draft.version_id) if draft.version_id and told else None,
        arm=draft.arm if told else None,
        memory=draft.memory,
        blind=draft.blind,
        choices=[ShownText(text=draft.choice(n)["text"]) for n in range(len(draft.shown))],
        status=draft.status,
        source=draft.source,
        edits=[_edit_record(edit) for edit in edits],
        **({"upstream": draft.upstream} if draft.upstream else {}),
    )


def _prompt(draft: DraftRow) -> str | list[PromptMessage]:
    content = messages_of(draft.prompt)
    if isinstance(content, str):
        return content
    return [PromptMessage(role=turn["role"], content=turn["content"]) for turn in content]


def _asked(draft: DraftRow) -> FramedMessage | None:
    if (asked := draft.asked) is None:
        return None
    return FramedMessage(
        frame=asked["frame"],
        message=asked["message"],
        hint=asked["hint"],
        sign_as=asked["name"],
        frame_template=asked["template"],
    )


def _edit_record(edit: EditRow) -> EditRecord:
    return EditRecord(
        id=edit.id,
        choice=edit.choice,
        text=edit.text,
        state=edit.state,
        accepted=edit.state == "accepted",
        edit_cost=edit.edit_cost,
        created_at=edit.created_at,
    )

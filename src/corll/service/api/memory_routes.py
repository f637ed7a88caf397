"""What a user sent before and may stand before the next request: to see, pin, skip and clear."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from corll.evaluation import question
from corll.frames import FrameName
from corll.memory.exchanges import Exchange
from corll.schemas.answers import Memory, RememberedText
from corll.schemas.requests import MemoryMarkRequest
from corll.schemas.states import MemoryMark
from corll.service.api.callers import CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.store import remembered
from corll.service.store.accounts import User
from corll.service.store.remembered import marks_of, past_exchanges

router = APIRouter(prefix="/v1/users/{user_id}/memory", tags=["users"])

_MOST_LISTED = 1_000


@router.get("", summary="The letters that may stand before a user's requests")
async def list_memory(
    user_id: str,
    caller: CurrentCaller,
    frame: Annotated[FrameName, Query(description="Of requests in this frame.")] = "none",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Memory:
    """Newest first, those that are skipped too. Which of them are chosen is for each request to
    say: its reply names them in `corll.memory`.
    """
    user = await caller.user_in_path(user_id)
    return await caller.services.read(lambda db: _listed(db, user, frame, limit))


@router.put("/{exchange_id}", summary="Pin a letter, or skip it")
async def put_mark(
    user_id: str, exchange_id: str, body: MemoryMarkRequest, caller: CurrentCaller
) -> RememberedText:
    """`pinned` stands before every request of its kind, `skipped` before none; null: as others."""
    user = await caller.user_in_path(user_id)

    def write(db: Connection) -> RememberedText | None:
        found = remembered.find_exchange(db, user.id, exchange_id)
        if found is None:
            return None
        now = time.time()
        remembered.set_mark(db, user.id, exchange_id, body.mark, actor=caller.actor, now=now)
        return _told(found, body.mark)

    answer: RememberedText | None = await caller.services.write(write)
    if answer is None:
        raise not_found("such letter in this user's memory")
    return answer


@router.delete("", summary="Forget all letters until now")
async def clear_memory(user_id: str, caller: CurrentCaller) -> Memory:
    """From the next draft on none of them stands before a request. They are kept, and what was
    learned from them stays learned.
    """
    user = await caller.user_in_path(user_id)

    def write(db: Connection) -> None:
        remembered.clear(db, user.id, actor=caller.actor, now=time.time())

    await caller.services.write(write)
    return Memory(object="list", data=[], has_more=False, remembers=user.is_remembered)


def _listed(db: Connection, user: User, frame: FrameName, limit: int) -> Memory:
    marks = marks_of(db, user.id)
    past = past_exchanges(db, user.id, frame, most=_MOST_LISTED, with_skipped=True).exchanges
    data = [_told(one, marks.get(one.id)) for one in past[: -limit - 1 : -1]]
    return Memory(
        object="list", data=data, has_more=len(past) > limit, remembers=user.is_remembered
    )


def _told(letter: Exchange, mark: MemoryMark | None) -> RememberedText:
    return RememberedText(id=letter.id, asked=question(letter.prompt), text=letter.text, mark=mark)

"""Users: who they are, what they agreed to, all that is kept of them, what learning brought."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from sqlalchemy import Connection

from corll.evaluation import difference_interval, mean_interval
from corll.schemas import answers as schemas
from corll.schemas.requests import ConsentRequest
from corll.service.api.callers import CurrentCaller
from corll.service.api.exports import export_lines
from corll.service.store import accounts, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.drafts import Answer

router = APIRouter(prefix="/v1/users", tags=["users"])

_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A record a line.",
        "content": {
            "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/ExportLine"}}
        },
    }
}


@router.get("", summary="The users that this key may see")
async def list_users(caller: CurrentCaller) -> schemas.Users:
    """For a key of scope user: that user alone."""
    if caller.key.scope == "user":
        found = [await caller.user()]
    else:
        namespace = None if caller.key.scope == "admin" else caller.key.namespace
        found = await caller.services.read(lambda db: accounts.users_of(db, namespace))
    rows = await caller.services.read(lambda db: [_about(db, user) for user in found])
    return schemas.Users(object="list", data=rows)


@router.get("/{user_id}", summary="A user")
async def retrieve_user(user_id: str, caller: CurrentCaller) -> schemas.UserAndLearner:
    """`me` is the key's own user. `preferences_per_step` edits make a step of the learner."""
    user = await caller.user_in_path(user_id)
    about = await caller.services.read(lambda db: _about(db, user))
    return schemas.UserAndLearner(
        **dict(about),
        preferences_per_step=caller.services.settings.coactive.preferences_per_step,
        learner=caller.services.learner.state,
    )


@router.put("/{user_id}/consent", summary="What the user agrees to")
async def put_consent(user_id: str, body: ConsentRequest, caller: CurrentCaller) -> schemas.User:
    """Withdrawing `learn` serves the base at once. Nothing is retroactive unless `include_past`.

    A backend, or an admin, may say what a user agrees to before the user's first draft.
    """
    user = await caller.user_in_path(user_id, create=True)

    def change(db: Connection) -> Any:
        changed = accounts.set_consent(
            db,
            user.id,
            store=body.store,
            learn=body.learn,
            share=body.share,
            holdback=body.holdback,
            include_past=body.include_past,
            actor=caller.actor,
            now=time.time(),
        )
        return _about(db, changed)

    answer: schemas.User = await caller.services.write(change)
    caller.services.learner.wake()
    return answer


@router.get(
    "/{user_id}/export",
    summary="Everything that is kept of a user",
    response_class=StreamingResponse,
    responses=_EXPORT,
)
async def export_user(user_id: str, caller: CurrentCaller) -> StreamingResponse:
    """JSON lines: the user; each draft, edit, comparison and preference; each import with its
    texts; lineages and versions; and the audit trail.
    """
    user = await caller.user_in_path(user_id)
    name = f"corll-{user.id}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    lines = export_lines(caller.services.database, user)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.get("/{user_id}/learning", summary="What learning brought")
async def retrieve_learning(user_id: str, caller: CurrentCaller) -> schemas.LearningReport:
    """Each answered draft in order, and what their edits cost.

    `benefit` compares those drafts alone of which it was drawn at random whether a version or the
    base wrote them, blindly: its `difference` is below 0 where learning saves edits.
    """
    user = await caller.user_in_path(user_id)
    answers = await caller.services.read(lambda db: drafts.answers_of(db, user.id))
    learned = [answer for answer in answers if answer.version_number is not None]
    held_back = [answer for answer in answers if answer.held_back]
    return schemas.LearningReport(
        object="learning",
        answers=[schemas.AnsweredDraft(**answer._asdict()) for answer in answers],
        edit_cost=_mean(answers),
        edit_cost_learned=_mean(learned),
        edit_cost_held_back=_mean(held_back),
        benefit=_benefit(answers),
    )


def _about(db: Connection, user: User) -> schemas.User:
    serving = lineages.serving_version(db, user.id)
    return schemas.User(
        id=user.id,
        object="user",
        name=user.name,
        consent=schemas.Consent(store=user.store, learn=user.learn, share=user.share),
        holdback=user.holdback,
        waiting=preferences.count_waiting(db, user.id),
        serving=serving.number if serving is not None and user.learn else None,
        reference=_reference(db, user),
        created_at=user.created_at,
    )


def _reference(db: Connection, user: User) -> schemas.ReferenceName | None:
    row = lineages.current_reference(db, user.id)
    if row is None:
        return None
    return schemas.ReferenceName(number=row.number, kind=row.kind, name=row.name)


def _mean(answers: Sequence[Answer]) -> schemas.CostFigure | None:
    """Return the mean edit cost with a 95 % bootstrap interval; None without answers."""
    if not answers:
        return None
    costs = _costs(answers)
    return schemas.CostFigure(
        **mean_interval(costs, seed=0)._asdict(),
        count=len(costs),
        accepted=float(np.mean([answer.accepted for answer in answers])),
    )


def _benefit(answers: Sequence[Answer]) -> schemas.Benefit | None:
    """Return the two sides of the blind measurement; None while it lacks one of them."""
    blind = [answer for answer in answers if answer.blind]
    learned = [answer for answer in blind if not answer.held_back]
    held_back = [answer for answer in blind if answer.held_back]
    of_learned, of_held_back = _mean(learned), _mean(held_back)
    if of_learned is None or of_held_back is None:
        return None
    difference = difference_interval(_costs(learned), _costs(held_back), seed=0)
    return schemas.Benefit(
        learned=of_learned,
        held_back=of_held_back,
        difference=schemas.Interval(**difference._asdict()),
    )


def _costs(answers: Sequence[Answer]) -> NDArray[np.float64]:
    return np.array([answer.edit_cost for answer in answers])

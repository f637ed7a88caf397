"""Users: who they are, what they agreed to, all that is kept of them, what learning brought."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from pydantic import Field
from sqlalchemy import Connection

from corll.evaluation import difference_interval, mean_interval
from corll.service.api.bodies import Body, example
from corll.service.api.callers import Known
from corll.service.api.exports import export_lines
from corll.service.store import accounts, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.drafts import Answer

router = APIRouter(prefix="/v1/users", tags=["users"])


class ConsentBody(Body):
    """The switches of consent; what is left out stays as it is."""

    model_config = example(store=True, learn=True)

    store: bool | None = Field(None, description="Whether drafts and edits may be kept.")
    learn: bool | None = Field(None, description="Whether edits may teach the user's adapter.")
    share: bool | None = Field(None, description="Whether they may be used beyond this user.")
    holdback: float | None = Field(
        None, ge=0, le=0.5, description="Share of drafts from the base, to measure the benefit."
    )
    include_past: bool = Field(
        False, description="Whether edits that came before consent may be learned from too."
    )


@router.get("", summary="The users that this key may see")
async def list_users(caller: Known) -> dict[str, Any]:
    """For a key of scope user: that user alone."""
    if caller.key.scope == "user":
        found = [await caller.user()]
    else:
        namespace = None if caller.key.scope == "admin" else caller.key.namespace
        found = await caller.services.read(lambda db: accounts.users_of(db, namespace))
    rows = await caller.services.read(lambda db: [_about(db, user) for user in found])
    return {"object": "list", "data": rows}


@router.get("/{user_id}", summary="A user")
async def retrieve_user(user_id: str, caller: Known) -> dict[str, Any]:
    """`me` is the key's own user. `preferences_per_step` edits make a step of the learner."""
    user = await caller.user_in_path(user_id)
    about = await caller.services.read(lambda db: _about(db, user))
    return about | {
        "preferences_per_step": caller.services.settings.coactive.preferences_per_step,
        "learner": caller.services.learner.state,
    }


@router.put("/{user_id}/consent", summary="What the user agrees to")
async def put_consent(user_id: str, body: ConsentBody, caller: Known) -> dict[str, Any]:
    """Withdrawing `learn` serves the base at once. Nothing is retroactive unless `include_past`."""
    user = await caller.user_in_path(user_id)

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

    answer: dict[str, Any] = await caller.services.write(change)
    caller.services.learner.wake()
    return answer


@router.get("/{user_id}/export", summary="Everything that is kept of a user")
async def export_user(user_id: str, caller: Known) -> StreamingResponse:
    """JSON lines: the user; each draft, edit, comparison and preference; each import with its
    texts; lineages and versions; and the audit trail.
    """
    user = await caller.user_in_path(user_id)
    name = f"corll-{user.id}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    lines = export_lines(caller.services.database, user)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.get("/{user_id}/learning", summary="What learning brought")
async def retrieve_learning(user_id: str, caller: Known) -> dict[str, Any]:
    """Each answered draft in order, and what their edits cost.

    `benefit` compares those drafts alone of which it was drawn at random whether a version or the
    base wrote them, blindly: its `difference` is below 0 where learning saves edits.
    """
    user = await caller.user_in_path(user_id)
    answers = await caller.services.read(lambda db: drafts.answers_of(db, user.id))
    learned = [answer for answer in answers if answer.version_number is not None]
    held_back = [answer for answer in answers if answer.held_back]
    return {
        "object": "learning",
        "answers": [answer._asdict() for answer in answers],
        "edit_cost": _mean(answers),
        "edit_cost_learned": _mean(learned),
        "edit_cost_held_back": _mean(held_back),
        "benefit": _benefit(answers),
    }


def _about(db: Connection, user: User) -> dict[str, Any]:
    serving = lineages.serving_version(db, user.id)
    reference = lineages.current_reference(db, user.id)
    return {
        "id": user.id,
        "object": "user",
        "name": user.name,
        "consent": {"store": user.store, "learn": user.learn, "share": user.share},
        "holdback": user.holdback,
        "waiting": preferences.count_waiting(db, user.id),
        "serving": serving.number if serving is not None and user.learn else None,
        "reference": None
        if reference is None
        else {"number": reference.number, "kind": reference.kind, "name": reference.name},
        "created_at": user.created_at,
    }


def _mean(answers: Sequence[Answer]) -> dict[str, float] | None:
    """The mean edit cost with a 95 % bootstrap interval; None without answers."""
    if not answers:
        return None
    costs = _costs(answers)
    return {
        **mean_interval(costs, seed=0)._asdict(),
        "count": len(costs),
        "accepted": float(np.mean([answer.accepted for answer in answers])),
    }


def _benefit(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """Of the blind measurement; None while it lacks one of its sides."""
    blind = [answer for answer in answers if answer.blind]
    learned = [answer for answer in blind if not answer.held_back]
    held_back = [answer for answer in blind if answer.held_back]
    if not learned or not held_back:
        return None
    difference = difference_interval(_costs(learned), _costs(held_back), seed=0)
    return {
        "learned": _mean(learned),
        "held_back": _mean(held_back),
        "difference": difference._asdict(),
    }


def _costs(answers: Sequence[Answer]) -> NDArray[np.float64]:
    return np.array([answer.edit_cost for answer in answers])

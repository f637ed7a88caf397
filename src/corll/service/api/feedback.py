"""What came of drafts: POST /v1/edits, POST /v1/comparisons, POST /v1/learn."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.edits import edit_cost, normalize, same_text
from corll.feedback import clean_edit
from corll.records import Sample
from corll.service.api.bodies import Body, example
from corll.service.api.callers import Caller, Known
from corll.service.api.errors import ApiError, bad_request, consent_required, not_found
from corll.service.prompts import as_prompt
from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.drafts import DraftRow, EditRow

router = APIRouter(tags=["feedback"])

DraftId = Annotated[str, Field(max_length=64, description="`id` of the draft's reply.")]
Choice = Annotated[int, Field(ge=0, le=127, description="Which of the draft's choices.")]
IdempotencyKey = Annotated[str | None, Field(None, min_length=1, max_length=200)]

_REPLACED = "A later edit of the same draft took its place."


class EditBody(Body):
    """What the user sent in place of a draft."""

    model_config = example(draft_id="chatcmpl-…", text="Hello, it comes on Friday. Anna")

    draft_id: DraftId
    text: str = Field(max_length=1_000_000, description="The text that was sent in the end.")
    choice: Choice = 0
    idempotency_key: IdempotencyKey = None


class Side(Body):
    """One side of a comparison."""

    draft_id: DraftId
    choice: Choice = 0


class ComparisonBody(Body):
    """`chosen` is better than `rejected`."""

    model_config = example(
        chosen={"draft_id": "chatcmpl-…", "choice": 1}, rejected={"draft_id": "chatcmpl-…"}
    )

    chosen: Side
    rejected: Side
    idempotency_key: IdempotencyKey = None


class LearnBody(Body):
    """Whose edits are to be learned from now, though fewer than N wait."""

    model_config = example(user="anna")

    user: str | None = Field(None, max_length=64)


@router.post("/v1/edits", summary="Say what a draft became")
async def create_edit(body: EditBody, caller: Known) -> dict[str, Any]:
    """The edit is on disk when the answer comes. A text equal to its draft accepts it."""
    draft, user = await find_draft(body.draft_id, caller)
    _check_choice(draft, body.choice, "choice")
    if not user.store:
        raise consent_required(
            "This user's texts are not stored, so edits cannot be taken. PUT "
            '/v1/users/{id}/consent {"store": true} allows it.'
        )
    shown = Sample.from_dict(draft.choice(body.choice))
    accepted = same_text(shown.text, body.text)
    text = normalize(body.text) if accepted else clean_edit(body.text)
    services = caller.services
    reason = _why_not(draft, user)
    if reason is None and accepted:
        reason = "The draft was accepted as it is: there is nothing to learn."
    if reason is None:
        prompt = as_prompt(draft.prompt, draft.kind)
        reason = await run_in_threadpool(services.drafter.why_not_learnable, prompt, shown, text)

    def record(db: Connection) -> Any:
        edit, is_new = drafts.record_edit(
            db,
            draft=draft,
            choice=body.choice,
            text=text,
            accepted=accepted,
            edit_cost=0.0 if accepted else edit_cost(shown.text, text),
            will_learn=reason is None,
            reason=reason,
            idempotency_key=body.idempotency_key,
            now=time.time(),
        )
        return _edit_answer(db, edit), is_new

    answer: dict[str, Any]
    answer, is_new = await services.write(record)
    if is_new:
        services.metrics.edited(draft, answer)
    services.events.publish(user.id, "edit", {k: answer[k] for k in ("id", "state", "edit_cost")})
    if answer["will_learn"]:
        services.learner.wake()
    return answer


@router.get("/v1/edits/{edit_id}", summary="An edit, and how far it has come")
async def retrieve_edit(edit_id: str, caller: Known) -> dict[str, Any]:
    """recorded → learned in a version → serving; or accepted, replaced, set aside."""

    def find(db: Connection) -> Any:
        row = drafts.find_edit(db, edit_id)
        if row is None or caller.visible_owner(db, row.user_id) is None:
            return None
        return _edit_answer(db, row)

    found: dict[str, Any] | None = await caller.services.read(find)
    if found is None:
        raise not_found("such edit")
    return found


@router.post("/v1/comparisons", summary="Say which of two drafts is better")
async def create_comparison(body: ComparisonBody, caller: Known) -> dict[str, Any]:
    """The paper's dueling feedback, for the same learner: two drafts, or choices, of one prompt."""
    chosen, user = await find_draft(body.chosen.draft_id, caller)
    rejected, _ = await find_draft(body.rejected.draft_id, caller)
    _check_choice(chosen, body.chosen.choice, "chosen.choice")
    _check_choice(rejected, body.rejected.choice, "rejected.choice")
    if not user.store:
        raise consent_required("This user's texts are not stored, so comparisons cannot be taken.")
    texts = [
        row.choice(side.choice)["text"]
        for row, side in ((chosen, body.chosen), (rejected, body.rejected))
    ]
    if same_text(*texts):
        raise bad_request("The two texts are the same: neither is better.", param="rejected")
    reason = _why_not(chosen, user) or _why_not(rejected, user)

    def record(db: Connection) -> Any:
        row = comparisons.record_comparison(
            db,
            chosen=chosen,
            chosen_choice=body.chosen.choice,
            rejected=rejected,
            rejected_choice=body.rejected.choice,
            will_learn=reason is None,
            reason=reason,
            idempotency_key=body.idempotency_key,
            now=time.time(),
        )
        return {
            "id": row.id,
            "object": "comparison",
            "chosen": {"draft_id": row.chosen_draft_id, "choice": row.chosen_choice},
            "rejected": {"draft_id": row.rejected_draft_id, "choice": row.rejected_choice},
            "created_at": row.created_at,
            **_learned_state(db, row.preference_id, row.reason),
        }

    answer: dict[str, Any] = await caller.services.write(record)
    if answer["will_learn"]:
        caller.services.learner.wake()
    return answer


@router.post("/v1/learn", summary="Learn from what waits, now")
async def learn_now(body: LearnBody, caller: Known) -> dict[str, Any]:
    """A step on all that waits for a user, though fewer than N edits are in."""
    user = await caller.user(body.user)
    if not user.learn:
        raise consent_required(
            "This user has not agreed to be learned from. PUT /v1/users/{id}/consent "
            '{"learn": true} allows it.'
        )
    waiting = await caller.services.read(lambda db: preferences.count_waiting(db, user.id))
    state = caller.services.learner.state
    if waiting and state != "off":
        # In the store too, so that a learner that dies before it hears of it still does it.
        await caller.services.write(
            lambda db: preferences.ask_to_learn(db, user.id, now=time.time())
        )
        caller.services.learner.ask_to_learn(user.id)
    return {
        "object": "learn",
        "queued": bool(waiting) and state != "off",
        "waiting": waiting,
        "learner": state,
    }


async def find_draft(draft_id: str, caller: Caller) -> tuple[DraftRow, User]:
    """A draft and its owner. *Raises*: ApiError (404) where it is not there, or not to be seen."""
    kept = caller.services.in_memory.find(draft_id)

    def find(db: Connection) -> Any:
        draft = kept or drafts.find_draft(db, draft_id)
        return draft, None if draft is None else caller.visible_owner(db, draft.user_id)

    draft, owner = await caller.services.read(find)
    if draft is None or owner is None:
        raise not_found("such draft")
    if kept is not None and owner.store:
        # Consent came after the draft: an edit needs it in the store.
        await caller.services.write(lambda db: drafts.add_draft_once(db, kept))
    return draft, owner


def _check_choice(draft: DraftRow, choice: int, param: str) -> None:
    if choice >= len(draft.shown):
        raise bad_request(
            f"The draft has {len(draft.shown)} choices, counted from 0; there is no {choice}.",
            param=param,
        )


def _why_not(draft: DraftRow, user: User) -> str | None:
    """Why nothing of this draft will be learned from, whatever the text."""
    if draft.status == "cancelled":
        return "The draft was cancelled before its end."
    if not user.learn:
        return "This user has not agreed to be learned from (consent: learn)."
    return None


def _edit_answer(db: Connection, row: EditRow) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": row.id,
        "object": "edit",
        "draft_id": row.draft_id,
        "choice": row.choice,
        "text": row.text,
        "accepted": row.state == "accepted",
        "edit_cost": row.edit_cost,
        "created_at": row.created_at,
        **_learned_state(db, row.preference_id, row.reason),
    }
    if row.state != "recorded":
        answer |= {"state": row.state, "will_learn": False}
    if row.state == "replaced":
        answer["reason"] = _REPLACED
    return answer


def _learned_state(db: Connection, preference_id: str | None, reason: str | None) -> dict[str, Any]:
    """How far a preference has come: recorded → learned in version n → serving; else why not.

    `reason` is why it was not to be learned from when it was recorded.
    """
    if preference_id is None:
        return {"state": "recorded", "will_learn": False, "reason": reason, "version": None}
    row = preferences.find_preference(db, preference_id)
    if row is None:
        raise ApiError(404, "not_found", "What this said has been deleted.")
    if row.state != "learned" or row.version_id is None:
        state = "recorded" if row.state in ("waiting", "withheld") else row.state
        waits = row.state == "waiting"
        why = None if waits else row.reason or reason
        return {"state": state, "will_learn": waits, "reason": why, "version": None}
    version = lineages.find_version(db, row.version_id)
    assert version is not None
    user = accounts.find_user(db, row.user_id)
    serves = lineages.serving_version(db, row.user_id) is not None and user and user.learn
    return {
        "state": "serving" if serves else "learned",
        "will_learn": True,
        "reason": None,
        "version": {"number": version.number, "state": version.state},
    }

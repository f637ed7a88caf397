"""What came of drafts: POST /v1/edits, POST /v1/comparisons, POST /v1/learn."""

from __future__ import annotations

import time

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from corll.durable_points import reached
from corll.schemas.answers import Comparison, DraftChoice, Edit, LearnedVersion, Learning
from corll.schemas.events import EditEvent
from corll.schemas.requests import ComparisonRequest, EditRequest, LearnRequest
from corll.service import feedback
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import not_found
from corll.service.api.found_drafts import find_draft_of, find_edited
from corll.service.api.request_spans import about_comparison, about_edit
from corll.service.feedback import (
    ComparisonAnswer,
    EditAnswer,
    LearningProgress,
)
from corll.service.feedback import Side as DraftSide
from corll.service.logs import log_texts
from corll.service.store import drafts, preferences
from corll.service.tracing import COMPARISON, EDIT, Span

router = APIRouter(tags=["feedback"])


@router.post("/v1/edits", summary="Say what a draft became")
async def create_edit(body: EditRequest, caller: CurrentCaller) -> Edit:
    """The edit is on disk when the answer comes. A text equal to its draft accepts it.

    Its draft is named by `draft_id`, by the client's own `ref`, or by its text. Where two fit, this
    is a 409 that names them.
    """
    with caller.services.tracing.span(EDIT) as span:
        return await _record_edit(body, caller, span)


async def _record_edit(body: EditRequest, caller: Caller, span: Span) -> Edit:
    services = caller.services
    found, choice = await find_edited(body, caller)
    # Long texts take their time to become tokens, for which no other request is to wait.
    edit = await run_in_threadpool(
        feedback.judge_edit,
        services.drafter,
        found.draft,
        found.owner,
        body.text,
        choice=choice,
        mask=services.settings.mask,
    )

    def record(db: Connection) -> EditAnswer:
        found.keep(db)
        key = body.idempotency_key
        return feedback.record_edit(
            db, edit, idempotency_key=key, now=time.time(), settings=services.settings
        )

    recorded = await services.write(record)
    reached("edit committed")
    span.note(about_edit(recorded))
    log_texts(services.settings, "edit", edit_id=recorded.edit.id, text=recorded.edit.text)
    if recorded.is_new:
        services.metrics.edited(found.draft, recorded.edit)
    answer = _edit_answer(recorded)
    event = EditEvent(id=answer.id, state=answer.state, edit_cost=answer.edit_cost)
    services.events.publish(found.owner.id, event)
    if recorded.progress.will_learn:
        services.learner.wake()
    return answer


@router.get("/v1/edits/{edit_id}", summary="An edit, and how far it has come")
async def retrieve_edit(edit_id: str, caller: CurrentCaller) -> Edit:
    """recorded → learned in a version → serving; or accepted, replaced, set aside."""

    def find(db: Connection) -> EditAnswer | None:
        row = drafts.find_edit(db, edit_id)
        owner = caller.visible_owner(db, row)
        if row is None or owner is None:
            return None
        return feedback.edit_as_it_stands(db, row, mask=caller.services.settings.mask)

    found = await caller.services.read(find)
    if found is None:
        raise not_found("such edit")
    return _edit_answer(found)


@router.post("/v1/comparisons", summary="Say which of two drafts is better")
async def create_comparison(body: ComparisonRequest, caller: CurrentCaller) -> Comparison:
    """The paper's dueling feedback, for the same learner: two drafts, or choices, of one prompt."""
    chosen = await find_draft_of(None, body.chosen.draft_id, caller)
    rejected = await find_draft_of(None, body.rejected.draft_id, caller)
    comparison = feedback.judge_comparison(
        caller.services.drafter,
        DraftSide(chosen.draft, body.chosen.choice),
        DraftSide(rejected.draft, body.rejected.choice),
        chosen.owner,
    )

    def record(db: Connection) -> ComparisonAnswer:
        chosen.keep(db)
        rejected.keep(db)
        key = body.idempotency_key
        return feedback.record_comparison(db, comparison, idempotency_key=key, now=time.time())

    with caller.services.tracing.span(COMPARISON) as span:
        recorded = await caller.services.write(record)
        span.note(about_comparison(recorded))
    if recorded.progress.will_learn:
        caller.services.learner.wake()
    return _comparison_answer(recorded)


@router.post("/v1/learn", summary="Learn from what waits, now")
async def learn_now(body: LearnRequest, caller: CurrentCaller) -> Learning:
    """A step on all that waits for a user, though fewer than N edits are in."""
    user = await caller.user(body.user)
    feedback.check_agreed_to_learn(user)
    learner = caller.services.learner
    state = learner.state
    if state == "off":
        waiting = await caller.services.read(lambda db: preferences.count_waiting(db, user.id))
    else:
        # In the store too, so that a learner that dies before it hears of it still does it.
        waiting = await caller.services.write(
            lambda db: feedback.ask_to_learn(db, user, now=time.time())
        )
    queued = waiting > 0 and state != "off"
    if queued:
        learner.ask_to_learn(user.id)
    return Learning(object="learn", queued=queued, waiting=waiting, learner=state)


def _edit_answer(answer: EditAnswer) -> Edit:
    row, progress = answer.edit, answer.progress
    return Edit(
        id=row.id,
        object="edit",
        draft_id=row.draft_id,
        choice=row.choice,
        text=row.text,
        accepted=row.state == "accepted",
        edit_cost=row.edit_cost,
        created_at=row.created_at,
        state=progress.state,
        will_learn=progress.will_learn,
        reason=progress.reason,
        version=_learned_version(progress),
        masked=list(answer.masked),
    )


def _comparison_answer(answer: ComparisonAnswer) -> Comparison:
    row, progress = answer.comparison, answer.progress
    return Comparison(
        id=row.id,
        object="comparison",
        chosen=DraftChoice(draft_id=row.chosen_draft_id, choice=row.chosen_choice),
        rejected=DraftChoice(draft_id=row.rejected_draft_id, choice=row.rejected_choice),
        created_at=row.created_at,
        state=progress.state,
        will_learn=progress.will_learn,
        reason=progress.reason,
        version=_learned_version(progress),
    )


def _learned_version(progress: LearningProgress) -> LearnedVersion | None:
    version = progress.version
    return None if version is None else LearnedVersion(number=version.number, state=version.state)

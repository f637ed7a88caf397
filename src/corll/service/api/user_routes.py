"""Users: who they are, what they agreed to, all that is kept of them, what learning brought."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from sqlalchemy import Connection

from corll.evaluation import difference_interval, mean_interval
from corll.schemas import answers as schemas
from corll.schemas import learning_reports
from corll.schemas.requests import ConsentRequest, NewUserRequest
from corll.schemas.starts import OwnReference, ReferenceName, ReferenceStart
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.exports import export_lines
from corll.service.api.transfers import LinesResponse, transfers_of
from corll.service.arms import choice_of, coin_of
from corll.service.feedback import FieldError
from corll.service.masks import DISTIL_SEES_ALL, mask_of
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, coins, drafts, lineages, preferences, starts
from corll.service.store.accounts import User
from corll.service.store.drafts import Answer
from corll.verdicts.arms import ARMS

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
    settings = caller.services.settings
    rows = await caller.services.read(lambda db: [_about(db, user, settings) for user in found])
    return schemas.Users(object="list", data=rows)


@router.post("", summary="A user, before their first draft")
async def create_user(body: NewUserRequest, caller: CurrentCaller) -> schemas.User:
    """Makes a user in the key's name space, and sets what they agree to. A name that is known is
    that user, of whom only the switches that are given change. Needs scope backend.
    """
    caller.require("backend")
    _check_mask(body.consent, caller.services.settings)
    user = await caller.user_named(body.name, param="name")
    return await _agreed(user, body.consent, caller)


@router.get("/{user_id}", summary="A user")
async def retrieve_user(user_id: str, caller: CurrentCaller) -> schemas.UserAndLearner:
    """`me` is the key's own user. `preferences_per_step` edits make a step of the learner."""
    user, settings = await caller.user_in_path(user_id), caller.services.settings
    about = await caller.services.read(lambda db: _about(db, user, settings))
    return schemas.UserAndLearner(
        **dict(about),
        preferences_per_step=settings.coactive.preferences_per_step,
        learner=caller.services.learner.state,
        sends_letters_to=settings.upstream_model if settings.upstream_memory else None,
    )


@router.put("/{user_id}/consent", summary="What the user agrees to")
async def put_consent(user_id: str, body: ConsentRequest, caller: CurrentCaller) -> schemas.User:
    """Withdrawing `learn` serves the base at once. Nothing is retroactive unless `include_past`.

    A backend, or an admin, may say what a user agrees to before the user's first draft.
    """
    _check_mask(body, caller.services.settings)
    user = await caller.user_in_path(user_id, create=True)
    return await _agreed(user, body, caller)


@router.get(
    "/{user_id}/export",
    summary="Everything that is kept of a user",
    response_class=StreamingResponse,
    responses=_EXPORT,
)
async def export_user(user_id: str, request: Request, caller: CurrentCaller) -> LinesResponse:
    """JSON lines: the user; each draft, edit, comparison and preference; each import with its
    texts; lineages and versions; and the audit trail.
    """
    user = await caller.user_in_path(user_id)
    name = f"corll-{user.id}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    lines, transfers = export_lines(caller.services.database, user), transfers_of(request)
    return LinesResponse(lines, transfers, transfers.begin(caller, user.id), headers)


@router.get("/{user_id}/learning", summary="What learning brought")
async def retrieve_learning(user_id: str, caller: CurrentCaller) -> learning_reports.LearningReport:
    """Each answered draft in order, and what their edits cost.

    `benefit` compares those drafts alone of which it was drawn at random whether a version or the
    base wrote them, blindly: its `difference` is below 0 where learning saves edits. `arms` does so
    for two arms of drafting, of which a coin decided which one drafts.
    """
    user, settings = await caller.user_in_path(user_id), caller.services.settings

    def read(db: Connection) -> tuple[list[Answer], learning_reports.Arms]:
        answers = drafts.answers_of(db, user.id)
        return answers, _arms(db, user, settings, answers)

    answers, arms = await caller.services.read(read)
    learned = [answer for answer in answers if answer.version_number is not None]
    held_back = [answer for answer in answers if answer.held_back]
    return learning_reports.LearningReport(
        object="learning",
        answers=[learning_reports.AnsweredDraft(**answer._asdict()) for answer in answers],
        edit_cost=_mean(answers),
        edit_cost_learned=_mean(learned),
        edit_cost_held_back=_mean(held_back),
        benefit=_benefit(answers),
        arms=arms,
    )


def _check_mask(consent: ConsentRequest, settings: ServiceSettings) -> None:
    """Check that a mask can be had here. *Raises*: FieldError."""
    if settings.coactive.learner == "distil" and consent.mask not in (None, "none"):
        raise FieldError(f"Here {DISTIL_SEES_ALL}.", field="mask")


async def _agreed(user: User, consent: ConsentRequest, caller: Caller) -> schemas.User:
    """Set the switches that are given, and return the user as they stand then."""
    settings = caller.services.settings

    def change(db: Connection) -> schemas.User:
        changed = accounts.set_consent(
            db,
            user.id,
            **consent.model_dump(),
            actor=caller.actor,
            now=time.time(),
        )
        if settings.upstream is not None and changed.upstream != user.upstream:
            coins.begin_anew(db, user.id, now=time.time())  # other arms are to be had from now on
        return _about(db, changed, settings)

    answer = await caller.services.write(change)
    caller.services.learner.wake()
    return answer


def _about(db: Connection, user: User, settings: ServiceSettings) -> schemas.User:
    serving = lineages.serving_version(db, user.id)
    return schemas.User(
        id=user.id,
        object="user",
        name=user.name,
        consent=schemas.Consent(
            store=user.store, learn=user.learn, share=user.share, upstream=user.upstream
        ),
        holdback=user.holdback,
        arm=choice_of(user, settings),
        mask=mask_of(user, settings.mask),
        waiting=preferences.count_waiting(db, user.id),
        serving=serving.number if serving is not None and user.learn else None,
        reference=_reference(db, user),
        start=_start(db, user),
        created_at=user.created_at,
    )


def _reference(db: Connection, user: User) -> OwnReference | None:
    row = lineages.current_reference(db, user.id)
    if row is None:
        return None
    examined = row.kind == "base" or starts.was_examined(db, user.id, row.id)
    return OwnReference(number=row.number, kind=row.kind, name=row.name, examined=examined)


def _start(db: Connection, user: User) -> ReferenceStart | None:
    """Return the latest start of a user, where it does not serve."""
    row = starts.unserved_start(db, user.id)
    if row is None:
        return None
    found = lineages.find_reference(db, row.reference_id)
    assert found is not None
    name = ReferenceName(number=found.number, kind=found.kind, name=found.name)
    return ReferenceStart(
        reference=name, state=row.state, reasons=row.reasons, asked_at=row.created_at
    )


def _mean(answers: Sequence[Answer]) -> learning_reports.CostFigure | None:
    """Return the mean edit cost with a 95 % bootstrap interval; None without answers."""
    if not answers:
        return None
    costs = _costs(answers)
    return learning_reports.CostFigure(
        **mean_interval(costs, seed=0)._asdict(),
        count=len(costs),
        accepted=float(np.mean([answer.accepted for answer in answers])),
    )


def _benefit(answers: Sequence[Answer]) -> learning_reports.Benefit | None:
    """Return the two sides of the blind measurement; None while it lacks one of them."""
    blind = [answer for answer in answers if answer.blind and answer.trial is None]
    learned = [answer for answer in blind if not answer.held_back]
    held_back = [answer for answer in blind if answer.held_back]
    of_learned, of_held_back = _mean(learned), _mean(held_back)
    difference = _difference(learned, held_back)
    if of_learned is None or of_held_back is None or difference is None:
        return None
    return learning_reports.Benefit(
        learned=of_learned, held_back=of_held_back, difference=difference
    )


def _arms(
    db: Connection, user: User, settings: ServiceSettings, answers: Sequence[Answer]
) -> learning_reports.Arms:
    """Return which arm drafts, and what the coin's drafts of its present trial cost by arm."""
    coin, evidence = coin_of(db, user, settings), coins.evidence_of(db, user.id)
    of_trial = [answer for answer in answers if answer.trial == coin.trial]
    sides = {arm: [answer for answer in of_trial if answer.arm == arm] for arm in ARMS}
    figures = {arm: _mean(side) for arm, side in sides.items()}
    return learning_reports.Arms(
        choice=choice_of(user, settings),
        serving=coin.serving,
        challenger=coin.challenger,
        share=coin.share if coin.challenger else 0.0,
        verdict=coin.verdict,
        costs=[
            learning_reports.ArmFigure(arm=arm, **dict(figure))
            for arm, figure in figures.items()
            if figure
        ],
        difference=_difference(
            sides[coin.challenger] if coin.challenger else [], sides[coin.serving]
        ),
        decided=[
            learning_reports.DecidedTrial(
                winner=row.winner,
                loser=row.loser,
                drafts=row.drafts,
                decided_at=row.decided_at,
                **({} if row.upstream is None else {"upstream": row.upstream}),
            )
            for row in coins.trials_of(db, user.id)
        ],
        learned=evidence.learned.verdict,
        letters=evidence.letters.verdict,
    )


def _difference(one: Sequence[Answer], other: Sequence[Answer]) -> schemas.Interval | None:
    """Return by how much the mean edit cost of one side is above another's; None without both."""
    if not (one and other):
        return None
    return schemas.Interval(**difference_interval(_costs(one), _costs(other), seed=0)._asdict())


def _costs(answers: Sequence[Answer]) -> NDArray[np.float64]:
    return np.array([answer.edit_cost for answer in answers])

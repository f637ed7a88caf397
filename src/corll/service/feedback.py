"""Step 2 of Algorithm 1 in the service: what recording an edit, a comparison or a request means.

Nothing here knows HTTP: the API translates these answers and errors, and a program may call the
functions with a database's connection and a drafter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection

from corll.durable_points import reached
from corll.edits import edit_cost
from corll.errors import CorllError, InputError
from corll.memory.masking import ONLY_MASKED, Mask, masked
from corll.records import Sample
from corll.schemas.states import FeedbackState, PreferenceState, VersionState
from corll.service.arms import settle
from corll.service.drafting.drafter import Drafter
from corll.service.masks import mask_of, masked_words
from corll.service.prompts import as_prompt
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, comparisons, drafts, lineages, preferences
from corll.service.store.accounts import User
from corll.service.store.comparisons import ComparisonRow
from corll.service.store.drafts import DraftRow, EditRow
from corll.service.store.preferences import PreferenceRow
from corll.text import clean_edit, normalize, same_text
from corll.verdicts.unfit import why_unfit

_STATES: Mapping[PreferenceState, FeedbackState] = {
    "waiting": "recorded",
    "withheld": "recorded",
    "set_aside": "set_aside",
    "replaced": "replaced",
    "learned": "learned",
}

_ACCEPTED = "The draft was accepted as it is: there is nothing to learn."
_CANCELLED = "The draft was cancelled before its end."
_NOT_AGREED_BEGINS = "This user has not agreed to be learned from (consent: learn)"
_NOT_AGREED = (
    f"{_NOT_AGREED_BEGINS}. Agreed to with include_past, it lets this be learned from too."
)
_CAME_BEFORE = (
    "It came while this user did not agree to be learned from. PUT /v1/users/{id}/consent "
    '{"include_past": true} lets what came then be learned from too.'
)
_NO_MEMORY = (
    "The learner of this service learns from drafts behind past letters or worked examples alone, "
    "and this one had none before it."
)
_REPLACED = "A later edit of the same draft took its place."


class ConsentRequiredError(CorllError, PermissionError):
    """What was sent may not be kept or learned from until its user agrees."""


class FieldError(InputError):
    """A part of feedback cannot be used; `field` names it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class TaughtVersion:
    """The version that learned from a preference."""

    number: int
    state: VersionState


@dataclass(frozen=True, slots=True)
class LearningProgress:
    """How far a preference has come: recorded → learned in a version → serving; else why not."""

    state: FeedbackState
    will_learn: bool
    reason: str | None
    version: TaughtVersion | None = None


@dataclass(frozen=True, slots=True)
class JudgedEdit:
    """An edit that was judged and can be recorded. `reason` says why nothing is learned from it.

    `set_aside`: since the learner cannot use it; another one may, after a requeue.
    """

    draft: DraftRow
    choice: int
    text: str
    accepted: bool
    edit_cost: float
    reason: str | None
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class EditAnswer:
    """An edit as the store has it, how far it has come, and what its learner does not see of it."""

    edit: EditRow
    progress: LearningProgress
    is_new: bool = False
    masked: tuple[str, ...] = ()


class Side(NamedTuple):
    """One choice of a draft."""

    draft: DraftRow
    choice: int


@dataclass(frozen=True, slots=True)
class JudgedComparison:
    """A comparison that was judged and can be recorded; `reason` as in `JudgedEdit`."""

    chosen: Side
    rejected: Side
    reason: str | None
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonAnswer:
    """A comparison as the store has it, and how far it has come."""

    comparison: ComparisonRow
    progress: LearningProgress


def judge_edit(
    drafter: Drafter,
    draft: DraftRow,
    user: User,
    text: str,
    *,
    choice: int = 0,
    mask: Mask = "none",
) -> JudgedEdit:
    """Judge what a user sent in place of a draft: whether it accepts it, and teaches anything.

    `mask` is what is masked of the texts of users who did not choose.
    *Raises*: ConsentRequiredError where the user's texts are not stored; FieldError for a choice
    that is not there, and for a text that is empty or holds a control token of the served model.
    """
    _check_choice(draft, choice, "choice")
    if not user.store:
        raise ConsentRequiredError(
            "This user's texts are not stored, so edits cannot be taken. PUT "
            '/v1/users/{id}/consent {"store": true} allows it.'
        )
    shown = _shown(drafter, draft, choice)
    accepted = same_text(shown.text, text)
    text = normalize(shown.text) if accepted else _sent(drafter, text, shown)
    reason = _cancelled(draft) or (_ACCEPTED if accepted else None)
    if reason is None:
        prompt = as_prompt(draft.prompt, draft.kind)
        reason = drafter.why_not_learnable(prompt, shown, text) or why_unfit(text)
        own, sides = mask_of(user, mask), (shown.text, text)
        if reason is None and same_text(*(masked(side, own).text for side in sides)):
            reason = ONLY_MASKED
    # Said last, since consent alone does not help where something else speaks against it too.
    reason = reason or (None if user.learn else _NOT_AGREED)
    cost = 0.0 if accepted else edit_cost(shown.text, text)
    return JudgedEdit(draft, choice, text, accepted, cost, *_for_learner(drafter, draft, reason))


def _sent(drafter: Drafter, text: str, shown: Sample) -> str:
    """Return the text of an edit as it is kept. *Raises*: FieldError where it cannot be one."""
    try:
        text = clean_edit(text, shown.text)
        drafter.check_edit(text)
    except InputError as error:
        raise FieldError(f"{error} Nothing was recorded.", field="text") from error
    return text


def _shown(drafter: Drafter, draft: DraftRow, choice: int) -> Sample:
    """Return the choice that was shown; without its ids where another model has drawn it."""
    shown = Sample.from_dict(draft.choice(choice))
    own = drafts.holds_ids_of(drafter.fingerprint, draft)
    return shown if own else replace(shown, token_ids=())


def record_edit(
    db: Connection,
    edit: JudgedEdit,
    *,
    idempotency_key: str | None = None,
    now: float,
    settings: ServiceSettings | None = None,
) -> EditAnswer:
    """Keep an edit of a draft that the store holds; the same edit twice is one.

    The first edit of a draft tells the coin that decided who drafts what it cost; of an upstream's
    drafts that takes the service's `settings`.
    *Raises*: IdempotencyError where the key came with another edit before.
    """
    row, is_new, is_first = drafts.record_edit(
        db,
        draft=edit.draft,
        choice=edit.choice,
        text=edit.text,
        accepted=edit.accepted,
        edit_cost=edit.edit_cost,
        will_learn=edit.reason is None,
        reason=edit.reason,
        set_aside=edit.set_aside,
        idempotency_key=idempotency_key,
        now=now,
    )
    if is_first:
        settle(db, edit.draft, edit.edit_cost, now=now, settings=settings)
    reached("edit written")
    default = "none" if settings is None else settings.mask
    return edit_as_it_stands(db, row, mask=default, is_new=is_new)


def edit_as_it_stands(
    db: Connection, row: EditRow, *, mask: Mask = "none", is_new: bool = False
) -> EditAnswer:
    """Say how far an edit has come, and what of it its learner does not see.

    `mask` is what is masked of the texts of users who did not choose.
    """
    expressed = _expressed(db, row)
    progress = _progress_of_edit(db, row, expressed)
    return EditAnswer(row, progress, is_new, masked_words(db, row, expressed, mask))


def _progress_of_edit(
    db: Connection, row: EditRow, expressed: PreferenceRow | None
) -> LearningProgress:
    """Say how far an edit has come: accepted and replaced ones go no further."""
    progress = _progress(db, row, expressed)
    if row.state == "recorded":
        return progress
    reason = _REPLACED if row.state == "replaced" else progress.reason
    if row.state == "accepted" and _is_about_consent(reason):
        reason = _ACCEPTED  # of a release that said consent first
    return LearningProgress(row.state, will_learn=False, reason=reason, version=progress.version)


def judge_comparison(
    drafter: Drafter, chosen: Side, rejected: Side, user: User
) -> JudgedComparison:
    """Judge a user's word that one choice of a draft is better than another.

    The memory that it is learned behind is that of the rejected draft.
    *Raises*: ConsentRequiredError where the user's texts are not stored; InputError for a choice
    that is not there, or two texts of which neither is better.
    """
    _check_choice(chosen.draft, chosen.choice, "chosen.choice")
    _check_choice(rejected.draft, rejected.choice, "rejected.choice")
    if not user.store:
        raise ConsentRequiredError(
            "This user's texts are not stored, so comparisons cannot be taken. PUT "
            '/v1/users/{id}/consent {"store": true} allows it.'
        )
    if same_text(*(side.draft.choice(side.choice)["text"] for side in (chosen, rejected))):
        raise FieldError("The two texts are the same: neither is better.", field="rejected")
    reason = _why_not(chosen.draft, user) or _why_not(rejected.draft, user)
    return JudgedComparison(chosen, rejected, *_for_learner(drafter, rejected.draft, reason))


def record_comparison(
    db: Connection, comparison: JudgedComparison, *, idempotency_key: str | None = None, now: float
) -> ComparisonAnswer:
    """Keep a comparison of drafts that the store holds; the same comparison twice is one.

    *Raises*: InputError where the sides are not two answers to one prompt of one user;
    IdempotencyError where the key came with another comparison before.
    """
    chosen, rejected = comparison.chosen, comparison.rejected
    row = comparisons.record_comparison(
        db,
        chosen=chosen.draft,
        chosen_choice=chosen.choice,
        rejected=rejected.draft,
        rejected_choice=rejected.choice,
        will_learn=comparison.reason is None,
        reason=comparison.reason,
        set_aside=comparison.set_aside,
        idempotency_key=idempotency_key,
        now=now,
    )
    return ComparisonAnswer(row, _progress(db, row, _expressed(db, row)))


def ask_to_learn(db: Connection, user: User, *, now: float) -> int:
    """Note that a user wants a step on all that waits; say how much that is.

    *Raises*: ConsentRequiredError where the user has not agreed to be learned from.
    """
    check_agreed_to_learn(user)
    waiting = preferences.count_waiting(db, user.id)
    if waiting:
        preferences.ask_to_learn(db, user.id, now=now)
    return waiting


def check_agreed_to_learn(user: User) -> None:
    """Check that the user agreed to be learned from. *Raises*: ConsentRequiredError."""
    if not user.learn:
        raise ConsentRequiredError(
            "This user has not agreed to be learned from. PUT /v1/users/{id}/consent "
            '{"learn": true} allows it.'
        )


def _check_choice(draft: DraftRow, choice: int, field: str) -> None:
    if not 0 <= choice < len(draft.shown):
        raise FieldError(
            f"The draft has {len(draft.shown)} choices, counted from 0; there is no {choice}.",
            field=field,
        )


def _why_not(draft: DraftRow, user: User) -> str | None:
    """Say why nothing of this draft will be learned from, whatever the text; None if it may be."""
    return _cancelled(draft) or (None if user.learn else _NOT_AGREED)


def _cancelled(draft: DraftRow) -> str | None:
    return _CANCELLED if draft.status == "cancelled" else None


def _is_about_consent(reason: str | None) -> bool:
    """Say whether a reason is that its user did not agree when it was given, or withdrew later."""
    return reason is not None and (
        reason.startswith(_NOT_AGREED_BEGINS) or reason == preferences.WITHDRAWN
    )


def _for_learner(drafter: Drafter, draft: DraftRow, reason: str | None) -> tuple[str | None, bool]:
    """Return why nothing is learned of a draft, and whether since the learner cannot use it.

    `reason` is what else speaks against it.
    """
    set_aside = reason is None and drafter.needs_memory and not draft.memory
    return (_NO_MEMORY if set_aside else reason), set_aside


def _expressed(db: Connection, row: EditRow | ComparisonRow) -> PreferenceRow | None:
    """Return the preference that an edit or a comparison expressed, if it did."""
    if row.preference_id is None:
        return None
    found = preferences.find_preference(db, row.preference_id)
    assert found is not None, "what an edit or a comparison expressed is kept as long as they are"
    return found


def _progress(
    db: Connection, row: EditRow | ComparisonRow, expressed: PreferenceRow | None
) -> LearningProgress:
    """Say how far has come what an edit or a comparison expressed.

    What is said of consent is so now, and not when it came.
    """
    if expressed is None:
        return LearningProgress("recorded", will_learn=False, reason=row.reason)
    if expressed.state == "learned" and expressed.version_id is not None:
        return _learned(db, expressed.user_id, expressed.version_id)
    waits = expressed.state == "waiting"
    why = None if waits else expressed.reason or row.reason
    if expressed.state == "withheld" and _is_about_consent(why):
        user = accounts.find_user(db, row.user_id)
        why = _CAME_BEFORE if user is not None and user.learn else why
    return LearningProgress(_STATES[expressed.state], will_learn=waits, reason=why)


def _learned(db: Connection, user_id: str, version_id: str) -> LearningProgress:
    """Say whether what was learned serves: its user agrees, and a version of theirs serves."""
    version = lineages.find_version(db, version_id)
    user = accounts.find_user(db, user_id)
    assert version is not None
    assert user is not None
    serves = user.learn and lineages.serving_version(db, user_id) is not None
    about = TaughtVersion(version.number, version.state)
    return LearningProgress(
        "serving" if serves else "learned", will_learn=True, reason=None, version=about
    )

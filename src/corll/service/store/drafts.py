"""Drafts as they were shown, and the edits that came back to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from corll.errors import IdempotencyError
from corll.frames import Filled
from corll.records import Prompt
from corll.schemas.states import DraftKind, DraftSource, DraftStatus, EditState
from corll.service.store.accounts import find_user
from corll.service.store.bases import served_fingerprint
from corll.service.store.preferences import NewPreference, add_preference
from corll.service.store.rows import (
    add_row,
    all_rows,
    find_row,
    in_chunks,
    new_id,
    page_of,
    select_rows,
)
from corll.service.store.schema import drafts, edits, preferences, versions
from corll.verdicts.arms import Arm

BEGUN = "begun_characters"
"""Under which name `sampling` says how long the beginning is that the client gave."""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A draft with all its candidates; `shown` numbers them in the order of `choices`.

    `candidates` are the fields of `Sample`s, with ids of the base that `base_fingerprint` names.
    `version_id` is None where the reference wrote. Of `blind` ones it was drawn at random whether
    it should: those are `held_back`. `asked` is what the user wrote of a prompt that stands in a
    frame, `memory` names the exchanges that stood before the prompt. `arm` is which arm drafted;
    where a coin decided on it, `trial` is its trial and `share` the challenger's share of drafts.
    `upstream` is the model of another service that wrote it: its candidates hold no ids, it is
    off-policy for what learns, and `version_id` is then what chose among the candidates.
    `ref` is the client's own reference of it. `response` is what the draft is as a response of
    OpenAI's newer API, None for others: see `corll.service.store.responses`.
    """

    id: str
    user_id: str
    key_id: str | None
    kind: DraftKind
    model: str
    prompt: Prompt
    version_id: str | None
    candidates: list[dict[str, Any]]
    shown: list[int]
    scores: list[float] | None
    sampling: dict[str, Any]
    seed: int
    status: DraftStatus
    held_back: bool
    source: DraftSource
    created_at: float
    blind: bool = False
    base_fingerprint: str | None = None
    asked: Filled | None = None
    memory: list[str] = field(default_factory=list)
    arm: Arm | None = None
    trial: int | None = None
    share: float | None = None
    upstream: str | None = None
    ref: str | None = None
    response: dict[str, Any] | None = None

    def choice(self, number: int) -> dict[str, Any]:
        """Return the candidate that was shown as that choice, counted from 0."""
        return self.candidates[self.shown[number]]


@dataclass(frozen=True, slots=True)
class EditRow:
    """What a user made of one choice of a draft. *Units*: `edit_cost` as in `corll.edits`."""

    id: str
    draft_id: str
    user_id: str
    choice: int
    text: str
    idempotency_key: str | None
    state: EditState
    preference_id: str | None
    edit_cost: float
    reason: str | None
    created_at: float


class RecordedEdit(NamedTuple):
    """An edit as the store has it, whether it was not there before, and whether it is the draft's
    first one.
    """

    edit: EditRow
    is_new: bool
    is_first: bool = False


class Answer(NamedTuple):
    """How one draft was answered: by which version it was written, and what the edit cost.

    `arm` drafted; in a `trial`, if a coin decided on it.
    """

    created_at: float
    version_number: int | None
    held_back: bool
    blind: bool
    accepted: bool
    edit_cost: float
    arm: Arm | None = None
    trial: int | None = None


def add_draft(db: Connection, row: DraftRow) -> None:
    """Keep a draft, with the base that is served where its ids are of that."""
    of_base = None if row.upstream else served_fingerprint(db)
    add_row(db, drafts, replace(row, base_fingerprint=of_base))


def add_draft_if_agreed(db: Connection, row: DraftRow) -> bool:
    """Keep a draft where its user lets texts be stored, and say whether that is so."""
    user = find_user(db, row.user_id)
    if user is None or not user.store:
        return False
    add_draft(db, row)
    return True


def add_draft_once(db: Connection, row: DraftRow) -> None:
    """Keep a draft, unless it is kept already."""
    if find_draft(db, row.id) is None:
        add_draft(db, row)


def find_draft(db: Connection, draft_id: str) -> DraftRow | None:
    """Return the draft of that id."""
    return find_row(db, DraftRow, drafts, drafts.c.id == draft_id)


def holds_ids_of(fingerprint: str, draft: DraftRow | Origin) -> bool:
    """Say whether the ids of a draft are those of a base.

    One that was kept before bases were recorded says nothing, and is of the base that is served.
    One of another service's model has none.
    """
    return draft.upstream is None and draft.base_fingerprint in (None, fingerprint)


class Origin(NamedTuple):
    """What must be known of a draft to learn from it: its kind, and whose token ids it holds.

    `memory` names the exchanges that stood before its prompt, which was `asked` in a frame or not.
    `upstream` as of `DraftRow`.
    """

    kind: DraftKind
    base_fingerprint: str | None
    user_id: str
    asked: Filled | None
    memory: Sequence[str]
    upstream: str | None


def origins_of_complete(db: Connection, draft_ids: Sequence[str]) -> dict[str, Origin]:
    """Return the origin of each of these drafts that was not cancelled."""
    complete = drafts.c.id.in_(draft_ids) & (drafts.c.status == "complete")
    columns = [drafts.c[name] for name in Origin._fields]
    query = select(drafts.c.id, *columns).where(complete)
    return {draft_id: Origin(*fields) for draft_id, *fields in db.execute(query)}


def oldest_at(db: Connection, user_id: str) -> float | None:
    """Return when the oldest draft of a user's was drawn, in seconds since 1970."""
    times = select(func.min(drafts.c.created_at)).where(drafts.c.user_id == user_id)
    found: float | None = db.execute(times).scalar()
    return found


def drafts_of(
    db: Connection, user_id: str, *, limit: int, before: str | None = None
) -> list[DraftRow]:
    """Return a user's drafts, newest first; with `before`, those older than that draft."""
    theirs = [drafts.c.user_id == user_id]
    return page_of(db, DraftRow, drafts, theirs, limit=limit, before=before)


def drafts_called(db: Connection, user_id: str, ref: str) -> list[DraftRow]:
    """Return a user's drafts of a client's reference, newest first."""
    theirs = (drafts.c.user_id == user_id) & (drafts.c.ref == ref)
    query = select_rows(DraftRow, drafts).where(theirs).order_by(drafts.c.number.desc())
    return all_rows(db, DraftRow, query)


def record_edit(
    db: Connection,
    *,
    draft: DraftRow,
    choice: int,
    text: str,
    accepted: bool,
    edit_cost: float,
    will_learn: bool,
    reason: str | None,
    idempotency_key: str | None,
    now: float,
    set_aside: bool = False,
) -> RecordedEdit:
    """Keep an edit and, unless it accepts the draft, the preference that it expresses.

    `set_aside`: that is set aside, for the `reason`, since the learner cannot use it.
    The same edit twice is one edit. Another edit of the same choice replaces the earlier one, but
    what was learned stays learned: then the new one is a further preference, unless it goes back
    to what was learned last.
    *Raises*: IdempotencyError where the key came with another edit before.
    """
    row = EditRow(
        id=new_id("edit"),
        draft_id=draft.id,
        user_id=draft.user_id,
        choice=choice,
        text=text,
        idempotency_key=idempotency_key,
        state="accepted" if accepted else "recorded",
        preference_id=None,
        edit_cost=edit_cost,
        reason=reason,
        created_at=now,
    )
    known = _under_same_key(db, row) or _repeated(db, row)
    if known is not None:
        return RecordedEdit(known, is_new=False)
    is_first = not edits_of_drafts(db, [draft.id])
    if not accepted:
        preference = NewPreference(
            user_id=draft.user_id,
            source="edit",
            draft_id=draft.id,
            prompt=draft.prompt,
            chosen={"text": text},
            rejected=draft.choice(choice),
        )
        preference_id = add_preference(
            db,
            preference,
            will_learn=will_learn,
            set_aside=reason if set_aside else None,
            now=now,
        )
        row = replace(row, preference_id=preference_id)
    add_row(db, edits, row)
    return RecordedEdit(row, is_new=True, is_first=is_first)


def find_edit(db: Connection, edit_id: str) -> EditRow | None:
    """Return the edit of that id."""
    return find_row(db, EditRow, edits, edits.c.id == edit_id)


def edits_of(
    db: Connection, user_id: str, *, limit: int, before: str | None = None
) -> list[EditRow]:
    """Return a user's edits, newest first; with `before`, those older than the edit of that id."""
    theirs = [edits.c.user_id == user_id]
    return page_of(db, EditRow, edits, theirs, limit=limit, before=before)


def edits_of_drafts(db: Connection, draft_ids: Sequence[str]) -> list[EditRow]:
    """Return the edits of these drafts, oldest first."""
    query = select_rows(EditRow, edits).where(edits.c.draft_id.in_(draft_ids))
    return all_rows(db, EditRow, query.order_by(edits.c.number))


def edits_that_taught(db: Connection, preference_ids: Sequence[str]) -> dict[str, str]:
    """Return the ids of the edits that expressed these preferences, by the preferences' ids."""
    found: dict[str, str] = {}
    for ids in in_chunks(preference_ids):
        query = select(edits.c.preference_id, edits.c.id).where(edits.c.preference_id.in_(ids))
        found |= {row.preference_id: row.id for row in db.execute(query)}
    return found


def answers_of(db: Connection, user_id: str, *, source: DraftSource = "live") -> list[Answer]:
    """Return how a user's drafts were answered, in order; what was replaced is left out."""
    query = (
        select(
            edits.c.created_at,
            versions.c.number,
            drafts.c.held_back,
            drafts.c.blind,
            edits.c.state == "accepted",
            edits.c.edit_cost,
            drafts.c.arm,
            drafts.c.trial,
        )
        .join(drafts, drafts.c.id == edits.c.draft_id)
        .outerjoin(versions, versions.c.id == drafts.c.version_id)
        .where(edits.c.user_id == user_id, edits.c.state != "replaced", drafts.c.source == source)
        .order_by(edits.c.number)
    )
    return [Answer(*row) for row in db.execute(query)]


def _under_same_key(db: Connection, row: EditRow) -> EditRow | None:
    if row.idempotency_key is None:
        return None
    known = find_row(
        db,
        EditRow,
        edits,
        edits.c.user_id == row.user_id,
        edits.c.idempotency_key == row.idempotency_key,
    )
    if known is not None and _content(known) != _content(row):
        raise IdempotencyError(
            f"idempotency key {row.idempotency_key!r} came with another edit before (of draft "
            f"{known.draft_id}, choice {known.choice}); send a new key with a new edit"
        )
    return known


def _repeated(db: Connection, row: EditRow) -> EditRow | None:
    """Return the standing edit that one repeats, under its key; what it replaces is replaced.

    The latest alone is repeated: what the user said before it is not their last word. Where that
    is replaced, the latest that was learned is, and one that says the same teaches nothing new.
    """
    standing = _standing(db, row)
    if not standing or standing[0].text != row.text:
        standing = _replace_unlearned(db, standing)
    if not standing or standing[0].text != row.text:
        return None
    same, key = standing[0], row.idempotency_key
    if key is None or same.idempotency_key is not None:
        return same
    db.execute(update(edits).where(edits.c.id == same.id).values(idempotency_key=key))
    return replace(same, idempotency_key=key)


def _standing(db: Connection, row: EditRow) -> list[EditRow]:
    """Return what was said of the same choice and was not replaced, the latest first."""
    query = select_rows(EditRow, edits).where(
        edits.c.draft_id == row.draft_id,
        edits.c.choice == row.choice,
        edits.c.state != "replaced",
    )
    return all_rows(db, EditRow, query.order_by(edits.c.number.desc()))


def _replace_unlearned(db: Connection, standing: list[EditRow]) -> list[EditRow]:
    """Replace what was not learned of what stands, and return what goes on standing."""
    if not standing:
        return []
    expressed = [edit.preference_id for edit in standing if edit.preference_id is not None]
    is_learned = preferences.c.id.in_(expressed) & (preferences.c.state == "learned")
    learned = set(db.execute(select(preferences.c.id).where(is_learned)).scalars())
    earlier = [edit.id for edit in standing if edit.preference_id not in learned]
    db.execute(update(edits).where(edits.c.id.in_(earlier)).values(state="replaced"))
    theirs = preferences.c.id.in_(set(expressed) - learned)
    db.execute(update(preferences).where(theirs).values(state="replaced", reason=None))
    return [edit for edit in standing if edit.preference_id in learned]


def _content(row: EditRow) -> tuple[str, int, str]:
    return row.draft_id, row.choice, row.text

"""Drafts that requests mean: by their id, by the client's own reference, or by their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from corll.records import Message
from corll.schemas.requests import EditRequest
from corll.service.api.callers import Caller
from corll.service.api.error_answers import ApiError, bad_request, not_found
from corll.service.api.evaluations import NO_DRAFT, PREFIX
from corll.service.feedback import ConsentRequiredError
from corll.service.store import drafts
from corll.service.store.accounts import User
from corll.service.store.drafts import BEGUN, DraftRow
from corll.service.store.responses import Find, written
from corll.text import as_seen

MOST_RECENT = 200
"""Among so many of a user's latest drafts one is found by its text."""

_MOST_NAMED = 5


class FoundDraft(NamedTuple):
    """A draft and its owner. `in_memory` says that the store does not hold it yet."""

    draft: DraftRow
    owner: User
    in_memory: bool

    def keep(self, db: Connection) -> None:
        """Store the draft where consent came after it, since its edit is about to be stored."""
        if self.in_memory and self.owner.store:
            drafts.add_draft_once(db, self.draft)


async def find_draft(draft_id: str, caller: Caller) -> FoundDraft:
    """Find a draft.

    *Raises*: ApiError (404) where it is not there, or not to be seen; ConsentRequiredError where
    its request forbade to store it, or was for no draft.
    """
    if draft_id.startswith(PREFIX):
        raise ConsentRequiredError(NO_DRAFT)
    kept = caller.services.in_memory.find(draft_id)

    def find(db: Connection) -> FoundDraft | None:
        stored = drafts.find_draft(db, draft_id)
        draft = kept or stored
        owner = caller.visible_owner(db, draft)
        if draft is None or owner is None:
            return None
        return FoundDraft(draft, owner, in_memory=kept is not None)

    found = await caller.services.read(find)
    if found is None:
        raise not_found("such draft")
    if found.in_memory and caller.services.in_memory.is_never_stored(draft_id):
        raise ConsentRequiredError(
            'This draft was asked for with "store": false, so it is not kept, and nothing that is '
            "said of it can be. Leave `store` out where an edit is to follow."
        )
    return found


async def find_draft_of(user: str | None, draft_id: str, caller: Caller) -> FoundDraft:
    """Find a draft by its id; where the body or the header names a user, among theirs alone.

    *Raises*: as `find_draft`.
    """
    found = await find_draft(draft_id, caller)
    if caller.names_someone(user) and found.owner.id != (await _owner(user, caller)).id:
        raise not_found("such draft of this user")
    return found


async def _owner(user: str | None, caller: Caller) -> User:
    """Return the user whom the body or the header names. *Raises*: ApiError (404)."""
    owner = await caller.existing_user(user)
    if owner is None:
        raise not_found("such user")
    return owner


async def find_edited(body: EditRequest, caller: Caller) -> tuple[FoundDraft, int]:
    """Find the draft that an edit is of, and which of its choices.

    *Raises*: ApiError: 404 where there is none, 409 where more than one fits.
    """
    if body.draft_id is not None:
        return await find_draft_of(body.user, body.draft_id, caller), body.choice
    owner = await _owner(body.user, caller)
    if body.ref is not None:
        row = await _by_ref(body.ref, owner, caller)
        return await find_draft(row.id, caller), body.choice
    row, choice = await _by_text(body, owner, caller)
    return await find_draft(row.id, caller), choice


async def check_ref(ref: str, prompt: object, owner: User, caller: Caller) -> None:
    """Check that no other request has taken a reference; the same one again is a retry.

    *Raises*: ApiError (409); StoreUnavailableError.
    """
    for row in await _called(ref, owner, caller):
        if row.prompt != prompt:
            raise ApiError(
                409,
                "ref_taken",
                f"corll_ref {ref!r} names {_named(row)} already; give each draft one of its own. "
                "Nothing was drafted.",
                param="metadata.corll_ref",
                retry=False,
            )


async def _by_ref(ref: str, owner: User, caller: Caller) -> DraftRow:
    """Return the draft of a reference; of one request that was sent again, the latest."""
    rows = await _called(ref, owner, caller)
    if not rows:
        message = (
            f"This user has no draft of the ref {ref!r}. A draft has one by metadata.corll_ref, or "
            "by the header x-client-request-id."
        )
        raise ApiError(404, "not_found", message, param="ref")
    if any(row.prompt != rows[0].prompt for row in rows):
        raise _ambiguous(f"The ref {ref!r} was given to", rows, param="ref")
    return rows[0]


async def _called(ref: str, owner: User, caller: Caller) -> list[DraftRow]:
    """Return a user's drafts of a reference, the latest first."""
    stored = await caller.services.read(lambda db: drafts.drafts_called(db, owner.id, ref))
    return _with_those_in_memory(stored, owner, caller, ref=ref)


async def _by_text(body: EditRequest, owner: User, caller: Caller) -> tuple[DraftRow, int]:
    """Return the recent draft that reads as the client has it, and which choice of it does."""
    said = body.conversation
    param = "draft_text" if said is None else "messages"
    text = body.draft_text if said is None else said[-1]["content"]
    if not as_words(text or ""):
        raise bad_request("The draft that is looked for has no words.", param=param)
    kept = caller.services.in_memory

    def find(db: Connection) -> list[tuple[DraftRow, int]]:
        stored = drafts.drafts_of(db, owner.id, limit=MOST_RECENT)
        rows = _with_those_in_memory(stored, owner, caller)
        if said is None:
            return _that_read(text or "", rows)
        texts = _Texts(db, lambda draft_id: kept.find(draft_id) or drafts.find_draft(db, draft_id))
        return _that_end(said, rows, texts)

    found = await caller.services.read(find)
    if not found:
        message = (
            f"None of the latest {MOST_RECENT} drafts of this user reads so, but for white space."
        )
        raise ApiError(404, "not_found", message, param=param)
    if len(found) > 1:
        raise _ambiguous("That is the text of", [row for row, _ in found], param=param)
    return found[0]


def as_words(text: str) -> str:
    """Return a text as it is compared: clients strip, and change the ends of lines."""
    return " ".join(as_seen(text).split())


class _Texts(NamedTuple):
    """What is read of the texts of earlier responses; `find` returns the draft of an id."""

    db: Connection
    find: Find

    def drafted(self, row: DraftRow) -> dict[str, set[str]]:
        """Return what earlier responses of a draft's conversation were drafted as, by their edits.

        A prompt has these as they were sent, and most clients as they were drafted.
        """
        found: dict[str, set[str]] = {}
        for draft_id in [] if row.response is None else row.response["follows"]:
            if (earlier := self.find(draft_id)) is None:
                continue
            shown = as_words(earlier.choice(0)["text"])
            for edit in drafts.edits_of_drafts(self.db, [draft_id]):
                found.setdefault(as_words(edit.text), set()).add(shown)
        return found


def _that_read(text: str, rows: Iterable[DraftRow]) -> list[tuple[DraftRow, int]]:
    """Return the drafts that read so, whole or in what followed a beginning of the client's."""
    wanted = as_words(text)
    found = [(row, _choice_that_reads(wanted, row, whole=False)) for row in rows]
    return [(row, choice) for row, choice in found if choice is not None]


def _that_end(
    said: Sequence[Message], rows: Iterable[DraftRow], texts: _Texts
) -> list[tuple[DraftRow, int]]:
    """Return the drafts that end a client's messages, after what was asked.

    Where the client had begun the draft, its beginning may be a message of its own.
    """
    ways = [(said[:-1], as_words(said[-1]["content"]))]
    if len(said) > 1 and said[-2]["role"] == "assistant":
        ways.append((said[:-2], as_words(said[-2]["content"] + said[-1]["content"])))
    return [
        (row, choice)
        for row in rows
        for asked, wanted in ways
        if (choice := _choice_that_reads(wanted, row, whole=True)) is not None
        and _asked_the_same(asked, written(row), texts.drafted(row))
    ]


def _choice_that_reads(wanted: str, row: DraftRow, *, whole: bool) -> int | None:
    """Return the first choice that reads so, or of which that follows the client's beginning."""
    begun = 0 if whole else row.sampling.get(BEGUN, 0)
    for number in range(len(row.shown)):
        text = row.choice(number)["text"]
        if as_words(text) == wanted or (begun and as_words(text[begun:]) == wanted):
            return number
    return None


def _asked_the_same(
    said: Sequence[Message], asked: Sequence[Message], drafted: Mapping[str, set[str]]
) -> bool:
    """Say whether a client's messages end as those that a draft was asked for with.

    A client may hold fewer: system messages, and the turns of earlier responses, may be the
    service's alone. It may hold what was `drafted` in place of what was sent.
    """
    ours, theirs = (
        [(turn["role"], as_words(turn["content"])) for turn in turns if turn["role"] != "system"]
        for turns in (asked, said)
    )
    if not theirs or len(theirs) > len(ours):
        return False
    return all(
        held == kept or (held[0] == kept[0] == "assistant" and held[1] in drafted.get(kept[1], ()))
        for held, kept in zip(theirs, ours[-len(theirs) :], strict=True)
    )


def _with_those_in_memory(
    stored: Iterable[DraftRow], owner: User, caller: Caller, *, ref: str | None = None
) -> list[DraftRow]:
    """Return drafts with those that the store does not hold yet, the latest first."""
    kept = caller.services.in_memory.of_user(owner.id)
    rows = {row.id: row for row in kept if ref is None or row.ref == ref}
    rows |= {row.id: row for row in stored}
    return sorted(rows.values(), key=lambda row: row.created_at, reverse=True)


def _ambiguous(what: str, rows: Sequence[DraftRow], *, param: str) -> ApiError:
    named = ", ".join(_named(row) for row in rows[:_MOST_NAMED])
    more = len(rows) - _MOST_NAMED
    others = f" and {more} more" if more > 0 else ""
    return ApiError(
        409,
        "draft_ambiguous",
        f"{what} {len(rows)} drafts: {named}{others}. Say draft_id. Nothing was recorded.",
        param=param,
        retry=False,
    )


def _named(row: DraftRow) -> str:
    at = datetime.fromtimestamp(row.created_at, UTC)
    return f"{row.id} of {at:%Y-%m-%d %H:%M:%S} UTC"

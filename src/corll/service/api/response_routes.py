"""/v1/responses: OpenAI's newer shape of a draft, and conversations that go on as they were edited.

The request becomes that for a draft in a chat, and takes its way from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.responses import Response

from corll.records import Message
from corll.schemas.completions import DraftFacts
from corll.schemas.response_items import ReferenceItem, add_turn
from corll.schemas.response_requests import ResponseRequest
from corll.schemas.responses import DeletedResponse, ModelResponse
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.completion_routes import answer
from corll.service.api.deletion_routes import DryRun, delete_draft
from corll.service.api.error_answers import ApiError, bad_request, not_found
from corll.service.api.found_drafts import find_draft
from corll.service.api.model_routes import resolve_model
from corll.service.api.response_replies import (
    ResponseReply,
    response_of_message,
    stored_response,
)
from corll.service.feedback import ConsentRequiredError
from corll.service.store import drafts, lineages
from corll.service.store.accounts import User
from corll.service.store.drafts import DraftRow
from corll.service.store.responses import conversation_of, sent_text

router = APIRouter(prefix="/v1/responses", tags=["drafts"])


@router.post("", summary="Draft an answer, in OpenAI's newer shape", response_model=ModelResponse)
async def create_response(
    body: ResponseRequest, request: Request, caller: CurrentCaller
) -> Response:
    """`id` is what an edit refers to. With `previous_response_id` the conversation goes on as it
    was edited: where a draft was answered by an edit, the model reads what was sent.
    """
    created = int(time.time())
    serving = await resolve_model(body.model, body.user_name, caller)
    conversation = await _conversation(body, serving.user, caller)
    try:
        chat = body.as_chat(conversation.messages)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise RequestValidationError(
            [{**problem, "loc": ("body", *problem["loc"])} for problem in problems]
        ) from error
    own = conversation.own - (1 if chat.goes_on else 0)
    reply = ResponseReply(body, created, conversation.follows, own)
    return await answer(chat, request, caller, serving=serving, reply=reply)


@router.get("/{response_id}", summary="A response")
async def retrieve_response(response_id: str, caller: CurrentCaller) -> ModelResponse:
    """As it was drafted, and under `sent` what was sent in its place."""
    row, owner, is_stored = await _find(response_id, caller)

    def read(db: Connection) -> ModelResponse:
        sent = sent_text(db, row)
        return stored_response(row, _facts(db, row, owner, sent, is_stored=is_stored), sent)

    return await caller.services.read(read)


@router.delete("/{response_id}", summary="Delete a response")
async def delete_response(
    response_id: str, caller: CurrentCaller, dry_run: DryRun = False
) -> DeletedResponse:
    """As any draft: with its prompt, its edits, and the weights that learned from it, which are
    learned again without it. The responses that followed it go too, since their prompts hold its
    texts; `dry_run` counts them first.
    """
    gone = await delete_draft(response_id, caller, dry_run)
    return DeletedResponse(
        id=response_id, object="response", deleted=gone.deleted, receipt=gone.receipt
    )


@dataclass(frozen=True)
class _Conversation:
    """What a response answers: all messages, and how many of the last came with the request.

    `follows` are the responses whose texts are among them.
    """

    messages: list[Message]
    own: int
    follows: list[str]


async def _conversation(body: ResponseRequest, user: User, caller: Caller) -> _Conversation:
    """Return what a response answers. *Raises*: ApiError (400) for a response that is not there."""
    instructions: list[Message] = []
    if body.instructions:
        instructions = [{"role": "system", "content": body.instructions}]
    before: list[Message] = []
    follows: list[str] = []
    if body.previous_response_id is not None:
        earlier = await _earlier(
            body.previous_response_id, user, caller, param="previous_response_id"
        )
        before, follows = await _read(earlier, caller)
    own: list[Message] = []
    for item in body.input:
        if isinstance(item, ReferenceItem):
            turn, read = await _referred(item, user, caller)
            follows += read
        else:
            turn = item.as_plain()
        add_turn(own, item, turn)
    return _Conversation([*instructions, *before, *own], len(own), follows)


async def _referred(item: ReferenceItem, user: User, caller: Caller) -> tuple[Message, list[str]]:
    """Return the message that an item refers to, as it was edited, and whose response it is."""
    response_id = response_of_message(item.id)
    if response_id is None:
        message = f"There is no message {item.id!r} of a response; its id begins with msg_."
        raise bad_request(message, param="input")
    earlier = await _earlier(response_id, user, caller, param="input")
    turns, _ = await _read(earlier, caller)
    return turns[-1], [earlier.id]


async def _read(row: DraftRow, caller: Caller) -> tuple[list[Message], list[str]]:
    in_memory = caller.services.in_memory

    def read(db: Connection) -> tuple[list[Message], list[str]]:
        def find(draft_id: str) -> DraftRow | None:
            return in_memory.find(draft_id) or drafts.find_draft(db, draft_id)

        return conversation_of(db, row, find)

    return await caller.services.read(read)


async def _earlier(response_id: str, user: User, caller: Caller, *, param: str) -> DraftRow:
    """Return an earlier response of the same user. *Raises*: ApiError (400)."""
    gone = bad_request(
        f"There is no response {response_id!r} of this user: it was deleted, perhaps with one that "
        "it followed, or it was never kept. Send the conversation as items of `input` instead.",
        param=param,
        code="previous_response_not_found",
    )
    try:
        row, owner, _ = await _find(response_id, caller)
    except (ApiError, ConsentRequiredError) as error:
        if isinstance(error, ApiError) and error.status != 404:
            raise
        raise gone from error
    if owner.id != user.id:
        raise gone
    return row


async def _find(response_id: str, caller: Caller) -> tuple[DraftRow, User, bool]:
    """Find a response, whose it is, and whether the store holds it. *Raises*: ApiError (404)."""
    found = await find_draft(response_id, caller)
    if found.draft.response is None:
        raise not_found("such response")
    return found.draft, found.owner, not found.in_memory


def _facts(
    db: Connection, row: DraftRow, owner: User, sent: str | None, *, is_stored: bool
) -> DraftFacts:
    """Say what corll adds to a response that is read again; while it is blind, not who drafted."""
    facts = {"candidates": len(row.candidates), "implicit_reward": None, "user": owner.id}
    facts |= {"stored": is_stored}
    if row.response is not None and row.response.get("begun"):
        facts |= {"goes_on": True}
    if row.blind and sent is None:
        return DraftFacts(**facts, blind=True)
    version = None if row.version_id is None else lineages.find_version(db, row.version_id)
    number = None if version is None else version.number
    arm = {} if row.arm is None else {"arm": row.arm}
    memory = {"memory": list(row.memory)} if row.memory else {}
    return DraftFacts(**facts, version=number, **arm, **memory)

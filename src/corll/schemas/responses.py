"""Responses as the API answers with them, OpenAI's newer shape, and the events of their streams."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from corll.schemas.bodies import Answer, left_out
from corll.schemas.completions import DraftFacts, DrawnTokenLogprob
from corll.schemas.deletions import Receipt

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]
"""`incomplete`: ended at its longest, or left by its client."""


class OutputText(Answer):
    """The text of a response's message."""

    type: Literal["output_text"] = Field(description="What this is.")
    text: str = Field(description="The draft.")
    annotations: list[Any] = Field(description="Always empty.")
    logprobs: list[DrawnTokenLogprob] = Field(description="Empty unless they were asked for.")


class OutputMessage(Answer):
    """What was drafted."""

    id: str = Field(description="The message's id, by which a later request may refer to it.")
    type: Literal["message"] = Field(description="What this is.")
    role: Literal["assistant"] = Field(description="Who speaks.")
    status: ResponseStatus = Field(description="How far it is.")
    content: list[OutputText] = Field(description="The draft; empty before it begins.")


class CachedTokens(Answer):
    """What of the tokens read came out of a cache."""

    cached_tokens: int = Field(description="Always 0: what is kept costs nobody less.")
    cache_write_tokens: int = Field(description="Always 0.")


class ReasoningTokens(Answer):
    """What of the tokens written was reasoning."""

    reasoning_tokens: int = Field(description="Always 0: it is a part of the text.")


class ResponseUsage(Answer):
    """Tokens read and written."""

    input_tokens: int = Field(description="Tokens of the prompt.")
    input_tokens_details: CachedTokens = Field(description="Those of a cache.")
    output_tokens: int = Field(description="Tokens of the draft.")
    output_tokens_details: ReasoningTokens = Field(description="Those of reasoning.")
    total_tokens: int = Field(description="Both together.")


class ResponseFailure(Answer):
    """Why there is no draft."""

    code: str = Field(description="The error's name, for programs.")
    message: str = Field(description="What went wrong, and what to do.")


class IncompleteDetails(Answer):
    """Why a draft ended before its end."""

    reason: Literal["max_output_tokens"] | None = Field(
        description="At its longest; null where its client left."
    )


class PlainFormat(Answer):
    """The format of a text."""

    type: Literal["text"] = Field(description="What this is.")


class PlainText(Answer):
    """Settings of the text, which is always plain."""

    format: PlainFormat = Field(description="Plain.")


class ModelResponse(Answer):
    """A draft, as OpenAI's newer API shows it."""

    id: str = Field(description="The draft's id, which its edit refers to.")
    object: Literal["response"] = Field(description="What this is.")
    created_at: int = Field(description="When it was asked for, in seconds since 1970.")
    status: ResponseStatus = Field(description="How far it is.")
    background: Literal[False] = Field(description="Always false.")
    error: ResponseFailure | None = Field(description="Why it failed; null where it did not.")
    incomplete_details: IncompleteDetails | None = Field(description="Why it is incomplete.")
    instructions: str | None = Field(description="As they were given.")
    max_output_tokens: int | None = Field(description="As it was asked for.")
    metadata: dict[str, str] = Field(description="As they were given.")
    model: str = Field(description="The model's name as it was asked for.")
    output: list[OutputMessage] = Field(description="The draft: one message.")
    parallel_tool_calls: bool = Field(description="Changes nothing: there are no tools.")
    previous_response_id: str | None = Field(description="The response that this one follows.")
    store: bool = Field(
        description="Whether it can be asked for again: for good, or for a day where its user has "
        "not agreed to storing."
    )
    temperature: float | None = Field(description="As it was asked for.")
    text: PlainText = Field(description="How the text comes.")
    tool_choice: Literal["none"] = Field(description="There are no tools.")
    tools: list[Any] = Field(description="Always empty.")
    top_p: float | None = Field(description="As it was asked for.")
    truncation: Literal["disabled"] = Field(description="What is too long is refused.")
    usage: ResponseUsage | None = Field(description="Null before the end.")
    corll: DraftFacts | SkipJsonSchema[None] = left_out("What corll adds, at the end.")
    sent: str | SkipJsonSchema[None] = left_out(
        "Of a response that is read again: what was sent in its place, by its latest edit. Left "
        "out where there is none."
    )


EventType = Literal[
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
]
RESPONSE_EVENTS = get_args(EventType)


class ResponseEvent(Answer):
    """An event of a response that is streamed; each type has the fields it has in OpenAI's API."""

    type: EventType = Field(description="The event's name.")
    sequence_number: int = Field(description="Counts the events of a stream, from 0.")
    response: ModelResponse | SkipJsonSchema[None] = left_out("The response as it stands.")
    output_index: int | SkipJsonSchema[None] = left_out("Always 0.")
    content_index: int | SkipJsonSchema[None] = left_out("Always 0.")
    item_id: str | SkipJsonSchema[None] = left_out("The message's id.")
    item: OutputMessage | SkipJsonSchema[None] = left_out("The message.")
    part: OutputText | SkipJsonSchema[None] = left_out("Its text, with what belongs to it.")
    delta: str | SkipJsonSchema[None] = left_out("A further piece of the draft.")
    text: str | SkipJsonSchema[None] = left_out("The whole draft.")
    logprobs: list[DrawnTokenLogprob] | SkipJsonSchema[None] = left_out("Those of the piece.")


class DeletedResponse(Answer):
    """A response that is gone from now on or, in a dry run, would be."""

    id: str = Field(description="The response's id.")
    object: Literal["response"] = Field(description="What it was.")
    deleted: bool = Field(description="False in a dry run.")
    receipt: Receipt = Field(
        description="What was deleted with it, responses that followed it included, and what "
        "serves now."
    )

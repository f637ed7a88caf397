"""Requests for responses, OpenAI's newer shape: items in place of messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from corll.records import Message
from corll.schemas.bodies import Name, Text, example
from corll.schemas.completion_requests import ChatRequest, TextFormat
from corll.schemas.draft_fields import ConversationFields, DraftFields, ignored_within
from corll.schemas.ignored_fields import Ignored, NamesIgnored
from corll.schemas.response_items import InputItem, as_items

_LOGPROBS = "message.output_text.logprobs"


class TextSettings(NamesIgnored):
    """How the text comes: plain."""

    format: TextFormat | None = Field(None, description="Text alone.")
    verbosity: Literal["medium"] | None = Field(None, description="Not supported: medium.")

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset({"verbosity"})


class ReasoningSettings(NamesIgnored):
    """Settings of models that reason before they write, which none here does apart."""

    effort: Literal["none"] | None = Field(
        None, description="Not supported: none, null, or left out; see chat_template_kwargs."
    )
    summary: Ignored
    generate_summary: Ignored

    @property
    def _harmless(self) -> frozenset[str]:
        return frozenset(ReasoningSettings.model_fields)


class ResponseRequest(DraftFields, ConversationFields):
    """What a response is asked for with."""

    model_config = example(model="corll", input="Tell a customer that the parcel is late.")

    input: Annotated[
        list[InputItem],
        BeforeValidator(as_items, json_schema_input_type=Text | list[InputItem]),
    ] = Field(
        min_length=1,
        max_length=1000,
        description="What is asked: a text, or items, the latest last. Where the assistant's "
        "message is the last, the draft goes on with it.",
    )
    instructions: Text | None = Field(
        None, description="Stands before everything as the system's message, of this turn alone."
    )
    previous_response_id: Name | None = Field(
        None,
        max_length=64,
        description="The response that this one follows. Its conversation stands before `input` "
        "as it was edited: where an edit was sent, the model reads what the user sent.",
    )
    include: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None, max_length=20, description=f"`{_LOGPROBS}` is heeded; others change nothing."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="The most tokens of the draft."
    )
    text: TextSettings | None = Field(None, description="Plain text alone.")
    reasoning: ReasoningSettings | None = Field(None, description="Changes nothing here.")
    background: Literal[False] | None = Field(None, description="Not supported: false.")

    @property
    def ignored(self) -> list[str]:
        """Return the names of the fields that the request holds and that changed nothing."""
        included = enumerate(self.include or [])
        return [
            *super().ignored,
            *ignored_within("text", self.text),
            *ignored_within("reasoning", self.reasoning),
            *(f"include[{place}]" for place, name in included if name != _LOGPROBS),
        ]

    def as_chat(self, messages: list[Message]) -> ChatRequest:
        """Return the request for a draft in a chat that this is, of a whole conversation.

        *Raises*: ValidationError where that cannot be one.
        """
        wants_logprobs = self.top_logprobs is not None or _LOGPROBS in (self.include or [])
        same = {name: getattr(self, name) for name in _OF_CHATS & self.model_fields_set}
        return ChatRequest.model_validate(
            {
                **same,
                "messages": messages,
                "max_completion_tokens": self.max_output_tokens,
                "logprobs": wants_logprobs,
                "stream_options": {"include_usage": True} if self.stream else None,
            }
        )


_OF_CHATS = frozenset(DraftFields.model_fields) | frozenset(ConversationFields.model_fields)
"""Fields that a chat has under the same name."""

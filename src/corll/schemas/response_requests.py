"""Requests for responses, OpenAI's newer shape: items in place of messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from corll.memory.choosing import MemoryChoice
from corll.records import Message
from corll.schemas.bodies import RequestBody, Text, example
from corll.schemas.completion_requests import ChatRequest, TextFormat
from corll.schemas.ignored_fields import Absent
from corll.schemas.openai_fields import (
    FrameTemplate,
    FrameWanted,
    Hint,
    Metadata,
    SignAs,
    plain_role,
)

_LOGPROBS = "message.output_text.logprobs"

Ignored = Annotated[Any, Field(None, description="Changes nothing here.")]
"""A field of OpenAI's that has no effect on a text."""


class TextInput(RequestBody):
    """A piece of an item; a reply's own parts can be sent back as they came."""

    type: Literal["input_text", "output_text", "text"] = Field(description="Text alone.")
    text: Text = Field(description="The text.")
    annotations: Ignored
    logprobs: Ignored


def _as_parts(content: Any) -> Any:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


class MessageItem(RequestBody):
    """A turn of a conversation. A reply's message can be sent back as the client holds it."""

    type: Literal["message"] = Field("message", description="May be left out.")
    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="Who speaks; developer is read as system."
    )
    content: Annotated[
        list[TextInput],
        BeforeValidator(_as_parts, json_schema_input_type=Text | list[TextInput]),
    ] = Field(description="What is said, whole or in parts.")
    id: Ignored
    status: Ignored
    phase: Ignored

    def as_plain(self) -> dict[str, str]:
        """Return the turn as chat templates read it."""
        text = "".join(part.text for part in self.content)
        return {"role": plain_role(self.role), "content": text}


class ReferenceItem(RequestBody):
    """The message of an earlier response, by its id: it stands as it was edited."""

    type: Literal["item_reference"] = Field(description="What this is.")
    id: str = Field(max_length=64, description="The id of a response's message: msg_….")


def _item_kind(item: Any) -> str | None:
    given = item if isinstance(item, dict) else {"type": getattr(item, "type", None)}
    kind = given.get("type") or ("message" if "role" in given else None)
    return kind if kind in ("message", "item_reference") else None


def _as_items(given: Any) -> Any:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


InputItem = Annotated[
    Annotated[MessageItem, Tag("message")] | Annotated[ReferenceItem, Tag("item_reference")],
    Discriminator(
        _item_kind,
        custom_error_type="unsupported_item",
        custom_error_message="only items of type message and item_reference are understood here; "
        "there are no tools, files or reasoning",
    ),
]


class TextSettings(RequestBody):
    """How the text comes: plain."""

    format: TextFormat | None = Field(None, description="Text alone.")
    verbosity: Literal["medium"] | None = Field(None, description="Not supported: medium.")


class ReasoningSettings(RequestBody):
    """Settings of models that reason before they write, which none here does apart."""

    effort: Literal["none"] | None = Field(
        None, description="Not supported: none, null, or left out; see chat_template_kwargs."
    )
    summary: Ignored
    generate_summary: Ignored


class ResponseStreamOptions(RequestBody):
    """What a stream holds besides its events: nothing."""

    include_obfuscation: Ignored


class ResponseRequest(RequestBody):
    """What a response is asked for with."""

    model_config = example(model="corll", input="Tell a customer that the parcel is late.")

    model: str = Field(max_length=200, description="`corll`, `base`, or a version: NAME@7.")
    input: Annotated[
        list[InputItem],
        BeforeValidator(_as_items, json_schema_input_type=Text | list[InputItem]),
    ] = Field(
        min_length=1,
        max_length=1000,
        description="What is asked: a text, or items, the latest last. Where the assistant's "
        "message is the last, the draft goes on with it.",
    )
    instructions: Text | None = Field(
        None, description="Stands before everything as the system's message, of this turn alone."
    )
    previous_response_id: str | None = Field(
        None,
        max_length=64,
        description="The response that this one follows. Its conversation stands before `input` "
        "as it was edited: where an edit was sent, the model reads what the user sent.",
    )
    stream: bool | None = Field(False, description="Whether the draft comes as events.")
    stream_options: ResponseStreamOptions | None = Field(None, description="Of a stream alone.")
    store: bool | None = Field(
        None, description="False keeps this draft nowhere; else consent says what is stored."
    )
    metadata: Metadata = None
    include: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None, max_length=20, description=f"`{_LOGPROBS}` is heeded; others change nothing."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="The most tokens of the draft."
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Of the draw; 0 takes the likeliest token."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Draw from the likeliest tokens that hold this probability."
    )
    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="How many of the likeliest tokens in place of each."
    )
    user: str | None = Field(
        None, max_length=64, description="The older name of safety_identifier."
    )
    safety_identifier: str | None = Field(
        None, max_length=64, description="For a backend's key: the name of the user it speaks for."
    )
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="Makes a draft repeatable; random by default."
    )
    num_candidates: int | None = Field(
        None, ge=1, le=128, description="k: responses drawn, of which the best is shown."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="What the model's chat template is told beside the messages."
    )
    frame: FrameWanted = "none"
    hint: Hint = None
    sign_as: SignAs = None
    frame_template: FrameTemplate = None
    memory: MemoryChoice | None = Field(
        None,
        description="Which past letters stand before it: `last`, `nearest`, `similar`, `none`.",
    )
    text: TextSettings | None = Field(None, description="Plain text alone.")
    reasoning: ReasoningSettings | None = Field(None, description="Changes nothing here.")
    tools: Absent
    tool_choice: Literal["none", "auto"] | None = Field(
        None, description="Changes nothing, since there are no tools."
    )
    background: Literal[False] | None = Field(None, description="Not supported: false.")
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="Changes nothing: what is too long is refused."
    )
    parallel_tool_calls: Ignored
    max_tool_calls: Ignored
    service_tier: Ignored
    prompt_cache_key: Ignored
    prompt_cache_retention: Ignored
    prompt_cache_options: Ignored

    @property
    def user_name(self) -> str | None:
        """Return whom a backend speaks for; `user` is the older name."""
        return self.safety_identifier or self.user

    def as_chat(self, messages: list[Message]) -> ChatRequest:
        """Return the request for a draft in a chat that this is, of a whole conversation.

        *Raises*: ValidationError where that cannot be one.
        """
        wants_logprobs = self.top_logprobs is not None or _LOGPROBS in (self.include or [])
        same = {name: getattr(self, name) for name in _OF_CHATS if name in self.model_fields_set}
        return ChatRequest.model_validate(
            {
                **same,
                "messages": messages,
                "max_completion_tokens": self.max_output_tokens,
                "logprobs": wants_logprobs,
                "store": False if self.store is False else None,
                "stream_options": {"include_usage": True} if self.stream else None,
            }
        )


_OF_CHATS = (
    "model",
    "stream",
    "metadata",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "safety_identifier",
    "seed",
    "num_candidates",
    "chat_template_kwargs",
    "frame",
    "hint",
    "sign_as",
    "frame_template",
    "memory",
)
"""Fields that a chat has under the same name."""

"""Requests for drafts, which are OpenAI's.

A field that is not here is refused, never ignored, unless it is null: typed clients and proxies
send along what they leave out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from corll.frames import Filled, Framing
from corll.memory.choosing import MemoryChoice
from corll.records import Message
from corll.schemas.bodies import RequestBody, Text, example
from corll.schemas.openai_fields import (
    Absent,
    ChatMessage,
    FrameTemplate,
    FrameWanted,
    Hint,
    Neutral,
    NullIsLeftOut,
    SignAs,
)
from corll.schemas.states import DraftKind

_MOST_STOPS = 4
_LONGEST_STOP = 200


class StreamOptions(RequestBody):
    """What a stream holds besides its chunks."""

    include_usage: bool = Field(False, description="Whether it ends with a chunk of usage.")
    include_obfuscation: Literal[False] = Field(False, description="Not supported: false.")


class TextFormat(RequestBody):
    """The only format of a response."""

    type: Literal["text"] = Field(description="Only text is drafted.")


class Generation(NullIsLeftOut):
    """What both kinds of completion share."""

    model: str = Field(max_length=200, description="`corll`, `base`, or a version: NAME@7.")
    n: int | None = Field(1, ge=1, le=128, description="Choices wanted.")
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="Makes a draft repeatable; random by default."
    )
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="The most tokens of a choice."
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Of the draw; 0 takes the likeliest token."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Draw from the likeliest tokens that hold this probability."
    )
    stop: Text | list[Text] | None = Field(
        None, description="Sequences before which a draft ends: up to 4, of up to 200 characters."
    )
    stream: bool | None = Field(False, description="Whether the draft comes as events.")
    stream_options: StreamOptions | None = Field(None, description="Of a stream alone.")
    user: str | None = Field(
        None, max_length=64, description="The older name of safety_identifier."
    )
    safety_identifier: str | None = Field(
        None, max_length=64, description="For a backend's key: the name of the user it speaks for."
    )
    num_candidates: int | None = Field(
        None, ge=1, le=128, description="k: responses drawn, of which the best are the choices."
    )
    implicit_reward: bool | None = Field(
        False,
        description="Whether the draft's R_π is wanted where nothing is ranked by it: two passes.",
    )
    frequency_penalty: Neutral = 0.0
    presence_penalty: Neutral = 0.0
    logit_bias: dict[str, float] | None = Field(
        None, max_length=0, description="Not supported: empty, null, or left out."
    )

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, stop: str | list[str] | None) -> str | list[str] | None:
        stops = [stop] if isinstance(stop, str) else stop or []
        if len(stops) > _MOST_STOPS or not all(0 < len(s) <= _LONGEST_STOP for s in stops):
            raise ValueError(
                f"at most {_MOST_STOPS} sequences of 1 to {_LONGEST_STOP} characters each"
            )
        return stop

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options has a meaning only with stream=true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop sequences."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def declines_storing(self) -> bool:
        """Whether this one draft is to be kept nowhere, whatever its user agreed to."""
        return False

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Return what the chat template is told beside the messages: nothing where none is used."""
        return {}

    @property
    def framing(self) -> Framing:
        """Return the frame around what is asked: none where there is no conversation."""
        return Framing()

    @property
    def remembers(self) -> MemoryChoice | None:
        """Return which letters of the user's stand before it; None: as the server's setting says.

        A text that is continued has none.
        """
        return "none"

    @property
    def filled(self) -> Filled | None:
        """Return what stands in the frame; None where there is none."""
        return None

    @property
    def beginning(self) -> str:
        """Return the text that the draft goes on with, as its first part."""
        return ""

    @property
    def user_name(self) -> str | None:
        """Return whom a backend speaks for; `user` is the older name."""
        return self.safety_identifier or self.user

    @property
    def wants_usage(self) -> bool:
        """Say whether the stream ends with a chunk of usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Generation):
    """What a draft in a chat is asked for with."""

    model_config = example(
        model="corll",
        messages=[{"role": "user", "content": "Tell a customer that the parcel is late."}],
    )

    messages: list[ChatMessage] = Field(
        min_length=1,
        max_length=1000,
        description="The conversation so far. Where the assistant's message is the last, the draft "
        "goes on with it, and the edit of that draft is the whole text.",
    )
    max_completion_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="The most tokens of a choice."
    )
    logprobs: bool | None = Field(False, description="Whether log-probabilities are wanted.")
    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="How many of the likeliest tokens in place of each."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None,
        description="What the model's chat template is told beside the messages, as in vLLM's API, "
        'such as {"enable_thinking": true}; it is kept with the draft. What the renderer sets '
        "itself, such as `messages`, is refused.",
    )
    frame: FrameWanted = "none"
    hint: Hint = None
    sign_as: SignAs = None
    frame_template: FrameTemplate = None
    memory: MemoryChoice | None = Field(
        None,
        description="Which letters that the user sent before stand before this request, in place "
        "of the server's setting: `last`, `nearest`, `similar`, `none`.",
    )
    response_format: TextFormat | None = Field(None, description="Text alone.")
    store: Literal[False] | None = Field(
        None, description="False keeps this draft nowhere; left out, consent says what is stored."
    )
    service_tier: Literal["auto", "default"] | None = Field(None, description="Changes nothing.")
    modalities: list[Literal["text"]] | None = Field(None, description="Text alone.")
    tools: Absent
    functions: Absent
    tool_choice: Literal["none", "auto"] | None = Field(
        None, description="Changes nothing, since there are no tools."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Changes nothing, since there are no tools."
    )

    @model_validator(mode="after")
    def _chat_consistent(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs has a meaning only with logprobs=true")
        if self.max_tokens and self.max_completion_tokens:
            raise ValueError("give max_completion_tokens or max_tokens, not both")
        self.framing.around_last(self._plain)
        if self.goes_on and self.messages[-1].name:
            raise ValueError("a message that is gone on with cannot have a name")
        return self

    @property
    def framing(self) -> Framing:
        """Return the frame with what is filled in. *Raises*: InputError where that is not right."""
        return Framing(
            self.frame or "none", self.hint or "", self.sign_as or "", self.frame_template
        )

    @property
    def remembers(self) -> MemoryChoice | None:
        """Return which letters of the user's stand before it; None: as the setting says."""
        return self.memory

    @property
    def filled(self) -> Filled | None:
        """Return what stands in the frame around the user's last message."""
        return self.framing.filled(self._plain)

    @property
    def _plain(self) -> list[Message]:
        return [message.as_plain() for message in self.messages]

    @property
    def kind(self) -> DraftKind:
        """Return what a draft of this is."""
        return "chat"

    @property
    def declines_storing(self) -> bool:
        """Whether `store` is false, as in OpenAI's API: then the draft is kept nowhere."""
        return self.store is False

    @property
    def stored_prompt(self) -> list[Message]:
        """Return the conversation as a draft keeps it, beside what its template is told.

        The user's last message stands in its frame. A turn of the assistant that is gone on with
        is a part of the draft.
        """
        framed = self.framing.around_last(self._plain)
        return framed[:-1] if self.goes_on else framed

    @property
    def goes_on(self) -> bool:
        """Whether the last message is the assistant's, and so is gone on with."""
        return self.messages[-1].role == "assistant"

    @property
    def beginning(self) -> str:
        """Return the text that the draft goes on with."""
        return self.messages[-1].as_plain()["content"] if self.goes_on else ""

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Return what the chat template is told beside the messages."""
        return self.chat_template_kwargs or {}

    @property
    def longest(self) -> int | None:
        """Return the limit on new tokens that was asked for."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """Return how many alternatives a token; None for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


class TextRequest(Generation):
    """What a continuation is asked for with: the text goes on as it stands."""

    model_config = example(model="corll", prompt="Dear customer,", max_tokens=32)

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)] = Field(
        description="The text that is continued."
    )
    logprobs: int | None = Field(
        None, ge=0, le=20, description="How many of the likeliest tokens in place of each."
    )
    echo: Literal[False] | None = Field(False, description="Not supported: false.")
    best_of: int | None = Field(None, ge=1, le=1, description="Not supported: 1; see n.")
    suffix: Absent

    @property
    def kind(self) -> DraftKind:
        """Return what a draft of this is."""
        return "text"

    @property
    def stored_prompt(self) -> str:
        """Return the prompt as a draft keeps it."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    @property
    def longest(self) -> int | None:
        """Return the limit on new tokens that was asked for."""
        return self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """Return how many alternatives a token; None for no log-probabilities."""
        return self.logprobs


CompletionRequest: TypeAlias = ChatRequest | TextRequest
"""What drafts are asked for with."""

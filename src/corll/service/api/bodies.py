"""The bodies of OpenAI's requests. A field that is not here is refused, never ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from corll.text import half_character

_MOST_STOPS = 4
_LONGEST_STOP = 200


def _of_whole_characters(text: str) -> str:
    if (place := half_character(text)) is not None:
        raise ValueError(f"holds half of a character at {place} (a lone surrogate)")
    return text


Text = Annotated[str, AfterValidator(_of_whole_characters)]
"""What a model can read: JSON can name half of a character, UTF-8 cannot."""

Neutral = Annotated[float | None, Field(default=0.0, ge=0, le=0)]
"""A field of OpenAI's that is understood only where it changes nothing."""


def _nothing(value: Any) -> None:
    if value not in (None, []):
        raise ValueError("is not supported here")


Absent = Annotated[
    Any, AfterValidator(_nothing), Field(None, description="Not supported: null, or left out.")
]
"""A field of OpenAI's that clients send along empty."""


class Body(BaseModel):
    """A request's body. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


def example(**fields: Any) -> ConfigDict:
    """What a body looks like, for the API's description."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


class TextPart(Body):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: Text


class ChatMessage(Body):
    """A turn of a conversation. A reply's message can be sent back as the client holds it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: Absent
    refusal: Absent
    audio: Absent
    function_call: Absent
    tool_calls: Absent
    annotations: Absent

    def as_plain(self) -> dict[str, str]:
        """As chat templates read it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(Body):
    """What a stream holds besides its chunks."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class TextFormat(Body):
    """The only format of a response."""

    type: Literal["text"]


class Generation(Body):
    """What both kinds of completion share."""

    model: str = Field(max_length=200, description="`corll`, `base`, or a version: NAME@7.")
    n: int | None = Field(1, ge=1, le=128, description="Choices wanted.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: Text | list[Text] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=64)
    safety_identifier: str | None = Field(None, max_length=64)
    num_candidates: int | None = Field(
        None, ge=1, le=128, description="k: responses drawn, of which the best are the choices."
    )
    implicit_reward: bool | None = Field(
        False,
        description="Whether the draft's R_π is wanted where nothing is ranked by it: two passes.",
    )
    frequency_penalty: Neutral = 0.0
    presence_penalty: Neutral = 0.0
    logit_bias: dict[str, float] | None = Field(None, max_length=0)

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
        """The stop sequences."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def user_name(self) -> str | None:
        """Whom a backend speaks for; `user` is the older name."""
        return self.safety_identifier or self.user

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Generation):
    """POST /v1/chat/completions."""

    model_config = example(
        model="corll",
        messages=[{"role": "user", "content": "Tell a customer that the parcel is late."}],
    )

    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: TextFormat | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None

    @model_validator(mode="after")
    def _chat_consistent(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs has a meaning only with logprobs=true")
        if self.max_tokens and self.max_completion_tokens:
            raise ValueError("give max_completion_tokens or max_tokens, not both")
        return self

    @property
    def kind(self) -> Literal["chat", "text"]:
        return "chat"

    @property
    def stored_prompt(self) -> list[dict[str, str]]:
        """The prompt as a draft keeps it."""
        return [message.as_plain() for message in self.messages]

    @property
    def longest(self) -> int | None:
        """The limit on new tokens that was asked for."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """How many alternatives a token, None for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


class TextRequest(Generation):
    """POST /v1/completions: a text is continued as it stands."""

    model_config = example(model="corll", prompt="Dear customer,", max_tokens=32)

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: Literal[False] | None = False
    best_of: int | None = Field(None, ge=1, le=1)
    suffix: Absent

    @property
    def kind(self) -> Literal["chat", "text"]:
        return "text"

    @property
    def stored_prompt(self) -> str:
        """The prompt as a draft keeps it."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    @property
    def longest(self) -> int | None:
        """The limit on new tokens that was asked for."""
        return self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """How many alternatives a token, None for no log-probabilities."""
        return self.logprobs

"""Requests for drafts, which are OpenAI's.

A field that is not here is refused. What no text depends on is accepted, and the reply names it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from corll.frames import Filled, Framing
from corll.memory.choosing import MemoryChoice
from corll.records import Message
from corll.schemas.bodies import RequestBody, Text, example
from corll.schemas.draft_fields import ConversationFields, DraftFields, Obfuscation
from corll.schemas.openai_fields import REF, ChatMessage
from corll.schemas.states import DraftKind

_MOST_PROMPTS = 128
_Texts = Annotated[list[Text], Field(min_length=1, max_length=_MOST_PROMPTS)]
_Ids = Annotated[list[Annotated[int, Field(strict=True)]], Field(min_length=1)]
_ListsOfIds = Annotated[list[_Ids], Field(min_length=1, max_length=_MOST_PROMPTS)]
_MOST_STOPS = 4
_LONGEST_STOP = 200


class StreamOptions(Obfuscation):
    """What a stream holds besides its chunks."""

    include_usage: bool = Field(False, description="Whether it ends with a chunk of usage.")


class TextFormat(RequestBody):
    """The only format of a response."""

    type: Literal["text"] = Field(description="Only text is drafted.")


class Generation(DraftFields):
    """What both kinds of completion share."""

    n: int | None = Field(1, ge=1, le=128, description="Choices wanted.")
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="The most tokens of a choice."
    )
    stop: Text | list[Text] | None = Field(
        None, description="Sequences before which a draft ends: up to 4, of up to 200 characters."
    )
    stream_options: StreamOptions | None = Field(None, description="Of a stream alone.")

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
        """Whether `store` is false, as in OpenAI's API: then the draft is kept nowhere."""
        return self.store is False

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
    def ignored(self) -> list[str]:
        """Return the names of the fields that the request holds and that changed nothing."""
        names = super().ignored + (["store"] if self.store else [])
        if self.metadata and REF not in self.metadata:
            names.append("metadata")
        return names

    @property
    def wants_usage(self) -> bool:
        """Say whether the stream ends with a chunk of usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Generation, ConversationFields):
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
    response_format: TextFormat | None = Field(None, description="Text alone.")

    @model_validator(mode="after")
    def _chat_consistent(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs has a meaning only with logprobs=true")
        if self.max_tokens and self.max_completion_tokens:
            raise ValueError("give max_completion_tokens or max_tokens, not both")
        self.framing.around_last(self._plain)
        if self.goes_on and (self.messages[-1].name or self.messages[-1].tool_calls):
            raise ValueError("a message that is gone on with cannot have a name or tool_calls")
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

    prompt: Text | _Texts | _Ids | _ListsOfIds = Field(
        description="The text that is continued; several texts, or the ids of tokens, are read and "
        "continued without becoming drafts."
    )
    max_tokens: int | None = Field(
        None, ge=0, le=1_000_000, description="The most tokens of a choice; 0 draws none."
    )
    logprobs: int | None = Field(
        None, ge=0, le=20, description="How many of the likeliest tokens in place of each."
    )
    echo: bool | None = Field(
        False, description="Whether the prompt stands before each choice, with its logprobs."
    )
    best_of: int | None = Field(
        None,
        ge=1,
        le=128,
        description="Responses drawn, of which the n are the choices that are likeliest by token.",
    )

    @model_validator(mode="after")
    def _text_consistent(self) -> Self:
        if self.best_of is not None:
            if self.best_of < (self.n or 1):
                raise ValueError("best_of must be at least n")
            if self.num_candidates is not None:
                raise ValueError("give best_of or num_candidates, not both")
            if self.stream:
                raise ValueError("best_of has no meaning with stream=true")
        if self.is_evaluation and self.stream:
            raise ValueError(
                "echo, several prompts, ids and max_tokens=0 are answered whole; leave stream out"
            )
        return self

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """Return the prompts, each a text or ids."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [tuple(one for one in prompt if isinstance(one, int))]
        return [one if isinstance(one, str) else tuple(one) for one in prompt]

    @property
    def is_evaluation(self) -> bool:
        """Whether a model is looked at rather than a draft asked for: then nothing is kept.

        That is with `echo`, several prompts, ids in place of a text, or nothing to be drawn.
        """
        prompts = self.prompts
        one_text = len(prompts) == 1 and isinstance(prompts[0], str)
        return bool(self.echo) or not one_text or self.max_tokens == 0

    @property
    def kind(self) -> DraftKind:
        """Return what a draft of this is."""
        return "text"

    @property
    def stored_prompt(self) -> str:
        """Return the prompt as a draft keeps it."""
        (text,) = self.prompts
        assert isinstance(text, str)
        return text

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

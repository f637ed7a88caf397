"""Drafts as the API answers with them: OpenAI's completions and chunks, and what `corll` adds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from corll.schemas.bodies import Answer, left_out
from corll.verdicts.arms import Arm

FinishReason = Literal["stop", "length"]
"""`stop` at an end of the text's own or at a stop sequence, `length` at the limit."""

NotStored = Literal["request", "consent", "database"]
"""Why a draft is not kept: its request says so, its user has not agreed, the database is away."""


class TokenLogprob(Answer):
    """A token and its log-probability. *Units*: nats."""

    token: str = Field(
        description=r"The token as text, or `bytes:\xe2\x82` where it is a part of a character."
    )
    logprob: float = Field(description="Its log-probability in nats, at temperature 1.")
    bytes: list[int] = Field(
        description="Its UTF-8 bytes, perhaps a part of a character. Those of all make up the "
        "text; of a token in which a stop sequence cut it, they go on beyond it."
    )


class DrawnTokenLogprob(TokenLogprob):
    """A token that was drawn, with the likeliest ones in its place."""

    top_logprobs: list[TokenLogprob] = Field(
        description="The likeliest tokens in its place, and the token itself by the same number."
    )


class ChatLogprobs(Answer):
    """The log-probabilities of a chat's choice."""

    content: list[DrawnTokenLogprob] = Field(
        description="One for each token that begins in the text, in order; none of an empty text. "
        "In a stream it comes with the first of the token's text."
    )
    refusal: None = Field(description="Always null: nothing is refused.")


class TextLogprobs(Answer):
    """The log-probabilities of a text's choice, as four lists of the same length."""

    tokens: list[str] = Field(description="The tokens as text.")
    token_logprobs: list[float | None] = Field(
        description="Their log-probabilities in nats; null for what nothing precedes."
    )
    top_logprobs: list[dict[str, float] | None] = Field(
        description="The likeliest tokens in place of each, and the token itself by the same "
        "number, by their log-probabilities."
    )
    text_offset: list[int] = Field(
        description="Where each token begins in the choice's text, in characters, in a stream too."
    )


class Usage(Answer):
    """Tokens of the prompt and of the choices; candidates that are not shown cost nobody.

    Of an upstream they are all that it counted.
    """

    prompt_tokens: int = Field(description="Tokens of the prompt.")
    completion_tokens: int = Field(description="Tokens of all choices.")
    total_tokens: int = Field(description="Both together.")


class LeakedFact(Answer):
    """A name, number, date or the like that a draft has from a text that stood before it."""

    choice: int = Field(description="In which choice, counted from 0.")
    start: int = Field(description="Where it begins there, in characters.")
    end: int = Field(description="Where it ends.")
    text: str = Field(description="What stands there.")
    kind: str = Field(description="What it is: a name, number, date, time, sum, and so on.")
    memory: str = Field(description="The id of the text that it comes from.")


class DraftFacts(Answer):
    """What `corll` adds to a draft. A blind measurement does not tell which version drafted."""

    candidates: int = Field(description="Responses that were drawn.")
    implicit_reward: float | None = Field(
        description="R_π of the first choice in nats; null where nothing was ranked by it."
    )
    user: str = Field(description="The id of the user whom the draft is for.")
    stored: bool = Field(
        description="Whether the draft is kept; only then it can teach. False too while the "
        "database is away; an edit that comes within a day has it kept."
    )
    not_stored_because: NotStored | SkipJsonSchema[None] = left_out(
        "`request` (store: false, or what is no draft), `consent` (its user has not agreed) or "
        "`database` (which is away); left out where the draft is kept."
    )
    version: int | None = left_out(
        "The number of the version that drafted, or chose among an upstream's drafts; null for the "
        "reference, and the bare upstream; left out while blind."
    )
    goes_on: bool | SkipJsonSchema[None] = left_out(
        "True where the draft goes on with the assistant's last message: the draft, and with it "
        "its edit, is the whole text. Left out otherwise."
    )
    thrown_away: int | SkipJsonSchema[None] = left_out(
        "How many drafts were thrown away unseen, since they repeated themselves or opened as an "
        "AI's; left out where none was."
    )
    looped: list[int] | SkipJsonSchema[None] = left_out(
        "The choices that were stopped since they repeated themselves; left out where none was."
    )
    memory: list[str] | SkipJsonSchema[None] = left_out(
        "What stood before the request, in its order: ids of the user's edits, of imported texts "
        "and of worked examples; left out where nothing did."
    )
    leaks: list[LeakedFact] | SkipJsonSchema[None] = left_out(
        "Facts of these texts that stand in the draft though neither the request nor most of the "
        "user's texts hold them, to be looked at before it is sent; left out where there are none."
    )
    arm: Arm | SkipJsonSchema[None] = left_out(
        "Which arm drafted: `base`, `memory` (behind past letters), `weights` (what was learned) "
        "or `both`; left out while blind, and where a model was named."
    )
    drafted_by: Literal["upstream"] | SkipJsonSchema[None] = left_out(
        "`upstream` where another service's model drafted; left out where our own did."
    )
    upstream_model: str | SkipJsonSchema[None] = left_out(
        "That model, by the upstream's name for it; left out where our own drafted."
    )
    ignored: list[str] | SkipJsonSchema[None] = left_out(
        "Fields of the request that changed nothing; left out where there was none."
    )
    blind: bool | SkipJsonSchema[None] = left_out(
        "True where chance decided who drafts; left out otherwise."
    )


class DraftHead(Answer):
    """What every reply and every chunk of it begins with."""

    id: str = Field(description="The draft's id, which its edit refers to.")
    object: str = Field(description="What this is.")
    created: int = Field(description="When it was asked for, in seconds since 1970.")
    model: str = Field(description="The model's name as it was asked for.")
    system_fingerprint: str = Field(
        description="The fingerprint of the base model, or `upstream:` and the name of a model."
    )


class AssistantMessage(Answer):
    """What was drafted in a chat."""

    role: Literal["assistant"] = Field(description="Who speaks.")
    content: str = Field(description="The draft.")
    refusal: None = Field(description="Always null: nothing is refused.")


class ChatChoice(Answer):
    """One choice of a chat's draft."""

    index: int = Field(description="Which choice, counted from 0.")
    message: AssistantMessage = Field(description="The draft.")
    logprobs: ChatLogprobs | None = Field(description="Null unless they were asked for.")
    finish_reason: FinishReason = Field(description="Why the draft ended.")


class ChatCompletion(DraftHead):
    """A draft in a chat."""

    object: Literal["chat.completion"] = Field(description="What this is.")
    choices: list[ChatChoice] = Field(description="The choices, the best first.")
    usage: Usage = Field(description="Tokens read and written.")
    corll: DraftFacts = Field(description="What corll adds.")


class ChatDelta(Answer):
    """What a chunk adds to its choice: who speaks, then pieces of text, nothing at last."""

    role: Literal["assistant"] | SkipJsonSchema[None] = left_out("Who speaks.")
    content: str | SkipJsonSchema[None] = left_out("A further piece of the draft.")


class ChatChunkChoice(Answer):
    """A piece of one choice."""

    index: int = Field(description="Which choice, counted from 0.")
    delta: ChatDelta = Field(description="What the chunk adds.")
    logprobs: ChatLogprobs | None = Field(description="Those of the piece, where asked for.")
    finish_reason: FinishReason | None = Field(description="Null until the choice has ended.")


class ChatChunk(DraftHead):
    """An event of a draft that is streamed."""

    object: Literal["chat.completion.chunk"] = Field(description="What this is.")
    choices: list[ChatChunkChoice] = Field(description="One choice; none in a chunk of usage.")
    usage: Usage | None = left_out(
        "In the last chunk, where it was asked for; null in the others then, else left out."
    )
    corll: DraftFacts | SkipJsonSchema[None] = left_out("In the chunk that ends the last choice.")


class TextChoice(Answer):
    """One choice of a text's continuation."""

    index: int = Field(description="Which choice, counted from 0.")
    text: str = Field(description="The continuation.")
    logprobs: TextLogprobs | None = Field(description="Null unless they were asked for.")
    finish_reason: FinishReason = Field(description="Why the draft ended.")


class TextCompletion(DraftHead):
    """A continuation of a text."""

    object: Literal["text_completion"] = Field(description="What this is.")
    choices: list[TextChoice] = Field(description="The choices, the best first.")
    usage: Usage = Field(description="Tokens read and written.")
    corll: DraftFacts = Field(description="What corll adds.")


class TextChunkChoice(Answer):
    """A piece of one choice."""

    index: int = Field(description="Which choice, counted from 0.")
    text: str = Field(description="A further piece of the continuation.")
    logprobs: TextLogprobs | None = Field(description="Those of the piece, where asked for.")
    finish_reason: FinishReason | None = Field(description="Null until the choice has ended.")


class TextChunk(DraftHead):
    """An event of a continuation that is streamed."""

    object: Literal["text_completion"] = Field(description="What this is.")
    choices: list[TextChunkChoice] = Field(description="One choice; none in a chunk of usage.")
    usage: Usage | None = left_out(
        "In the last chunk, where it was asked for; null in the others then, else left out."
    )
    corll: DraftFacts | SkipJsonSchema[None] = left_out("In the chunk that ends the last choice.")

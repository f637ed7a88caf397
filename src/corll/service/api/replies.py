"""OpenAI's replies: whole ones and chunks, of chats and of plain completions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from fastapi.responses import StreamingResponse

from corll.schemas import completions as schemas
from corll.schemas.bodies import Answer
from corll.schemas.completions import DraftFacts, FinishReason
from corll.schemas.errors import Error, ErrorDetail
from corll.schemas.states import DraftKind
from corll.service.drafting.requests import Drawn, TokenLogprob

DONE = "data: [DONE]\n\n"

DRAFT_ID_HEADER = "x-corll-draft-id"
"""Names the draft of a reply, a stream included, for clients that do not show its `id`."""


class DraftReply(Protocol):
    """What a reply to a request for a draft is made by."""

    @property
    def id(self) -> str:
        """The draft's id."""
        ...

    @property
    def ignored(self) -> list[str]:
        """The names of the request's fields that changed nothing."""
        ...

    def whole(self, drawn: Drawn, facts: DraftFacts) -> Answer:
        """Return the reply in one piece."""
        ...

    def opening(self, choices: int) -> list[str]:
        """Return the events that come before any text."""
        ...

    def piece(self, index: int, text: str, logprobs: Sequence[TokenLogprob]) -> str:
        """Return the event of a further piece of text."""
        ...

    def closing(self, drawn: Drawn, facts: DraftFacts, *, with_usage: bool) -> list[str]:
        """Return the events that end the stream."""
        ...

    def failing(self, error: ErrorDetail) -> list[str]:
        """Return the events that end a stream which has begun, where no draft comes of it."""
        ...

    def kept(self, drawn: Drawn) -> dict[str, Any] | None:
        """Return what is kept of a response beside its draft; None for a completion."""
        ...


@dataclass(frozen=True)
class Reply:
    """Makes the reply to one request. `model` is echoed as it was asked for.

    `ignored` names the request's fields that changed nothing.
    """

    kind: DraftKind
    id: str
    model: str
    created: int
    fingerprint: str
    ignored: list[str]

    def whole(
        self, drawn: Drawn, facts: DraftFacts
    ) -> schemas.ChatCompletion | schemas.TextCompletion:
        """Return the reply in one piece."""
        indices = range(len(drawn.shown))
        ending = {"usage": usage(drawn), "corll": facts}
        if self.kind == "chat":
            chats = [_chat_choice(drawn, index) for index in indices]
            return schemas.ChatCompletion(
                **self._head, object="chat.completion", choices=chats, **ending
            )
        texts = [_text_choice(drawn, index) for index in indices]
        return schemas.TextCompletion(
            **self._head, object="text_completion", choices=texts, **ending
        )

    def opening(self, choices: int) -> list[str]:
        """Return the chunks that come before any text."""
        if self.kind == "text":
            return []
        delta = schemas.ChatDelta(role="assistant", content="")
        return [self._chat_chunk(index, delta) for index in range(choices)]

    def piece(self, index: int, text: str, logprobs: Sequence[TokenLogprob]) -> str:
        """Return a chunk with a further piece of text."""
        if self.kind == "text":
            return self._text_chunk(index, text, logprobs)
        return self._chat_chunk(index, schemas.ChatDelta(content=text), logprobs)

    def closing(self, drawn: Drawn, facts: DraftFacts, *, with_usage: bool) -> list[str]:
        """Return the chunks that say how each choice ended; the last of them holds `facts`.

        Then comes, where that was asked for, a chunk of usage.
        """
        last = len(drawn.shown) - 1
        chunks = []
        for index in range(len(drawn.shown)):
            reason = finish_reason(drawn, index)
            extra: dict[str, Any] = {"corll": facts} if index == last else {}
            if self.kind == "chat":
                delta = schemas.ChatDelta()
                chunks.append(self._chat_chunk(index, delta, finish_reason=reason, **extra))
            else:
                chunks.append(self._text_chunk(index, "", finish_reason=reason, **extra))
        return [*chunks, *([self._usage_chunk(drawn)] if with_usage else []), DONE]

    def failing(self, error: ErrorDetail) -> list[str]:
        """Return the events of an error that came after the first chunk."""
        return [sse(Error(error=error)), DONE]

    def kept(self, drawn: Drawn) -> None:
        """Keep nothing beside the draft."""

    def _usage_chunk(self, drawn: Drawn) -> str:
        if self.kind == "chat":
            return sse(self._chats([], usage=usage(drawn)))
        return sse(self._texts([], usage=usage(drawn)))

    @property
    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def _chats(self, choices: list[schemas.ChatChunkChoice], **extra: Any) -> schemas.ChatChunk:
        return schemas.ChatChunk(
            **self._head, object="chat.completion.chunk", choices=choices, **extra
        )

    def _texts(self, choices: list[schemas.TextChunkChoice], **extra: Any) -> schemas.TextChunk:
        return schemas.TextChunk(**self._head, object="text_completion", choices=choices, **extra)

    def _chat_chunk(
        self,
        index: int,
        delta: schemas.ChatDelta,
        logprobs: Sequence[TokenLogprob] = (),
        *,
        finish_reason: FinishReason | None = None,
        **extra: Any,
    ) -> str:
        choice = schemas.ChatChunkChoice(
            index=index,
            delta=delta,
            logprobs=_chat_logprobs(logprobs),
            finish_reason=finish_reason,
        )
        return sse(self._chats([choice], **extra))

    def _text_chunk(
        self,
        index: int,
        text: str,
        logprobs: Sequence[TokenLogprob] = (),
        *,
        finish_reason: FinishReason | None = None,
        **extra: Any,
    ) -> str:
        choice = schemas.TextChunkChoice(
            index=index, text=text, logprobs=text_logprobs(logprobs), finish_reason=finish_reason
        )
        return sse(self._texts([choice], **extra))


def _chat_choice(drawn: Drawn, index: int) -> schemas.ChatChoice:
    return schemas.ChatChoice(
        index=index,
        message=schemas.AssistantMessage(role="assistant", content=drawn.text(index), refusal=None),
        logprobs=_chat_logprobs(shown_logprobs(drawn, index)),
        finish_reason=finish_reason(drawn, index),
    )


def _text_choice(drawn: Drawn, index: int) -> schemas.TextChoice:
    return schemas.TextChoice(
        index=index,
        text=drawn.text(index),
        logprobs=text_logprobs(shown_logprobs(drawn, index)),
        finish_reason=finish_reason(drawn, index),
    )


def shown_logprobs(drawn: Drawn, index: int) -> Sequence[TokenLogprob]:
    """Return the log-probabilities of a choice's tokens, where they were asked for."""
    return drawn.logprobs[index] if index < len(drawn.logprobs) else ()


def _chat_logprobs(tokens: Sequence[TokenLogprob]) -> schemas.ChatLogprobs | None:
    if not tokens:
        return None
    return schemas.ChatLogprobs(content=drawn_tokens(tokens), refusal=None)


def drawn_tokens(tokens: Sequence[TokenLogprob]) -> list[schemas.DrawnTokenLogprob]:
    """Return log-probabilities of tokens as chats and responses show them."""
    return [_drawn_token(token) for token in tokens]


def _drawn_token(token: TokenLogprob) -> schemas.DrawnTokenLogprob:
    return schemas.DrawnTokenLogprob(
        token=token.token,
        logprob=token.logprob,
        bytes=list(token.bytes),
        top_logprobs=[
            schemas.TokenLogprob(token=one.token, logprob=one.logprob, bytes=list(one.bytes))
            for one in token.top
        ],
    )


def text_logprobs(tokens: Sequence[TokenLogprob]) -> schemas.TextLogprobs | None:
    """Return the log-probabilities of a text's tokens; None where none were wanted."""
    if not tokens:
        return None
    return schemas.TextLogprobs(
        tokens=[token.token for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[_likeliest(token) for token in tokens],
        text_offset=_offsets(tokens),
    )


def _likeliest(token: TokenLogprob) -> dict[str, float] | None:
    """Return the likeliest tokens, and the token itself by its own number, if it has one."""
    if token.logprob is None:
        return None
    named = {one.token: one.logprob for one in token.top if one.logprob is not None}
    return named | {token.token: token.logprob}


def _offsets(tokens: Sequence[TokenLogprob]) -> list[int]:
    """Return where each token begins, in characters: one inside a character, where that does."""
    offsets, read = [], b""
    for token in tokens:
        offsets.append(len(read.decode(errors="ignore")))
        read += token.bytes
    return offsets


def finish_reason(drawn: Drawn, index: int) -> FinishReason:
    """Return `stop` at an end of the text's own or at a stop sequence, `length` at the limit."""
    return "length" if index in drawn.cut else "stop"


def usage(drawn: Drawn) -> schemas.Usage:
    """Count tokens of the prompt and of the choices; candidates that are not shown cost nobody."""
    completion = drawn.completion_tokens
    return schemas.Usage(
        prompt_tokens=drawn.prompt_tokens,
        completion_tokens=completion,
        total_tokens=drawn.prompt_tokens + completion,
    )


def sse(content: Answer) -> str:
    """Return a server-sent event."""
    return f"data: {content.model_dump_json(exclude_unset=True)}\n\n"


def event_stream(
    events: AsyncIterator[str], headers: Mapping[str, str] = MappingProxyType({})
) -> StreamingResponse:
    """Return an answer of server-sent events, which no proxy is to hold back."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no", **headers}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def comment(text: str) -> str:
    """Return a line that clients of server-sent events do not see."""
    return f": {text}\n\n"

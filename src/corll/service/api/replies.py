"""OpenAI's replies: whole ones and chunks, of chats and of plain completions."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from fastapi.responses import StreamingResponse

from corll.schemas import completions as schemas
from corll.schemas.bodies import Answer
from corll.schemas.completion_requests import CompletionRequest
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

    def closing(self, drawn: Drawn, facts: DraftFacts) -> list[str]:
        """Return the events that end the stream."""
        ...

    def failing(self, error: ErrorDetail) -> list[str]:
        """Return the events that end a stream which has begun, where no draft comes of it."""
        ...

    def kept(self, drawn: Drawn) -> dict[str, Any] | None:
        """Return what is kept of a response beside its draft; None for a completion."""
        ...


class Places:
    """Where tokens begin in a text, in characters, as it is made of their bytes.

    Bytes that are no character count as the text shows them, by U+FFFD. A token that begins inside
    a character begins where that does.
    """

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._read = 0
        """So many whole characters, before the bytes of one that is not at its end yet."""

    def of(self, tokens: Sequence[TokenLogprob]) -> list[int]:
        """Return where further tokens begin."""
        found = []
        for token in tokens:
            unfinished = self._decoder.getstate()[0]
            stays_so = unfinished and not _may_begin(unfinished + token.bytes[:1])
            found.append(self._read + (1 if stays_so else 0))
            self._read += len(self._decoder.decode(token.bytes))
        return found


def _may_begin(data: bytes) -> bool:
    """Say whether a character is, or may begin with, these bytes."""
    try:
        getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class Reply:
    """Makes the reply to one request."""

    asked: CompletionRequest
    id: str
    created: int
    fingerprint: str
    _places: defaultdict[int, Places] = field(default_factory=lambda: defaultdict(Places))

    @property
    def kind(self) -> DraftKind:
        """What the draft is."""
        return self.asked.kind

    @property
    def ignored(self) -> list[str]:
        """The names of the request's fields that changed nothing."""
        return self.asked.ignored

    def whole(
        self, drawn: Drawn, facts: DraftFacts
    ) -> schemas.ChatCompletion | schemas.TextCompletion:
        """Return the reply in one piece."""
        indices = range(len(drawn.shown))
        ending = {"usage": usage(drawn), "corll": facts}
        if self.kind == "chat":
            chats = [self._chat_choice(drawn, index) for index in indices]
            return schemas.ChatCompletion(
                **self._head, object="chat.completion", choices=chats, **ending
            )
        texts = [self._text_choice(drawn, index) for index in indices]
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
            return self._text_chunk(index, text, self._text_logprobs(index, logprobs))
        told = self._chat_logprobs(logprobs)
        return self._chat_chunk(index, schemas.ChatDelta(content=text), told)

    def closing(self, drawn: Drawn, facts: DraftFacts) -> list[str]:
        """Return the chunks that say how each choice ended; the last of them holds `facts`.

        Then comes, where that was asked for, a chunk of usage; in all others it is null then.
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
        return [*chunks, *([self._usage_chunk(drawn)] if self.asked.wants_usage else []), DONE]

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
            "model": self.asked.model,
            "system_fingerprint": self.fingerprint,
        }

    def _chats(self, choices: list[schemas.ChatChunkChoice], **extra: Any) -> schemas.ChatChunk:
        fields = self._head | self._no_usage | extra
        return schemas.ChatChunk(**fields, object="chat.completion.chunk", choices=choices)

    def _texts(self, choices: list[schemas.TextChunkChoice], **extra: Any) -> schemas.TextChunk:
        fields = self._head | self._no_usage | extra
        return schemas.TextChunk(**fields, object="text_completion", choices=choices)

    @property
    def _no_usage(self) -> dict[str, None]:
        """What a chunk says of usage that does not hold it."""
        return {"usage": None} if self.asked.wants_usage else {}

    @property
    def _tells_logprobs(self) -> bool:
        return self.asked.wanted_logprobs is not None

    def _chat_chunk(
        self,
        index: int,
        delta: schemas.ChatDelta,
        logprobs: schemas.ChatLogprobs | None = None,
        *,
        finish_reason: FinishReason | None = None,
        **extra: Any,
    ) -> str:
        choice = schemas.ChatChunkChoice(
            index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason
        )
        return sse(self._chats([choice], **extra))

    def _text_chunk(
        self,
        index: int,
        text: str,
        logprobs: schemas.TextLogprobs | None = None,
        *,
        finish_reason: FinishReason | None = None,
        **extra: Any,
    ) -> str:
        choice = schemas.TextChunkChoice(
            index=index, text=text, logprobs=logprobs, finish_reason=finish_reason
        )
        return sse(self._texts([choice], **extra))

    def _chat_choice(self, drawn: Drawn, index: int) -> schemas.ChatChoice:
        text = drawn.text(index)
        return schemas.ChatChoice(
            index=index,
            message=schemas.AssistantMessage(role="assistant", content=text, refusal=None),
            logprobs=self._chat_logprobs(shown_logprobs(drawn, index)),
            finish_reason=finish_reason(drawn, index),
        )

    def _text_choice(self, drawn: Drawn, index: int) -> schemas.TextChoice:
        return schemas.TextChoice(
            index=index,
            text=drawn.text(index),
            logprobs=self._text_logprobs(index, shown_logprobs(drawn, index)),
            finish_reason=finish_reason(drawn, index),
        )

    def _chat_logprobs(self, tokens: Sequence[TokenLogprob]) -> schemas.ChatLogprobs | None:
        if not self._tells_logprobs:
            return None
        return schemas.ChatLogprobs(content=drawn_tokens(tokens), refusal=None)

    def _text_logprobs(
        self, index: int, tokens: Sequence[TokenLogprob]
    ) -> schemas.TextLogprobs | None:
        if not self._tells_logprobs:
            return None
        return text_logprobs(tokens, self._places[index])


def shown_logprobs(drawn: Drawn, index: int) -> Sequence[TokenLogprob]:
    """Return the log-probabilities of a choice's tokens, where they were asked for."""
    return drawn.logprobs[index] if index < len(drawn.logprobs) else ()


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


def text_logprobs(
    tokens: Sequence[TokenLogprob], places: Places | None = None
) -> schemas.TextLogprobs:
    """Return the log-probabilities of a text's tokens; those of earlier pieces are in `places`."""
    return schemas.TextLogprobs(
        tokens=[token.token for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[_likeliest(token) for token in tokens],
        text_offset=(places or Places()).of(tokens),
    )


def _likeliest(token: TokenLogprob) -> dict[str, float] | None:
    """Return the likeliest tokens, and the token itself by its own number, if it has one."""
    if token.logprob is None:
        return None
    named = {one.token: one.logprob for one in token.top if one.logprob is not None}
    return named | {token.token: token.logprob}


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

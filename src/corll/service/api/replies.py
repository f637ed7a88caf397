"""OpenAI's replies: whole ones and chunks, of chats and of plain completions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import StreamingResponse

from corll.schemas import completions as schemas
from corll.schemas.bodies import Answer
from corll.schemas.completions import DraftFacts, FinishReason
from corll.schemas.states import DraftKind
from corll.service.drafting.requests import Drawn, TokenLogprob

DONE = "data: [DONE]\n\n"


@dataclass(frozen=True)
class Reply:
    """Makes the reply to one request. `model` is echoed as it was asked for."""

    kind: DraftKind
    id: str
    model: str
    created: int
    fingerprint: str

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

    def closing(self, drawn: Drawn, facts: DraftFacts) -> list[str]:
        """Return the chunks that say how each choice ended; the last one holds `facts`."""
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
        return chunks

    def usage_chunk(self, drawn: Drawn) -> str:
        """Return the chunk that `stream_options.include_usage` asks for."""
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
            index=index, text=text, logprobs=_text_logprobs(logprobs), finish_reason=finish_reason
        )
        return sse(self._texts([choice], **extra))


def _chat_choice(drawn: Drawn, index: int) -> schemas.ChatChoice:
    return schemas.ChatChoice(
        index=index,
        message=schemas.AssistantMessage(
            role="assistant", content=_shown_text(drawn, index), refusal=None
        ),
        logprobs=_chat_logprobs(_shown_logprobs(drawn, index)),
        finish_reason=finish_reason(drawn, index),
    )


def _text_choice(drawn: Drawn, index: int) -> schemas.TextChoice:
    return schemas.TextChoice(
        index=index,
        text=_shown_text(drawn, index),
        logprobs=_text_logprobs(_shown_logprobs(drawn, index)),
        finish_reason=finish_reason(drawn, index),
    )


def _shown_text(drawn: Drawn, index: int) -> str:
    return drawn.candidates[drawn.shown[index]].text


def _shown_logprobs(drawn: Drawn, index: int) -> Sequence[TokenLogprob]:
    return drawn.logprobs[index] if index < len(drawn.logprobs) else ()


def _chat_logprobs(tokens: Sequence[TokenLogprob]) -> schemas.ChatLogprobs | None:
    if not tokens:
        return None
    return schemas.ChatLogprobs(content=[_drawn_token(token) for token in tokens], refusal=None)


def _drawn_token(token: TokenLogprob) -> schemas.DrawnTokenLogprob:
    return schemas.DrawnTokenLogprob(
        token=token.token,
        logprob=token.logprob,
        bytes=_bytes(token.token),
        top_logprobs=[
            schemas.TokenLogprob(token=name, logprob=logprob, bytes=_bytes(name))
            for name, logprob in token.top
        ],
    )


def _bytes(token: str) -> list[int] | None:
    whole = "\N{REPLACEMENT CHARACTER}" not in token  # else a part of a character
    return list(token.encode()) if whole else None


def _text_logprobs(tokens: Sequence[TokenLogprob]) -> schemas.TextLogprobs | None:
    if not tokens:
        return None
    return schemas.TextLogprobs(
        tokens=[token.token for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[dict(token.top) for token in tokens],
        text_offset=_offsets(tokens),
    )


def _offsets(tokens: Sequence[TokenLogprob]) -> list[int]:
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token.token)
    return offsets


def finish_reason(drawn: Drawn, index: int) -> FinishReason:
    """Return `stop` at an end of the text's own or at a stop sequence, `length` at the limit."""
    return "length" if index in drawn.cut else "stop"


def usage(drawn: Drawn) -> schemas.Usage:
    """Count tokens of the prompt and of the choices; candidates that are not shown cost nobody."""
    completion = sum(len(drawn.candidates[candidate].token_ids) for candidate in drawn.shown)
    return schemas.Usage(
        prompt_tokens=drawn.prompt_tokens,
        completion_tokens=completion,
        total_tokens=drawn.prompt_tokens + completion,
    )


def sse(content: Answer) -> str:
    """Return a server-sent event."""
    return f"data: {content.model_dump_json(exclude_unset=True)}\n\n"


def event_stream(events: AsyncIterator[str]) -> StreamingResponse:
    """Return an answer of server-sent events, which no proxy is to hold back."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def comment(text: str) -> str:
    """Return a line that clients of server-sent events do not see."""
    return f": {text}\n\n"

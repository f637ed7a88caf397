"""OpenAI's replies: whole ones and chunks, of chats and of plain completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.responses import StreamingResponse

from corll.service.drafting.requests import Drawn, TokenLogprob

Kind = Literal["chat", "text"]

DONE = "data: [DONE]\n\n"


@dataclass(frozen=True)
class Reply:
    """Makes the reply to one request. `model` is echoed as it was asked for."""

    kind: Kind
    id: str
    model: str
    created: int
    fingerprint: str

    def whole(self, drawn: Drawn, more: Mapping[str, Any]) -> dict[str, Any]:
        """The reply in one piece; `more` is what it says under `corll`."""
        choices = []
        for index, candidate in enumerate(drawn.shown):
            sample = drawn.candidates[candidate]
            logprobs = drawn.logprobs[index] if index < len(drawn.logprobs) else ()
            choices.append(
                {
                    "index": index,
                    **self._content(sample.text),
                    "logprobs": self._logprobs(logprobs) if logprobs else None,
                    "finish_reason": finish_reason(drawn, index),
                }
            )
        name = "chat.completion" if self.kind == "chat" else "text_completion"
        return {
            **self._head(name),
            "choices": choices,
            "usage": usage(drawn),
            "corll": dict(more),
        }

    def opening(self, choices: int) -> list[str]:
        """The chunks that come before any text."""
        if self.kind == "text":
            return []
        delta = {"role": "assistant", "content": ""}
        return [self._chunk(index, delta=delta) for index in range(choices)]

    def piece(self, index: int, text: str, logprobs: Sequence[TokenLogprob]) -> str:
        """A chunk with a further piece of text."""
        found = self._logprobs(logprobs) if logprobs else None
        if self.kind == "text":
            return self._chunk(index, text=text, logprobs=found)
        return self._chunk(index, delta={"content": text}, logprobs=found)

    def closing(self, drawn: Drawn, more: Mapping[str, Any]) -> list[str]:
        """The chunks that say how each choice ended; the last one holds what `corll` says."""
        last = len(drawn.shown) - 1
        chunks = []
        for index in range(len(drawn.shown)):
            content: dict[str, Any] = {"text": ""} if self.kind == "text" else {"delta": {}}
            reason = finish_reason(drawn, index)
            extra = {"corll": dict(more)} if index == last else {}
            chunks.append(self._chunk(index, finish_reason=reason, extra=extra, **content))
        return chunks

    def usage_chunk(self, drawn: Drawn) -> str:
        """The chunk that `stream_options.include_usage` asks for."""
        return sse({**self._head(self._chunk_name), "choices": [], "usage": usage(drawn)})

    @property
    def _chunk_name(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _head(self, name: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def _content(self, text: str) -> dict[str, Any]:
        if self.kind == "text":
            return {"text": text}
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _chunk(
        self,
        index: int,
        *,
        logprobs: Any = None,
        finish_reason: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **content: Any,
    ) -> str:
        choice = {
            "index": index,
            **content,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return sse({**self._head(self._chunk_name), "choices": [choice], **(extra or {})})

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        if self.kind == "chat":
            return {"content": [_chat_logprob(token) for token in tokens], "refusal": None}
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [dict(token.top) for token in tokens],
            "text_offset": _offsets(tokens),
        }


def _chat_logprob(token: TokenLogprob) -> dict[str, Any]:
    return {
        **_named(token.token, token.logprob),
        "top_logprobs": [_named(name, logprob) for name, logprob in token.top],
    }


def _named(token: str, logprob: float) -> dict[str, Any]:
    whole = "\N{REPLACEMENT CHARACTER}" not in token  # else a part of a character
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()) if whole else None}


def _offsets(tokens: Sequence[TokenLogprob]) -> list[int]:
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token.token)
    return offsets


def finish_reason(drawn: Drawn, index: int) -> str:
    """`stop` at an end of the text's own or at a stop sequence, `length` at the limit."""
    return "length" if index in drawn.cut else "stop"


def usage(drawn: Drawn) -> dict[str, int]:
    """Tokens of the prompt and of the choices; candidates that are not shown cost nobody."""
    completion = sum(len(drawn.candidates[candidate].token_ids) for candidate in drawn.shown)
    return {
        "prompt_tokens": drawn.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": drawn.prompt_tokens + completion,
    }


def sse(content: Mapping[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def event_stream(events: AsyncIterator[str]) -> StreamingResponse:
    """An answer of server-sent events, which no proxy is to hold back."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def comment(text: str) -> str:
    """A line that clients of server-sent events do not see."""
    return f": {text}\n\n"

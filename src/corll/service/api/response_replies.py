"""Replies to requests for responses, OpenAI's newer shape: whole ones, and streams of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from corll.schemas import responses as schemas
from corll.schemas.completions import DraftFacts
from corll.schemas.errors import ErrorDetail
from corll.schemas.response_requests import ResponseRequest
from corll.schemas.responses import ModelResponse, OutputMessage, ResponseEvent
from corll.service.api.replies import drawn_tokens, finish_reason, shown_logprobs, sse, usage
from corll.service.drafting.requests import Drawn, TokenLogprob
from corll.service.store.drafts import DraftRow
from corll.service.store.responses import written
from corll.service.store.rows import new_id

_RESPONSE, _MESSAGE = "resp_", "msg_"
_ECHOED = ("max_output_tokens", "temperature", "top_p")
_TEXT = schemas.PlainText(format=schemas.PlainFormat(type="text"))


def response_of_message(message_id: str) -> str | None:
    """Return the id of the response that a message is of; None where it is of none."""
    if not message_id.startswith(_MESSAGE):
        return None
    return _RESPONSE + message_id.removeprefix(_MESSAGE)


@dataclass
class ResponseReply:
    """Makes the reply to one request, and what is kept of it beside its draft.

    `follows` are the responses whose texts stand in its prompt, and `own` is how many messages of
    the prompt came with the request.
    """

    asked: ResponseRequest
    created: int
    follows: Sequence[str]
    own: int
    id: str = field(default_factory=lambda: new_id("resp"))
    _numbers: count[int] = field(default_factory=count)
    _told: list[str] = field(default_factory=list)

    @property
    def ignored(self) -> list[str]:
        """The names of the request's fields that changed nothing."""
        return self.asked.ignored

    def kept(self, drawn: Drawn) -> dict[str, Any]:
        """Return what is kept of the response beside its draft, as `store.responses` has it."""
        tokens = usage(drawn)
        return {
            **self._facts,
            "begun": 0 if drawn.beginning is None else len(drawn.beginning.text),
            "tokens": [tokens.prompt_tokens, tokens.completion_tokens],
            "ended": "cancelled" if drawn.cancelled else finish_reason(drawn, 0),
        }

    def whole(self, drawn: Drawn, facts: DraftFacts) -> ModelResponse:
        """Return the reply in one piece."""
        tokens = drawn_tokens(shown_logprobs(drawn, 0))
        return self._response(
            self.kept(drawn),
            output=[_message(self.id, drawn.text(0), _ended(self.kept(drawn)), tokens)],
            corll=facts,
            store=facts.stored or self._may_be_kept,
        )

    def opening(self, choices: int) -> list[str]:
        """Return the events that come before any text."""
        begun = self._response(self._facts)
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
            self._event(
                "response.output_item.added",
                output_index=0,
                item=_message(self.id, None, "in_progress"),
            ),
            self._event("response.content_part.added", **self._place, part=_part("", [])),
        ]

    def piece(self, index: int, text: str, logprobs: Sequence[TokenLogprob]) -> str:
        """Return the event of a further piece of text."""
        self._told.append(text)
        tokens = drawn_tokens(logprobs)
        return self._event("response.output_text.delta", **self._place, delta=text, logprobs=tokens)

    def closing(self, drawn: Drawn, facts: DraftFacts) -> list[str]:
        """Return the events that end the stream; the last one holds the whole response."""
        whole = self.whole(drawn, facts)
        (message,) = whole.output
        (part,) = message.content
        final = "completed" if whole.status == "completed" else "incomplete"
        return [
            self._event(
                "response.output_text.done", **self._place, text=part.text, logprobs=part.logprobs
            ),
            self._event("response.content_part.done", **self._place, part=part),
            self._event("response.output_item.done", output_index=0, item=message),
            self._event(f"response.{final}", response=whole),
        ]

    def failing(self, error: ErrorDetail) -> list[str]:
        """Return the event of an error that came after the first events."""
        failure = schemas.ResponseFailure(code=error.code or error.type, message=error.message)
        text = "".join(self._told)
        output = [_message(self.id, text, "incomplete")] if text else []
        told = self._response(self._facts, status="failed", error=failure, output=output)
        return [self._event("response.failed", response=told)]

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": _message_id(self.id), "output_index": 0, "content_index": 0}

    @property
    def _may_be_kept(self) -> bool:
        return self.asked.store is not False

    @property
    def _facts(self) -> dict[str, Any]:
        """What is kept that is known from the beginning."""
        return {
            "previous": self.asked.previous_response_id,
            "follows": list(self.follows),
            "own": self.own,
            "instructions": bool(self.asked.instructions),
            "metadata": self.asked.metadata or {},
            **{name: getattr(self.asked, name) for name in _ECHOED},
        }

    def _response(self, kept: Mapping[str, Any], **more: Any) -> ModelResponse:
        told = {"instructions": self.asked.instructions or None, "store": self._may_be_kept, **more}
        return _response(kept, id=self.id, created=self.created, model=self.asked.model, **told)

    def _event(self, type: Any, **fields: Any) -> str:
        event = ResponseEvent(type=type, sequence_number=next(self._numbers), **fields)
        return f"event: {type}\n{sse(event)}"


def stored_response(row: DraftRow, facts: DraftFacts, sent: str | None) -> ModelResponse:
    """Return a response that was kept, with what was `sent` in its place.

    The draft is the whole text; what the response went on with is no part of what it told.
    """
    assert row.response is not None
    kept = row.response
    first, text = written(row)[0], row.choice(0)["text"][kept.get("begun", 0) :]
    return _response(
        kept,
        id=row.id,
        created=int(row.created_at),
        model=row.model,
        instructions=first["content"] if kept["instructions"] else None,
        output=[_message(row.id, text, _ended(kept))],
        corll=facts,
        store=True,
        **({} if sent is None else {"sent": sent}),
    )


def _response(
    kept: Mapping[str, Any], *, id: str, created: int, model: str, **more: Any
) -> ModelResponse:
    """Return a response of what is kept of it: ended where its number of tokens is known."""
    fields: dict[str, Any] = {
        "status": _ended(kept) if "tokens" in kept else "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": _usage(*kept["tokens"]) if "tokens" in kept else None,
    }
    if fields["status"] == "incomplete":
        reason = "max_output_tokens" if kept["ended"] == "length" else None
        fields["incomplete_details"] = schemas.IncompleteDetails(reason=reason)
    return ModelResponse(
        id=id,
        object="response",
        created_at=created,
        background=False,
        metadata=kept["metadata"],
        model=model,
        parallel_tool_calls=False,
        previous_response_id=kept["previous"],
        text=_TEXT,
        tool_choice="none",
        tools=[],
        truncation="disabled",
        **{name: kept[name] for name in _ECHOED},
        **fields | more,
    )


def _ended(kept: Mapping[str, Any]) -> schemas.ResponseStatus:
    return "completed" if kept["ended"] == "stop" else "incomplete"


def _message_id(response_id: str) -> str:
    return _MESSAGE + response_id.removeprefix(_RESPONSE)


def _message(
    response_id: str, text: str | None, status: schemas.ResponseStatus, logprobs: Any = ()
) -> OutputMessage:
    return OutputMessage(
        id=_message_id(response_id),
        type="message",
        role="assistant",
        status=status,
        content=[] if text is None else [_part(text, list(logprobs))],
    )


def _part(text: str, logprobs: list[Any]) -> schemas.OutputText:
    return schemas.OutputText(type="output_text", text=text, annotations=[], logprobs=logprobs)


def _usage(read: int, written: int) -> schemas.ResponseUsage:
    return schemas.ResponseUsage(
        input_tokens=read,
        input_tokens_details=schemas.CachedTokens(cached_tokens=0, cache_write_tokens=0),
        output_tokens=written,
        output_tokens_details=schemas.ReasoningTokens(reasoning_tokens=0),
        total_tokens=read + written,
    )

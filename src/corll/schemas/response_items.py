"""What a response is asked for with in place of messages: items, and the turns that they make."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from corll.records import Message
from corll.schemas.bodies import Name, RequestBody, Text
from corll.schemas.ignored_fields import Ignored
from corll.schemas.openai_fields import CalledFunction, CallId, ToolCall, plain_role

_KINDS = ("message", "item_reference", "function_call", "function_call_output")


class TextInput(RequestBody):
    """A piece of an item; a reply's own parts can be sent back as they came."""

    type: Literal["input_text", "output_text", "text"] = Field(description="Text alone.")
    text: Text = Field(description="The text.")
    annotations: Ignored
    logprobs: Ignored


def _as_parts(content: Any) -> Any:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


TextParts = Annotated[
    list[TextInput],
    BeforeValidator(_as_parts, json_schema_input_type=Text | list[TextInput]),
]
"""A text, whole or in parts."""


def _joined(parts: list[TextInput]) -> str:
    return "".join(part.text for part in parts)


class MessageItem(RequestBody):
    """A turn of a conversation. A reply's message can be sent back as the client holds it."""

    type: Literal["message"] = Field("message", description="May be left out.")
    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="Who speaks; developer is read as system."
    )
    content: TextParts = Field(description="What is said, whole or in parts.")
    id: Ignored
    status: Ignored
    phase: Ignored

    def as_plain(self) -> Message:
        """Return the turn as chat templates read it."""
        return {"role": plain_role(self.role), "content": _joined(self.content)}


class FunctionCallItem(CalledFunction):
    """A tool that the assistant called earlier: a part of the turn that its message began."""

    type: Literal["function_call"] = Field(description="What this is.")
    call_id: CallId = Field("", description="What its answer refers to.")
    id: Ignored
    status: Ignored

    def as_plain(self) -> Message:
        """Return a turn of this call alone, as chat templates read it."""
        call = ToolCall(id=self.call_id, function=self)
        return {"role": "assistant", "content": "", "tool_calls": [call.as_plain()]}


class FunctionOutputItem(RequestBody):
    """What a tool answered earlier in the conversation."""

    type: Literal["function_call_output"] = Field(description="What this is.")
    call_id: CallId = Field("", description="Which call this answers.")
    output: TextParts = Field(description="The answer, whole or in parts.")
    id: Ignored
    status: Ignored

    def as_plain(self) -> Message:
        """Return the turn as chat templates read it."""
        named = {"tool_call_id": self.call_id} if self.call_id else {}
        return {"role": "tool", "content": _joined(self.output), **named}


class ReferenceItem(RequestBody):
    """The message of an earlier response, by its id: it stands as it was edited."""

    type: Literal["item_reference"] = Field(description="What this is.")
    id: Name = Field(max_length=64, description="The id of a response's message: msg_….")


def _item_kind(item: Any) -> str | None:
    given = item if isinstance(item, dict) else {"type": getattr(item, "type", None)}
    kind = given.get("type") or ("message" if "role" in given else None)
    return kind if kind in _KINDS else None


InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[ReferenceItem, Tag("item_reference")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")],
    Discriminator(
        _item_kind,
        custom_error_type="unsupported_item",
        custom_error_message=f"only items of type {', '.join(_KINDS)} are understood here; there "
        "are no files, no reasoning and no tools of the server's",
    ),
]


def as_items(given: Any) -> Any:
    """Return a text as the item that it stands for, and anything else as it is."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def add_turn(turns: list[Message], item: InputItem, turn: Message) -> None:
    """Add the turn of an item; a call joins the assistant's turn before it, as in a chat."""
    if isinstance(item, FunctionCallItem) and turns and turns[-1]["role"] == "assistant":
        calls = [*turns[-1].get("tool_calls", ()), *turn["tool_calls"]]
        turns[-1] = {**turns[-1], "tool_calls": calls}
    else:
        turns.append(turn)

"""Fields of OpenAI's requests: what is understood of a message."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from corll.frames import LONGEST_HINT, LONGEST_NAME, LONGEST_TEMPLATE, FrameName
from corll.schemas.bodies import RequestBody, Text
from corll.schemas.ignored_fields import Absent

_LONGEST_REF = 200


def _with_a_ref_that_can_be_one(metadata: dict[str, str] | None) -> dict[str, str] | None:
    ref = (metadata or {}).get(REF)
    if ref is not None and not is_ref(ref):
        raise ValueError(f"{REF} has 1 to {_LONGEST_REF} printable characters")
    return metadata


REF = "corll_ref"
"""Under which name metadata hold the client's own reference of a draft."""


def is_ref(text: str) -> bool:
    """Say whether a text can be a client's reference of a draft."""
    return 0 < len(text) <= _LONGEST_REF and text.isprintable()


_Pairs = Annotated[
    dict[Annotated[Text, Field(max_length=64)], Annotated[Text, Field(max_length=512)]],
    Field(max_length=16),
]
Metadata = Annotated[
    _Pairs | None,
    AfterValidator(_with_a_ref_that_can_be_one),
    Field(
        description=f"Pairs of the client's own. `{REF}` is a reference that it chooses for this "
        "draft, by which `POST /v1/edits` finds it.",
    ),
]

FrameWanted = Annotated[
    FrameName | None,
    Field(
        description="What the model is told around the user's last message: `reply`, that it is a "
        "message which is answered as the user; `write`, that it says what to write; `none`, "
        "nothing. The framed message is the prompt that is learned from."
    ),
]
Hint = Annotated[
    Text | None,
    Field(
        max_length=LONGEST_HINT,
        description='With a frame: a few words that the text carries out, "yes, Fri, no refund".',
    ),
]
SignAs = Annotated[
    Text | None,
    Field(max_length=LONGEST_NAME, description="With a frame: how the user signs."),
]
FrameTemplate = Annotated[
    Text | None,
    Field(
        max_length=LONGEST_TEMPLATE,
        description="With a frame: words in place of its own, with {message}, and {hint} and "
        "{name} where these are given; {sender} is who signed the message. A line whose field is "
        "empty is left out.",
    ),
]


def plain_role(role: str) -> str:
    """Return a speaker's role as chat templates know it."""
    return "system" if role == "developer" else role


class TextPart(RequestBody):
    """A piece of a message; only text is understood."""

    type: Literal["text"] = Field(description="Only text is understood.")
    text: Text = Field(description="The text.")


def _as_json(arguments: Any) -> Any:
    return json.dumps(arguments) if isinstance(arguments, dict) else arguments


CallId = Annotated[Text, Field(max_length=200)]
"""By which a tool's answer names the call that it answers."""


class CalledFunction(RequestBody):
    """What an assistant called: a name, and what it was given."""

    name: Text = Field(max_length=200, description="The function's name.")
    arguments: Annotated[
        Text, BeforeValidator(_as_json, json_schema_input_type=Text | dict[str, Any])
    ] = Field("", max_length=100_000, description="What it was given, as JSON or as an object.")


class ToolCall(RequestBody):
    """A tool that an assistant called earlier in a conversation."""

    id: CallId = Field("", description="What its answer refers to.")
    type: Literal["function"] = Field("function", description="Only functions are understood.")
    function: CalledFunction = Field(description="What was called.")

    def as_plain(self) -> dict[str, Any]:
        """Return the call as chat templates read it, which write the arguments themselves."""
        given: Any = self.function.arguments
        try:
            parsed = json.loads(given)
        except ValueError:
            parsed = None
        # Only an object can be sent again as it is kept.
        arguments = parsed if isinstance(parsed, dict) else given
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


class ChatMessage(RequestBody):
    """A turn of a conversation. A reply's message can be sent back as the client holds it."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="Who speaks; developer is read as system, and tool is what a tool answered."
    )
    content: Text | list[TextPart] | None = Field(
        None,
        description="What is said, whole or in parts. Only a turn that called tools may have none.",
    )
    name: Text | None = Field(
        None,
        max_length=64,
        description="Who speaks, of several with one role: handed to the chat template, and kept "
        "with the draft. Most templates do not write it.",
    )
    tool_calls: list[ToolCall] | None = Field(
        None,
        max_length=128,
        description="Tools that the assistant called: handed to the chat template. Where that "
        "writes none, they are refused.",
    )
    tool_call_id: CallId | None = Field(
        None, description="Which call a tool answers: handed to the chat template."
    )
    reasoning_content: Absent
    refusal: Absent
    audio: Absent
    function_call: Absent
    annotations: Absent

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are an assistant's alone")
        if self.tool_call_id and self.role != "tool":
            raise ValueError("tool_call_id is a tool's alone")
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing: give the message's text")
        return self

    def as_plain(self) -> dict[str, Any]:
        """Return the message as chat templates read it."""
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        more = {
            "name": self.name,
            "tool_calls": [call.as_plain() for call in self.tool_calls or ()],
            "tool_call_id": self.tool_call_id,
        }
        return {"role": plain_role(self.role), "content": text} | {
            n: it for n, it in more.items() if it
        }

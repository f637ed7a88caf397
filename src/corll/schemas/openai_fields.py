"""Fields of OpenAI's requests: what is understood of a message, and what only where it is empty."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from corll.frames import LONGEST_HINT, LONGEST_NAME, LONGEST_TEMPLATE, FrameName
from corll.schemas.bodies import RequestBody, Text

Neutral = Annotated[
    float | None, Field(default=0.0, ge=0, le=0, description="Not supported: 0, null, or left out.")
]
"""A field of OpenAI's that is understood only where it changes nothing."""


def _nothing(value: Any) -> None:
    if value not in (None, []):
        raise ValueError("is not supported here")


Absent = Annotated[
    Any,
    AfterValidator(_nothing),
    WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "array", "items": {}, "maxItems": 0}]}),
    Field(None, description="Not supported: null, empty, or left out."),
]
"""A field of OpenAI's that clients send along empty."""

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


class NullIsLeftOut(RequestBody):
    """A shape of OpenAI's, of whose many optional fields some are not here."""

    @model_validator(mode="before")
    @classmethod
    def _without_unknown_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        known = cls.model_fields
        return {name: it for name, it in fields.items() if it is not None or name in known}


class TextPart(RequestBody):
    """A piece of a message; only text is understood."""

    type: Literal["text"] = Field(description="Only text is understood.")
    text: Text = Field(description="The text.")


class ChatMessage(NullIsLeftOut):
    """A turn of a conversation. A reply's message can be sent back as the client holds it."""

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="Who speaks; developer is read as system."
    )
    content: Text | list[TextPart] = Field(description="What is said, whole or in parts.")
    name: Text | None = Field(
        None,
        max_length=64,
        description="Who speaks, of several with one role: handed to the chat template, and kept "
        "with the draft. Most templates do not write it.",
    )
    refusal: Absent
    audio: Absent
    function_call: Absent
    tool_calls: Absent
    annotations: Absent

    def as_plain(self) -> dict[str, str]:
        """Return the message as chat templates read it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": text} | ({"name": self.name} if self.name else {})

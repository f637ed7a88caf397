"""Frames: what an instruction model is told around a text, so that it writes as the user.

A message that is pasted alone asks for nothing, and a model answers it as it likes. A frame is a
text with fields, which says whose answer is wanted. The framed text becomes the prompt, so it is
what is drafted from, stored, and learned from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from corll.errors import InputError
from corll.records import Message
from corll.signatures import signer
from corll.text import check_characters, normalize

FrameName = Literal["none", "reply", "write"]

LONGEST_HINT = 500
LONGEST_NAME = 100
LONGEST_TEMPLATE = 4000

FRAMES: Mapping[FrameName, str] = {
    "reply": """\
{name} received this message from {sender}:

\"\"\"
{message}
\"\"\"

Write {name}'s reply to {sender}. In it {name} is "I" and {sender} is "you".
It says what these notes of {name} say, in full sentences, and nothing else: {hint}""",
    "write": """\
{name} says of a text that is to be written:

\"\"\"
{message}
\"\"\"

Write the text for {name}. In it {name} is "I".
It is made of these notes of {name} alone, in full sentences: {hint}""",
}
"""The frames by name. `none` is not among them: the prompt is left as it is.

They speak of the user in the third person: asked to write "as me", small models answer as the one
who wrote the message (`experiments/LOG.md`)."""

FRAMES_WITHOUT_NAME: Mapping[FrameName, str] = {
    "reply": """\
You received this message from {sender}:

\"\"\"
{message}
\"\"\"

Write your reply to {sender}. In it you are "I" and {sender} is "you".
It says what these notes of yours say, in full sentences, and nothing else: {hint}""",
    "write": """\
You say of a text that is to be written:

\"\"\"
{message}
\"\"\"

Write the text. In it you are "I".
It is made of these notes of yours alone, in full sentences: {hint}""",
}
"""The same for a user who did not say how to sign."""

_SOMEBODY = "the sender"
"""Takes the place of a sender's name that was not found."""

_FIELDS = ("message", "hint", "name", "sender")
_FIELD = re.compile(r"\{([a-z_]+)\}")


class Filled(TypedDict):
    """What a user wrote of a framed prompt: the message, and what is filled in beside it.

    `template` is None where the words around it are the frame's own.
    """

    frame: FrameName
    message: str
    hint: str
    name: str
    template: str | None


@dataclass(frozen=True, slots=True)
class Framing:
    """A frame, and what is filled in beside the message.

    `hint` is a few words of the user that the text carries out, `name` how the user signs, and
    `template` takes the place of the frame's own words. It holds {message} once or more, and
    {hint} and {name} where these are given. A line with a field that is empty is left out. {sender}
    is who signed the message, or "the sender" where no name stands below it.
    *Raises*: InputError for what does not fit together.
    """

    frame: FrameName = "none"
    hint: str = ""
    name: str = ""
    template: str | None = None

    def __post_init__(self) -> None:
        for field, longest in (("hint", LONGEST_HINT), ("name", LONGEST_NAME)):
            text = getattr(self, field)
            check_characters(text, field)
            one_line = " ".join(normalize(text).split())
            if len(one_line) > longest:
                raise InputError(
                    f"The {field} has {len(one_line)} characters; at most {longest} are taken. "
                    "What is longer belongs into the message."
                )
            object.__setattr__(self, field, one_line)
        if self.frame == "none":
            self._check_nothing_is_filled_in()
        else:
            self._check_template()

    @classmethod
    def of(cls, asked: Filled | None) -> Framing:
        """Return the frame in which something was asked; None: in none."""
        if asked is None:
            return cls()
        return cls(asked["frame"], asked["hint"], asked["name"], asked["template"])

    def _check_nothing_is_filled_in(self) -> None:
        for field in ("hint", "name", "template"):
            if getattr(self, field):
                raise InputError(
                    f"There is a {field} but no frame, so nothing would say it to the model; "
                    f"choose a frame: {' or '.join(FRAMES)}."
                )

    def _check_template(self) -> None:
        template = self._template
        check_characters(template, "frame's template")
        if len(template) > LONGEST_TEMPLATE:
            raise InputError(
                f"The frame's template has {len(template)} characters; at most "
                f"{LONGEST_TEMPLATE} are taken."
            )
        fields = set(_FIELD.findall(template))
        if unknown := sorted(fields - set(_FIELDS)):
            known = ", ".join(f"{{{field}}}" for field in _FIELDS)
            raise InputError(
                f"The frame's template has a field {{{unknown[0]}}}; there are {known}."
            )
        needed = [field for field in ("hint", "name") if getattr(self, field)]
        for field in ("message", *needed):
            if field not in fields:
                raise InputError(
                    f"The frame's template has no place for the {field}; write {{{field}}} where "
                    "it belongs."
                )

    @property
    def _template(self) -> str:
        if self.template is not None:
            return normalize(self.template)
        return (FRAMES if self.name else FRAMES_WITHOUT_NAME)[self.frame]

    def around(self, message: str) -> str:
        """Return a message in its frame. *Raises*: InputError where the message is empty."""
        if self.frame == "none":
            return message
        if not message.strip():
            raise InputError("There is no message to put a frame around; paste or write one.")
        sender = signer(message) or _SOMEBODY
        filled = {"message": message, "hint": self.hint, "name": self.name, "sender": sender}
        lines = [
            _FIELD.sub(lambda found: filled[found[1]], line)
            for line in self._template.split("\n")
            if all(filled[field] for field in _FIELD.findall(line))
        ]
        return "\n".join(lines)

    def around_last(self, messages: Sequence[Message]) -> list[Message]:
        """Return a conversation with the frame around its user's last message.

        After that message a turn of the assistant may be open. *Raises*: InputError where the
        conversation does not end so.
        """
        framed = list(messages)
        if self.frame == "none":
            return framed
        place = self._place(messages)
        last = framed[place]
        framed[place] = {**last, "content": self.around(last["content"])}
        return framed

    def filled(self, messages: Sequence[Message]) -> Filled | None:
        """Return what stands in the frame of a conversation; None where there is no frame.

        *Raises*: InputError as `around_last`.
        """
        if self.frame == "none":
            return None
        return Filled(
            frame=self.frame,
            message=messages[self._place(messages)]["content"],
            hint=self.hint,
            name=self.name,
            template=self.template,
        )

    def _place(self, messages: Sequence[Message]) -> int:
        """Return which message of a conversation the frame stands around."""
        roles = [message["role"] for message in messages]
        ends = len(roles) - (roles[-1:] == ["assistant"])
        if ends < 1 or roles[ends - 1] != "user":
            raise InputError(
                f"A frame ({self.frame}) stands around the user's last message, and this "
                "conversation does not end with one; send it last, or without a frame."
            )
        return ends - 1

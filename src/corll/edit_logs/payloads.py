"""Prompts and texts in what tracing tools keep of a call: texts, messages, or objects around them.

Messages are OpenAI's (`role`, `content`) or LangChain's (`type`, `content`, or `kwargs` of a
serialised one, whose class says the role where no `type` does). An object around them is asked for
its field of a known name, or for its only one. Parts of thinking are passed over; a message with
any other part that is no text cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from corll.errors import RecordError
from corll.files.formats import Record, kind_of, storable
from corll.records import Message, Prompt

PROMPT_NAMES = tuple("messages chat prompt input instruction question query text content".split())
TEXT_NAMES = tuple("output text answer response completion content result generation".split())
_AROUND = ("choices", "generations", "messages", "message")
"""What holds a text or messages in the answer of a model's API."""
_OF_VERDICTS = {"comment", "label", "score"}
"""What a verdict on a text says; none of it is the text."""
_ROLES = {"human": "user", "ai": "assistant"}
"""LangChain's names of roles."""
_CLASSES = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
}
"""LangChain's classes of messages."""
_THINKING = {"thinking", "redacted_thinking", "reasoning"}
"""Parts of a message that are no part of its text: Anthropic's, and LangChain's."""

_TOO_DEEP = "is nested too deeply"


class Payload(NamedTuple):
    """A value of a record and the name of its field."""

    record: Record
    field: str
    value: Any


def prompt_in(record: Record, field: str, value: Any) -> Prompt:
    """Return the prompt that a payload holds. *Raises*: RecordError where it holds none."""
    try:
        return _prompt(record, field, value)
    except RecursionError:
        record.fail(field, _TOO_DEEP)


def answer_in(record: Record, field: str, value: Any, *, own: Sequence[str] | None = None) -> str:
    """Return the text that a payload answers with. *Raises*: RecordError where it has none.

    With `own` an object must have it by one of these names or by a known one.
    """
    try:
        return _answer(record, field, _decoded(value), own)
    except RecursionError:
        record.fail(field, _TOO_DEEP)


def corrected(draft: Payload, edit: Payload) -> tuple[str, str]:
    """Return the text of an output, and that of what it was corrected to.

    An edit that is JSON is read as the output is: it stands as it is where the output does. An
    object has its text by the name that the output has it by, or by a known one, so that what says
    a verdict is not taken for the text. *Raises*: RecordError where either has none.
    """
    own = _own_name(_decoded(draft.value))
    if not _is_json(edit.value):
        return answer_in(*draft), answer_in(*edit, own=own)
    try:
        text = answer_in(*draft)
    except RecordError:
        if not isinstance(draft.value, str):
            raise
        text = storable(*draft)
    stands_as_it_is = text == draft.value or _is_json(text)
    return text, storable(*edit) if stands_as_it_is else answer_in(*edit, own=own)


def is_of_text(correction: Any) -> bool:
    """Say whether a correction may say another text, and not only another verdict."""
    if isinstance(correction, str):
        return bool(correction.strip())
    if not isinstance(correction, dict):
        return False
    told = (value for name, value in correction.items() if name not in _OF_VERDICTS)
    return any(isinstance(value, str | list | dict) for value in told)


def named_prompt(record: Record, field: str, fields: Mapping[str, Any]) -> Prompt:
    """Return the prompt among the fields of a labelling task, as `prompt_in` finds it."""
    name = _name_among(record, field, fields, PROMPT_NAMES, "the prompt")
    return prompt_in(record, f"{field}.{name}", fields[name])


def _decoded(value: Any) -> Any:
    """Return what a text of JSON says, where it says an object or a list; else the value."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _prompt(record: Record, field: str, value: Any) -> Prompt:
    value = _decoded(value)
    if isinstance(value, str):
        if not value.strip():
            record.fail(field, "is empty")
        return storable(record, field, value)
    if isinstance(value, dict) and _is_call(value):
        place, argument = _argument(record, field, value)
        return _prompt(record, f"{field}.{place}", argument)
    if isinstance(value, dict) and not _is_message(value):
        name = _name_among(record, field, value, PROMPT_NAMES, "the prompt")
        return _prompt(record, f"{field}.{name}", value[name])
    messages = _messages(record, field, value)
    if messages[-1]["role"] == "assistant":
        record.fail(field, "the last message is the assistant's: there is nothing to answer")
    return messages


def _is_json(value: Any) -> bool:
    """Say whether a value is a text that is an object or a list of JSON."""
    return isinstance(value, str) and not isinstance(_decoded(value), str)


def _answer(record: Record, field: str, value: Any, own: Sequence[str] | None) -> str:
    """Return the text of a payload as `answer_in`; the texts inside it stand as they are."""
    if isinstance(value, str):
        return storable(record, field, value)
    if isinstance(value, list):
        if not value:
            record.fail(field, "is empty")
        return _answer(record, f"{field}[{len(value) - 1}]", value[-1], own)
    if not isinstance(value, dict):
        record.fail(field, f"a text or a message is expected, not {kind_of(value)}")
    if _is_message(value):
        return _message(record, field, value)["content"]
    if around := _around(value, own):
        inner = value[around]
        # Of several answers to one request the first is shown.
        first = around != "messages" and isinstance(inner, list)
        where, inner = (f"{around}[0]", inner[0]) if first else (around, inner)
        return _answer(record, f"{field}.{where}", inner, own)
    known = TEXT_NAMES if own is None else (*own, *TEXT_NAMES)
    name = _name_among(record, field, value, known, "the text", or_the_only=own is None)
    return _answer(record, f"{field}.{name}", value[name], own)


def _around(value: Mapping[str, Any], own: Sequence[str] | None) -> str | None:
    """Return the name of what holds an answer; a text there may be a verdict's message."""
    for name in _AROUND:
        may_be_text = own is None or name in own
        if value.get(name) and (may_be_text or not isinstance(value[name], str)):
            return name
    return None


def _own_name(value: Any) -> tuple[str, ...]:
    """Return the name by which an output has its text; nothing where no name says it."""
    if not isinstance(value, dict) or _is_message(value):
        return ()
    around = _around(value, None)
    names = [around] if around else _names_among(value, TEXT_NAMES, or_the_only=True)[:1]
    return tuple(name for name in names if name not in _OF_VERDICTS)


def _name_among(
    record: Record,
    field: str,
    fields: Mapping[str, Any],
    known: Sequence[str],
    what: str,
    *,
    or_the_only: bool = True,
) -> str:
    """Return the name of the field that has what is wanted."""
    found = _names_among(fields, known, or_the_only=or_the_only)
    if not found:
        names = ", ".join(map(repr, fields)) or "nothing"
        record.fail(field, f"holds {names}, and which is {what} is not known; name it {known[0]!r}")
    return found[0]


def _names_among(
    fields: Mapping[str, Any], known: Sequence[str], *, or_the_only: bool
) -> list[str]:
    """Return the known names of fields that say something, or that of the only one that does."""
    found = [name for name in known if fields.get(name)]
    told = [name for name, value in fields.items() if isinstance(value, str | list) and value]
    return told if not found and or_the_only and len(told) == 1 else found


def _is_call(value: Mapping[str, Any]) -> bool:
    """Say whether a payload is the arguments of a function, as Langfuse's `@observe` keeps them."""
    args, kwargs = value.get("args"), value.get("kwargs", {})
    return (
        isinstance(args, list) and isinstance(kwargs, dict) and value.keys() <= {"args", "kwargs"}
    )


def _argument(record: Record, field: str, call: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the place and the value of the argument that has the prompt."""
    args, kwargs = call["args"], call.get("kwargs", {})
    given = {f"args[{n}]": value for n, value in enumerate(args)}
    told = {name: value for name, value in given.items() if _says_something(value)}
    named = [name for name in PROMPT_NAMES if _says_something(kwargs.get(name))]
    if named and not told:
        return f"kwargs.{named[0]}", kwargs[named[0]]
    told |= {f"kwargs.{name}": value for name, value in kwargs.items() if _says_something(value)}
    if len(told) != 1:
        names = ", ".join(told) or "nothing"
        record.fail(field, f"holds {names}, and which is the prompt is not known")
    return next(iter(told.items()))


def _says_something(value: Any) -> bool:
    return isinstance(value, str | list | dict) and bool(value)


def _is_message(value: Mapping[str, Any]) -> bool:
    is_serialised = "lc" in value and isinstance(value.get("kwargs"), dict)
    return is_serialised or ("content" in value and ("role" in value or "type" in value))


def _messages(record: Record, field: str, value: Any) -> list[Message]:
    if isinstance(value, dict):
        return [_message(record, field, value)]
    if not isinstance(value, list) or not value:
        record.fail(field, f"a text or a list of messages is expected, not {kind_of(value)}")
    if len(value) == 1 and isinstance(value[0], list):
        return _messages(record, f"{field}[0]", value[0])
    return [_message(record, f"{field}[{n}]", item) for n, item in enumerate(value)]


def _message(record: Record, field: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        record.fail(field, f"a message is expected, not {kind_of(value)}")
    told = value["kwargs"] if "lc" in value and isinstance(value.get("kwargs"), dict) else value
    role = told.get("role") or told.get("type") or _role_of_class(value)
    if not isinstance(role, str):
        record.fail(f"{field}.role", f"a text is expected, not {kind_of(role)}")
    return {"role": _ROLES.get(role, role), "content": _content(record, field, told)}


def _role_of_class(serialised: Mapping[str, Any]) -> str | None:
    """Return the role that the class of a serialised message says, the last of its `id`."""
    path = serialised.get("id")
    name = path[-1] if isinstance(path, list) and path else None
    return _CLASSES.get(name.removesuffix("Chunk")) if isinstance(name, str) else None


def _content(record: Record, field: str, message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [
            part if isinstance(part, str) else _part(record, f"{field}.content[{n}]", part)
            for n, part in enumerate(content)
        ]
        return storable(record, f"{field}.content", "".join(parts))
    if content is None:  # a message that only calls tools
        return ""
    if not isinstance(content, str):
        record.fail(f"{field}.content", f"a text is expected, not {kind_of(content)}")
    return storable(record, f"{field}.content", content)


def _part(record: Record, field: str, part: Any) -> str:
    if isinstance(part, dict) and part.get("type") in _THINKING:
        return ""
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        record.fail(field, "a part of text is expected; images and sounds are not read")
    return text

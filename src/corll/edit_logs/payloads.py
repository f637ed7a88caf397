"""Prompts and texts in what tracing tools keep of a call: texts, messages, or objects around them.

Messages are OpenAI's (`role`, `content`) or LangChain's (`type`, `content`, or `kwargs` of a
serialised one). An object around them is asked for its field of a known name, or for its only one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from corll.files.formats import Record, kind_of, storable
from corll.records import Message, Prompt

PROMPT_NAMES = tuple("messages chat prompt input instruction question query text content".split())
TEXT_NAMES = tuple("output text answer response completion content result generation".split())
_ROLES = {"human": "user", "ai": "assistant"}
"""LangChain's names of roles."""


def prompt_in(record: Record, field: str, value: Any) -> Prompt:
    """Return the prompt that a payload holds. *Raises*: RecordError where it holds none."""
    value = _decoded(value)
    if isinstance(value, str):
        if not value.strip():
            record.fail(field, "is empty")
        return storable(record, field, value)
    if isinstance(value, dict) and not _is_message(value):
        name = _name_among(record, field, value, PROMPT_NAMES, "the prompt")
        return prompt_in(record, f"{field}.{name}", value[name])
    messages = _messages(record, field, value)
    if messages[-1]["role"] == "assistant":
        record.fail(field, "the last message is the assistant's: there is nothing to answer")
    return messages


def answer_in(record: Record, field: str, value: Any) -> str:
    """Return the text that a payload answers with. *Raises*: RecordError where it has none."""
    value = _decoded(value)
    if isinstance(value, str):
        return storable(record, field, value)
    if isinstance(value, list):
        if not value:
            record.fail(field, "is empty")
        return answer_in(record, f"{field}[{len(value) - 1}]", value[-1])
    if not isinstance(value, dict):
        record.fail(field, f"a text or a message is expected, not {kind_of(value)}")
    if _is_message(value):
        return _message(record, field, value)["content"]
    for around in ("choices", "generations", "messages", "message"):
        if value.get(around):
            inner = value[around]
            # Of several answers to one request the first is shown.
            first = around != "messages" and isinstance(inner, list)
            where, inner = (f"{around}[0]", inner[0]) if first else (around, inner)
            return answer_in(record, f"{field}.{where}", inner)
    name = _name_among(record, field, value, TEXT_NAMES, "the text")
    return answer_in(record, f"{field}.{name}", value[name])


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


def _name_among(
    record: Record, field: str, fields: Mapping[str, Any], known: Sequence[str], what: str
) -> str:
    """Return the name of the field that has what is wanted."""
    told = [name for name, value in fields.items() if isinstance(value, str | list) and value]
    found = [name for name in known if fields.get(name)] or told
    if not found or (found is told and len(told) > 1):
        names = ", ".join(map(repr, fields)) or "nothing"
        record.fail(field, f"holds {names}, and which is {what} is not known; name it {known[0]!r}")
    return found[0]


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
    role = told.get("role") or told.get("type")
    if not isinstance(role, str):
        record.fail(f"{field}.role", f"a text is expected, not {kind_of(role)}")
    return {"role": _ROLES.get(role, role), "content": _content(record, field, told)}


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
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        record.fail(field, "a part of text is expected; images and sounds are not read")
    return text

"""Files of prompts and of preferences, in the forms that others read and write.

Prompts: `.txt`, one a line, or `.jsonl` with a field "prompt". Preferences: JSON lines in TRL's
form (`prompt`, `chosen`, `rejected`; texts or messages) or OpenAI's (`input.messages`,
`preferred_output`, `non_preferred_output`). A file whose name ends in `.gz` is read through gzip.
Blank lines mean nothing; anything else that does not fit is a `RecordError` that names file, line
and field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from corll.errors import InputError, RecordError
from corll.frames import Framing
from corll.records import Preference, Prompt, messages_of, template_kwargs_of, text_of
from corll.untrusted import MOST_TEXT_BYTES, read_bounded, unpack

_TEMPLATE_KWARGS = "chat_template_kwargs"


def read_prompts(path: str | Path) -> list[Prompt]:
    """Read the prompts of a `.txt` or `.jsonl` file, in its order.

    *Raises*: InputError where the file cannot be read or is empty; RecordError for a bad line.
    """
    return [prompt for prompt, _ in read_prompt_records(path)]


def read_prompt_records(path: str | Path) -> list[tuple[Prompt, Record]]:
    """Read prompts as `read_prompts`, each with all that its line says.

    *Raises*: InputError where the file cannot be read or is empty; RecordError for a bad line.
    """
    path = Path(path)
    if path.suffix == ".txt":
        records = [Record(path, line, {"prompt": text.strip()}) for line, text in _lines(path)]
    elif path.suffix == ".jsonl":
        records = list(read_records(path))
    else:
        raise InputError(
            f"{path}: prompts are read from .txt (one a line) or .jsonl (with a field 'prompt')."
        )
    prompts = [(prompt_of(record, "prompt"), record) for record in records]
    return _not_empty(path, prompts, "prompts")


def framed_prompt(prompt: Prompt, record: Record, framing: Framing) -> Prompt:
    """Return a prompt in a frame with the `hint` and the `sign_as` of its line, where it has them.

    *Raises*: RecordError for what does not fit the frame.
    """
    hint, name = record.text_if_any("hint"), record.text_if_any("sign_as")
    try:
        return in_frame(prompt, framing, hint=hint, name=name)
    except InputError as error:
        raise RecordError(record.path, record.line, str(error)) from error


def in_frame(
    prompt: Prompt, framing: Framing, *, hint: str | None = None, name: str | None = None
) -> Prompt:
    """Return a prompt in a frame, with a hint and a name of its own where they are given.

    *Raises*: InputError for what does not fit the frame.
    """
    told = replace(
        framing,
        hint=framing.hint if hint is None else hint,
        name=framing.name if name is None else name,
    )
    content = messages_of(prompt)
    return told.around(content) if isinstance(content, str) else told.around_last(content)


def read_preferences(path: str | Path) -> list[Preference]:
    """Read the preferences of a JSON-lines file in TRL's or OpenAI's form, in its order.

    *Raises*: InputError where the file cannot be read or is empty; RecordError for a bad line.
    """
    path = Path(path)
    preferences = [preference_of(record) for record in read_records(path)]
    return _not_empty(path, preferences, "preferences")


def preference_of(record: Record) -> Preference:
    """Return the preference of a line in OpenAI's form, if it has an input, or else in TRL's.

    *Raises*: RecordError.
    """
    return _from_openai(record) if "input" in record.fields else _from_trl(record)


def read_records(path: str | Path) -> Iterator[Record]:
    """Yield the JSON objects of a JSON-lines file, in its order.

    *Raises*: InputError where the file cannot be read; RecordError for a line that is no object.
    """
    path = Path(path)
    for line, text in _lines(path):
        yield Record.parse(path, line, text)


def to_trl(preference: Preference) -> dict[str, Any]:
    """Return a preference as a row of TRL's datasets, conversational for a prompt of messages.

    What its chat template is told beside the messages is in TRL's column for that.
    """
    chosen, rejected = text_of(preference.chosen), text_of(preference.rejected)
    content = messages_of(preference.prompt)
    if isinstance(content, str):
        return {"prompt": content, "chosen": chosen, "rejected": rejected}
    told = template_kwargs_of(preference.prompt)
    return {
        "prompt": [dict(message) for message in content],
        "chosen": [_assistant(chosen)],
        "rejected": [_assistant(rejected)],
        **({_TEMPLATE_KWARGS: dict(told)} if told else {}),
    }


def to_openai(preference: Preference) -> dict[str, Any]:
    """Return a preference as a line of OpenAI's DPO files; a plain prompt becomes a message."""
    content = messages_of(preference.prompt)
    messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
    return {
        "input": {"messages": [dict(message) for message in messages]},
        "preferred_output": [_assistant(text_of(preference.chosen))],
        "non_preferred_output": [_assistant(text_of(preference.rejected))],
    }


@dataclass(frozen=True)
class Record:
    """A JSON object of a file, with its place in the file, which its errors name.

    `within` is where it stands inside a larger object, such as `scores[2].`, and begins the names
    of its fields.
    """

    path: object
    line: int
    fields: Mapping[str, Any]
    within: str = ""

    @classmethod
    def parse(cls, path: Path, line: int, text: str) -> Record:
        """Parse a line. *Raises*: RecordError where the text is not a JSON object."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecordError(path, line, f"not JSON ({error})") from error
        if not isinstance(fields, dict):
            raise RecordError(path, line, f"a JSON object is expected, not {kind_of(fields)}")
        return cls(path, line, fields)

    def fail(self, field: str, problem: str) -> NoReturn:
        raise RecordError(self.path, self.line, problem, field=self.within + field)

    def part(self, field: str, value: Any) -> Record:
        """Return an object inside this one. *Raises*: RecordError where the value is no object."""
        if not isinstance(value, dict):
            self.fail(field, f"an object is expected, not {kind_of(value)}")
        return Record(self.path, self.line, value, f"{self.within}{field}.")

    def get(self, field: str) -> Any:
        """Return the value at a dotted path, such as `input.messages`."""
        value: Any = self.fields
        for key in field.split("."):
            if not isinstance(value, dict) or key not in value:
                self.fail(field, "is missing")
            value = value[key]
        return value

    def text(self, field: str) -> str:
        """Return the text at a dotted path."""
        value = self.get(field)
        if not isinstance(value, str):
            self.fail(field, f"a text is expected, not {kind_of(value)}")
        return storable(self, field, value)

    def text_if_any(self, field: str) -> str | None:
        """Return the text of a field; None where it is not there or null."""
        return None if self.fields.get(field) is None else self.text(field)


def _from_trl(record: Record) -> Preference:
    prompt = prompt_of(record, "prompt")
    told = record.fields.get(_TEMPLATE_KWARGS)
    if told and not isinstance(told, dict):
        record.fail(_TEMPLATE_KWARGS, f"an object is expected, not {kind_of(told)}")
    if told and isinstance(prompt, list):
        prompt = {"messages": prompt, "chat_template_kwargs": told}
    read = Record.text if isinstance(prompt, str) else _reply
    chosen, rejected = read(record, "chosen"), read(record, "rejected")
    return _preference(record, prompt, chosen=("chosen", chosen), rejected=rejected)


def _from_openai(record: Record) -> Preference:
    prompt = _messages(record, "input.messages")
    chosen, rejected = _reply(record, "preferred_output"), _reply(record, "non_preferred_output")
    return _preference(record, prompt, chosen=("preferred_output", chosen), rejected=rejected)


def _preference(
    record: Record, prompt: Prompt, *, chosen: tuple[str, str], rejected: str
) -> Preference:
    field, text = chosen
    # Models do write empty drafts; an empty edit would teach them to.
    if not text.strip():
        record.fail(field, "is empty, and would teach the model to say nothing")
    return Preference(prompt=prompt, chosen=text, rejected=rejected)


def prompt_of(record: Record, field: str) -> Prompt:
    value = record.get(field)
    if isinstance(value, list):
        return _messages(record, field)
    if not isinstance(value, str):
        record.fail(field, f"a text or a list of messages is expected, not {kind_of(value)}")
    if not value.strip():
        record.fail(field, "is empty")
    return storable(record, field, value)


def _messages(record: Record, field: str) -> list[dict[str, str]]:
    """Return a conversation whose last message is not the assistant's own."""
    value = record.get(field)
    if not isinstance(value, list) or not value:
        record.fail(field, f"a list of messages is expected, not {kind_of(value)}")
    messages = [_message(record, f"{field}[{i}]", item) for i, item in enumerate(value)]
    if messages[-1]["role"] == "assistant":
        record.fail(field, "the last message is the assistant's: there is nothing to answer")
    return messages


def _message(record: Record, field: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        record.fail(field, f"a message with role and content is expected, not {kind_of(value)}")
    # Null stands for "not there" in what other tools export (tool_calls, name).
    given = {key: item for key, item in value.items() if item is not None}
    if isinstance(given.get("content"), list):
        given["content"] = _joined(record, f"{field}.content", given["content"])
    keys = ["role", "content", *({"name"} & given.keys())]
    for key in keys:
        if not isinstance(given.get(key), str):
            record.fail(f"{field}.{key}", f"a text is expected, not {kind_of(given.get(key))}")
    if unknown := sorted(set(given) - set(keys)):
        record.fail(
            f"{field}.{unknown[0]}", "is not supported; messages have role, content and name"
        )
    return {key: storable(record, f"{field}.{key}", given[key]) for key in keys}


def _joined(record: Record, field: str, parts: list[Any]) -> str:
    """Return what the parts of a message say, as the API reads them."""
    for number, part in enumerate(parts):
        is_text = isinstance(part, dict) and part.get("type") == "text"
        if not is_text or not isinstance(part.get("text"), str):
            record.fail(f"{field}[{number}]", 'is not {"type": "text", "text": …}')
    return "".join(part["text"] for part in parts)


def _reply(record: Record, field: str) -> str:
    """Return the text of a response that is given as a list of one assistant's message."""
    value = record.get(field)
    if not isinstance(value, list) or len(value) != 1:
        found = f"{len(value)} messages" if isinstance(value, list) else kind_of(value)
        record.fail(field, f"a list of one assistant's message is expected, not {found}")
    message = _message(record, f"{field}[0]", value[0])
    if message["role"] != "assistant":
        record.fail(f"{field}[0].role", f"'assistant' is expected, not {message['role']!r}")
    return message["content"]


def storable(record: Record, field: str, text: str) -> str:
    r"""Refuse half a surrogate pair (`\ud800`), which JSON can hold: it has no tokens."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        record.fail(field, "holds half of a surrogate pair, which is not a character")
    return text


def read_text(path: Path) -> str:
    """Read a file of UTF-8, through gzip where its name ends so.

    *Raises*: InputError, also for more than 512 MB of text, packed or not.
    """
    try:
        content = read_bounded(path, MOST_TEXT_BYTES)
        if path.suffix == ".gz":
            content = unpack(path, content)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start}); convert it, for example with iconv."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers; only a line feed ends a line."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def _not_empty(path: Path, records: list[Any], what: str) -> list[Any]:
    if not records:
        raise InputError(f"{path} holds no {what}.")
    return records


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def kind_of(value: Any) -> str:
    """Return what kind of JSON a value is, for messages."""
    names = {
        type(None): "nothing",
        str: "a text",
        list: "a list",
        dict: "an object",
        bool: "a bool",
    }
    if value == []:
        return "an empty list"
    return names.get(type(value), "a number")

"""Files of preferences as logs: what was chosen is taken for the edit of what was rejected.

- OpenAI's preference format, JSON lines: `input.messages`, `preferred_output`,
  `non_preferred_output`. *Source*: OpenAI's guide "Direct preference optimization".
- TRL's preference format, JSON lines: `prompt`, `chosen`, `rejected`, as texts or messages. Without
  `prompt`, or with a text for it beside messages, it is what both sides begin with. *Source*: TRL's
  documentation, "Dataset formats and types"; for the beginning `trl.extract_prompt` and
  `trl.maybe_extract_prompt`.

Both may have `user` and `time` beside that, which neither project knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import Found, LoggedEdit, item_by_item, time_in, user_in
from corll.files.formats import Record, kind_of, preference_of
from corll.records import Prompt, Verbatim, text_of


def read_openai(path: Path) -> Iterator[Found]:
    """Yield the edits of a file in OpenAI's format. *Raises*: InputError, RecordError."""
    yield from item_by_item(read_objects(path), _of_openai)


def read_trl(path: Path) -> Iterator[Found]:
    """Yield the edits of a file in TRL's format. *Raises*: InputError, RecordError."""
    yield from item_by_item(read_objects(path), _of_trl)


def _of_openai(record: Record) -> Iterator[Found]:
    record.get("input")
    yield edit_of_preference(record)


def _of_trl(record: Record) -> Iterator[Found]:
    for side in ("chosen", "rejected"):
        record.get(side)
    prompt = record.fields.get("prompt")
    is_said_twice = isinstance(prompt, str) and isinstance(record.fields["chosen"], list)
    is_explicit = prompt is not None and not is_said_twice
    yield edit_of_preference(record if is_explicit else _with_prompt(record))


def edit_of_preference(record: Record) -> LoggedEdit:
    """Return the edit that a line of preferences stands for. *Raises*: RecordError."""
    preference = preference_of(record)
    return LoggedEdit(
        preference.prompt,
        text_of(preference.rejected),
        text_of(preference.chosen),
        user_in(record.fields.get("user")),
        time_in(record, "time"),
        record.line,
    )


def _with_prompt(record: Record) -> Record:
    """Return a line whose sides begin with their prompt as one that has it by itself.

    Of texts the prompt ends where a word does, and is gone on with as it stands.
    """
    chosen, rejected = (_side(record, side) for side in ("chosen", "rejected"))
    if type(chosen) is not type(rejected):
        record.fail("rejected", f"{kind_of(chosen)} is expected, as chosen is")
    shared = sum(1 for _ in takewhile(bool, map(eq, chosen, rejected)))
    if isinstance(chosen, str):
        if shared and chosen[shared - 1] == " ":
            shared -= 1
        prompt: Prompt = Verbatim(chosen[:shared])
    else:
        # An edit of which nothing but the end was kept still answers the last message but one.
        shared = min(shared, len(chosen) - 1, len(rejected) - 1)
        prompt = chosen[:shared]
    if not prompt:
        given = "is missing" if record.fields.get("prompt") is None else "is a text beside messages"
        record.fail("prompt", f"{given}, and chosen and rejected do not begin alike")
    told = {"prompt": prompt, "chosen": chosen[shared:], "rejected": rejected[shared:]}
    return Record(record.path, record.line, {**record.fields, **told}, record.within)


def _side(record: Record, field: str) -> Any:
    value = record.fields[field]
    if not isinstance(value, str | list) or not value:
        record.fail(field, f"a text or a list of messages is expected, not {kind_of(value)}")
    return value

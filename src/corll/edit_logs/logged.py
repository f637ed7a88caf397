"""An edit as a log has it, and whose edits came first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from corll.errors import RecordError
from corll.files.formats import Record, kind_of, storable
from corll.records import Prompt
from corll.text import same_text

_MILLISECONDS_FROM = 1e11
"""Numbers from here on are milliseconds: as seconds they would be of the year 5138."""


@dataclass(frozen=True, slots=True)
class LoggedEdit:
    """A draft that somebody had before them, and the text that they sent in its place.

    `user` is who edited, by the name that the log has for them, and empty where it names nobody.
    `line` is where the file has it. *Units*: `time` in seconds since 1970; None where the log does
    not say.
    """

    prompt: Prompt
    draft: str
    sent: str
    user: str = ""
    time: float | None = None
    line: int = 0

    @property
    def is_acceptance(self) -> bool:
        """Whether the draft was sent as it was."""
        return same_text(self.draft, self.sent)


Found = LoggedEdit | RecordError
"""An edit, or why an item of a file is passed over: its error names the place."""

Item = TypeVar("Item")


def item_by_item(items: Iterable[Item], read: Callable[[Item], Iterable[Found]]) -> Iterator[Found]:
    """Yield what is read of each item, and of one that cannot be read its error."""
    for item in items:
        try:
            yield from read(item)
        except RecordError as error:
            yield error


def by_user(edits: Iterable[LoggedEdit], *, most: int | None = None) -> dict[str, list[LoggedEdit]]:
    """Return each user's edits, the earliest first; of more than `most` the latest.

    They are in the order of the file where the log does not say the time of each. Users come in
    the order in which the file names them.
    """
    found: dict[str, list[LoggedEdit]] = {}
    for edit in edits:
        found.setdefault(edit.user, []).append(edit)
    return {user: _in_order(own)[-most if most else 0 :] for user, own in found.items()}


def user_in(*names: Any) -> str:
    """Return the first of these names that is one; empty where none is."""
    found = (name for name in names if name not in (None, "") and not isinstance(name, dict | list))
    return str(next(found, ""))


def time_in(record: Record, *fields: str) -> float | None:
    """Return the time that the first of these fields says which is there.

    It is ISO 8601, in UTC where it does not say, or a number of seconds or milliseconds since 1970.
    *Raises*: RecordError where it is neither.
    """
    field = next((name for name in fields if record.fields.get(name) not in (None, "")), None)
    if field is None:
        return None
    value = record.fields[field]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value >= _MILLISECONDS_FROM else float(value)
    try:
        said = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        record.fail(field, f"a time is expected, as 2026-11-30T12:00:00Z, not {value!r}")
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()


def sent_in(record: Record, field: str, text: str) -> str:
    """Return a text that was sent. *Raises*: RecordError where it says nothing."""
    if not text.strip():
        record.fail(field, "is empty, and would teach the model to say nothing")
    return storable(record, field, text)


def text_in(record: Record, field: str) -> str:
    """Return the text of a field. *Raises*: RecordError where it is missing or no text."""
    value = record.fields.get(field)
    if field not in record.fields:
        record.fail(field, "is missing")
    if not isinstance(value, str):
        record.fail(field, f"a text is expected, not {kind_of(value)}")
    return storable(record, field, value)


def no_such(record: Record, field: str, what: str) -> RecordError:
    """Return the error of a field that names what the file does not hold."""
    where = record.within + field
    return RecordError(record.path, record.line, f"names {what}", field=where)


def _in_order(edits: list[LoggedEdit]) -> list[LoggedEdit]:
    times = {n: edit.time for n, edit in enumerate(edits) if edit.time is not None}
    if len(times) < len(edits):
        return edits
    return [edits[n] for n in sorted(times, key=lambda n: (times[n], n))]

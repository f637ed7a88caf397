"""Our own form of a log, and what `corll export` writes.

JSON lines with `prompt` (a text or messages), `draft`, `sent` and perhaps `user` and `time`, or
CSV with these columns. Lines with `chosen` and `rejected`, or with `input`, are preferences as
`corll export` writes them: the edit before the draft.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corll.edit_logs.logged import LoggedEdit, sent_in, time_in, user_in
from corll.edit_logs.preferences import edit_of_preference
from corll.files.formats import Record, prompt_of, read_records
from corll.files.tables import read_table


def read_plain(path: Path) -> Iterator[LoggedEdit]:
    """Yield the edits of a log in our own form. *Raises*: InputError, RecordError."""
    if path.suffix == ".csv":
        records = read_table(path, ("prompt", "draft", "sent"), ("user", "time"))
        # A cell that is empty is a draft that said nothing.
        yield from map(_edit, records)
        return
    for record in read_records(path):
        is_preference = "sent" not in record.fields and {"chosen", "input"} & record.fields.keys()
        yield edit_of_preference(record) if is_preference else _edit(record)


def _edit(record: Record) -> LoggedEdit:
    return LoggedEdit(
        prompt_of(record, "prompt"),
        record.text("draft"),
        sent_in(record, "sent", record.text("sent")),
        user_in(record.fields.get("user")),
        time_in(record, "time"),
        record.line,
    )

"""Langfuse: traces and observations, and the scores that correct their output.

A correction is a score of data type CORRECTION, by the name `output`, whose value is the text that
should have stood there. It stands in the `scores` of its trace (a trace's "Download JSON"), or as
an object of its own in the same file, beside the trace or the observation that it names; as the
API answers (`traceId`, `subject`, `{"data": […]}`) or as blob storage has it (`trace_id`).
*Source*: Langfuse's documentation, "Corrections", "Scores API", "How do I export a single trace or
session?" and "Blob storage export field reference".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import (
    Found,
    LoggedEdit,
    item_by_item,
    no_such,
    sent_in,
    text_in,
    time_in,
    user_in,
)
from corll.edit_logs.payloads import Payload, corrected, prompt_in
from corll.errors import RecordError
from corll.files.formats import Record, kind_of

_CORRECTION = "CORRECTION"


def read_langfuse(path: Path) -> Iterator[Found]:
    """Yield the corrections of a file, in its order. *Raises*: InputError, RecordError."""
    subjects: dict[str, Record] = {}
    scores: list[tuple[Record, Record | None]] = []
    for record in read_objects(path):
        try:
            parts = list(_parts(record))
        except RecordError as error:
            yield error
            continue
        for part, around in parts:
            if _said(part, "dataType", "data_type") is not None:
                scores.append((part, around))
            elif isinstance(part.fields.get("id"), str):
                subjects[part.fields["id"]] = part

    def edits(scored: tuple[Record, Record | None]) -> Iterator[Found]:
        score, around = scored
        if _said(score, "dataType", "data_type") == _CORRECTION and (field := _field(score)):
            yield _edit(score, field, _subject(score, around, subjects), subjects)

    yield from item_by_item(scores, edits)


def _parts(record: Record) -> Iterator[tuple[Record, Record | None]]:
    """Yield an object and all that it holds of observations and scores, with what holds it."""
    if isinstance(record.fields.get("data"), list):
        for part in _objects(record, "data"):
            yield from _parts(part)
        return
    yield record, None
    for field in ("observations", "scores"):
        for part in _objects(record, field):
            yield part, record


def _objects(record: Record, field: str) -> list[Record]:
    """Return the objects of a list; where the API names things by their ids there are none."""
    items = record.fields.get(field) or []
    if not isinstance(items, list):
        record.fail(field, f"a list is expected, not {kind_of(items)}")
    return [record.part(f"{field}[{n}]", one) for n, one in enumerate(items) if type(one) is dict]


def _field(score: Record) -> str | None:
    """Return the field that has the text of a correction; None for one that was taken back.

    The API of before v3 has the text in `stringValue`, beside a number.
    """
    if score.fields.get("name", "output") != "output":
        return None
    fields = ("stringValue", "string_value", "value")
    field = next((one for one in fields if isinstance(score.fields.get(one), str)), "value")
    return field if text_in(score, field).strip() else None


def _subject(score: Record, around: Record | None, subjects: dict[str, Record]) -> Record:
    """Return the trace or the observation whose output a score corrects."""
    given = score.fields.get("subject")
    if isinstance(given, dict):
        field, name = "subject.id", given.get("id")
    elif name := _said(score, "observationId", "observation_id"):
        field = "observationId"
    else:
        field, name = "traceId", _said(score, "traceId", "trace_id")
        if name is None and around is not None:
            return around
    if name is None:
        score.fail(field, "is missing")
    if name not in subjects:
        raise no_such(score, field, f"{name!r}, of which this file has no input and output")
    return subjects[name]


def _edit(score: Record, field: str, subject: Record, subjects: dict[str, Record]) -> LoggedEdit:
    trace = subjects.get(str(_said(subject, "traceId", "trace_id")), subject)
    author = _said(score, "authorUserId", "author_user_id")
    of_call = [_said(one, "userId", "user_id") for one in (subject, trace)]
    output = Payload(subject, "output", subject.get("output"))
    draft, sent = corrected(output, Payload(score, field, score.fields[field]))
    return LoggedEdit(
        prompt_in(subject, "input", subject.get("input")),
        draft,
        sent_in(score, field, sent),
        user_in(author, *of_call),
        time_in(score, "timestamp", "createdAt", "created_at"),
        score.line,
    )


def _said(record: Record, *names: str) -> Any:
    """Return the value of the first of these fields that says something."""
    return next((record.fields[name] for name in names if record.fields.get(name)), None)

"""LangSmith: runs, and feedback whose `correction` is the output that a run should have had.

The file has runs (`id`, `inputs`, `outputs`) and feedback (`run_id`, `correction`) as objects, as
`Client.list_runs` and `Client.list_feedback` give them, in any order, or the feedback of a run in
its field `feedback`. A correction is a text or an object like the run's outputs: its text has the
name that they have it by, or a known one. One of a verdict alone (`score`, `label`, `comment`) says
nothing of a text and is passed over. *Source*: LangSmith's documentation, "Feedback data format"
and "Run data format".
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
    time_in,
    user_in,
)
from corll.edit_logs.payloads import Payload, corrected, is_of_text, prompt_in
from corll.errors import RecordError
from corll.files.formats import Record


def read_langsmith(path: Path) -> Iterator[Found]:
    """Yield the corrections of a file, in its order. *Raises*: InputError, RecordError."""
    runs: dict[str, Record] = {}
    feedback: list[tuple[Record, Record | None]] = []
    for record in read_objects(path):
        if "run_id" in record.fields and "inputs" not in record.fields:
            feedback.append((record, None))
            continue
        try:
            runs[str(record.get("id"))] = record
        except RecordError as error:
            yield error
            continue
        given = record.fields.get("feedback") or []
        parts = enumerate(given) if isinstance(given, list) else ()
        # Feedback that is named by its id alone says no text.
        whole = ((n, one) for n, one in parts if isinstance(one, dict))
        feedback += [(record.part(f"feedback[{n}]", one), record) for n, one in whole]
    of_text = (pair for pair in feedback if is_of_text(pair[0].fields.get("correction")))
    yield from item_by_item(of_text, lambda pair: [_edit(pair[0], _run_of(*pair, runs))])


def _run_of(feedback: Record, around: Record | None, runs: dict[str, Record]) -> Record:
    name = feedback.fields.get("run_id")
    if name is None and around is not None:
        return around
    if name is None:
        feedback.fail("run_id", "is missing")
    if str(name) not in runs:
        raise no_such(feedback, "run_id", f"{name!r}, and this file has no such run")
    return runs[str(name)]


def _edit(feedback: Record, run: Record) -> LoggedEdit:
    output = Payload(run, "outputs", run.get("outputs"))
    correction = Payload(feedback, "correction", feedback.fields["correction"])
    draft, sent = corrected(output, correction)
    source = feedback.fields.get("feedback_source")
    editor = source.get("user_id") if isinstance(source, dict) else None
    return LoggedEdit(
        prompt_in(run, "inputs", run.get("inputs")),
        draft,
        sent_in(feedback, "correction", sent),
        user_in(editor, _of_metadata(run)),
        time_in(feedback, "modified_at", "created_at"),
        feedback.line,
    )


def _of_metadata(run: Record) -> Any:
    """Return the user that a run's metadata names, if any."""
    extra = run.fields.get("extra")
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    return metadata.get("user_id") if isinstance(metadata, dict) else None

"""LangSmith: runs, and feedback whose `correction` is the output that a run should have had.

The file has runs (`id`, `inputs`, `outputs`) and feedback (`run_id`, `correction`) as objects, as
`Client.list_runs` and `Client.list_feedback` give them, in any order, or the feedback of a run in
its field `feedback`. A correction is a text or an object like the run's outputs; one of a score
says nothing of a text and is passed over. *Source*: LangSmith's documentation, "Feedback data
format" and "Run data format".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import LoggedEdit, no_such, sent_in, time_in, user_in
from corll.edit_logs.payloads import answer_in, prompt_in
from corll.files.formats import Record


def read_langsmith(path: Path) -> Iterator[LoggedEdit]:
    """Yield the corrections of a file, in its order. *Raises*: InputError, RecordError."""
    runs: dict[str, Record] = {}
    feedback: list[tuple[Record, Record | None]] = []
    for record in read_objects(path):
        if "run_id" in record.fields and "inputs" not in record.fields:
            feedback.append((record, None))
            continue
        runs[str(record.get("id"))] = record
        given = record.fields.get("feedback") or []
        parts = enumerate(given) if isinstance(given, list) else ()
        feedback += [(record.part(f"feedback[{n}]", one), record) for n, one in parts]
    for one, around in feedback:
        if _is_of_text(one.fields.get("correction")):
            yield _edit(one, _run_of(one, around, runs))


def _is_of_text(correction: Any) -> bool:
    """Say whether a correction says another text, and not only another score."""
    if isinstance(correction, str):
        return bool(correction.strip())
    is_object = isinstance(correction, dict)
    return is_object and any(isinstance(value, str | list | dict) for value in correction.values())


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
    sent = answer_in(feedback, "correction", feedback.fields["correction"])
    source = feedback.fields.get("feedback_source")
    editor = source.get("user_id") if isinstance(source, dict) else None
    return LoggedEdit(
        prompt_in(run, "inputs", run.get("inputs")),
        answer_in(run, "outputs", run.get("outputs")),
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

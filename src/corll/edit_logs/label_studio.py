"""Label Studio: tasks with a predicted text and the texts that annotators made of it.

The file is the JSON export of a project: an array of tasks with `data`, `predictions` and
`annotations`. A result of type `textarea` is a text (`value.text`, a list of its lines). That of an
annotation is an edit of the prediction's by the same `from_name`: of the prediction that the
annotation says it began with, else of the last one. A prediction that is an id alone has no text,
and annotations that were skipped are left out. The prompt is the field of `data` by a name such as
`prompt`, or the only one. *Source*: Label Studio's documentation, "Label Studio JSON format of
annotated tasks", "Import pre-annotated data" and the tag "TextArea".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import Found, LoggedEdit, item_by_item, sent_in, time_in, user_in
from corll.edit_logs.payloads import named_prompt
from corll.files.formats import Record, kind_of, storable


def read_label_studio(path: Path) -> Iterator[Found]:
    """Yield the texts made of predicted ones, in the file's order. *Raises*: as `read_objects`."""
    yield from item_by_item(read_objects(path), _of_task)


def _of_task(task: Record) -> Iterator[Found]:
    task.part("data", task.get("data"))
    task.get("annotations")
    predictions = list(_objects(task, "predictions", or_ids=True))
    annotations = _objects(task, "annotations")
    yield from item_by_item(annotations, lambda one: _of_annotation(task, predictions, one))


def _of_annotation(task: Record, predictions: list[Record], annotation: Record) -> Iterator[Found]:
    if annotation.fields.get("was_cancelled"):
        return
    drafts = _drafts(annotation, predictions)
    for name, sent in _texts(annotation).items():
        if name not in drafts and len(predictions) < len(task.fields.get("predictions") or []):
            task.fail("predictions", f"are ids alone, so the draft of {name!r} is not in this file")
        if name not in drafts:
            continue
        yield LoggedEdit(
            named_prompt(task, "data", task.get("data")),
            drafts[name],
            sent_in(annotation, "result", sent),
            _annotator(annotation),
            time_in(annotation, "updated_at", "created_at"),
            task.line,
        )


def _drafts(annotation: Record, predictions: list[Record]) -> dict[str, str]:
    """Return the predicted texts by their names, those that the annotation began with first."""
    own = annotation.fields.get("prediction")
    begun_with = annotation.fields.get("parent_prediction")
    chosen = [one for one in predictions if begun_with and one.fields.get("id") == begun_with]
    if isinstance(own, dict) and own.get("result"):
        chosen = [annotation.part("prediction", own)]
    drafts: dict[str, str] = {}
    for prediction in [*predictions, *chosen]:
        drafts |= _texts(prediction)
    return drafts


def _texts(labelled: Record) -> dict[str, str]:
    """Return the texts of an annotation or a prediction by the names of their areas."""
    found: dict[str, list[str]] = {}
    for result in _objects(labelled, "result"):
        if result.fields.get("type") != "textarea":
            continue
        value = result.part("value", result.get("value"))
        lines = value.get("text")
        lines = [lines] if isinstance(lines, str) else lines
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            value.fail("text", f"a text or a list of texts is expected, not {kind_of(lines)}")
        own = found.setdefault(result.text("from_name"), [])
        own += [storable(value, "text", line) for line in lines]
    return {name: "\n".join(lines) for name, lines in found.items()}


def _annotator(annotation: Record) -> str:
    by: Any = annotation.fields.get("completed_by")
    return user_in(by.get("email"), by.get("id")) if isinstance(by, dict) else user_in(by)


def _objects(record: Record, field: str, *, or_ids: bool = False) -> Iterator[Record]:
    """Yield the objects of a list; with `or_ids` an id may stand there for one."""
    items = record.fields.get(field) or []
    if not isinstance(items, list):
        record.fail(field, f"a list is expected, not {kind_of(items)}")
    for n, one in enumerate(items):
        if not (or_ids and isinstance(one, int)):
            yield record.part(f"{field}[{n}]", one)

"""Argilla: records with a suggested text and the texts that annotators responded with.

The file is what `dataset.records.to_json` writes: an array of records with `fields`, `suggestions`
(`{question: {"value": …}}`) and `responses` (`{question: [{"value": …, "user_id": …}]}`). Each
response to a question of text is an edit of its suggestion. The prompt is the field of a name such
as `prompt`, or the only one. An export tells neither drafts nor discarded responses from submitted
ones.

Which question asks for a text say the settings that `dataset.to_disk` writes beside the records.
Without them a question is taken for one of labels whose values, of suggestions and responses, are
short and few against its records (`_looks_like_labels`). *Source*: Argilla's documentation,
"Importing and exporting datasets and records" and "rg.Record", and its `_disk.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import Found, LoggedEdit, item_by_item, sent_in, text_in, user_in
from corll.edit_logs.payloads import named_prompt
from corll.errors import InputError, RecordError
from corll.files.formats import Record, kind_of
from corll.untrusted import read_object

_SETTINGS = Path(".argilla", "settings.json")
"""Where `dataset.to_disk` says what a file's questions are, beside it."""

_FEWEST_RECORDS = 20
"""Fewer say nothing of whether their values are labels."""

_RECORDS_PER_LABEL = 5
_LONGEST_LABEL = 30


def read_argilla(path: Path) -> Iterator[Found]:
    """Yield the responses to suggested texts, in the file's order.

    *Raises*: as `read_objects`; InputError where the settings beside the file are no JSON object.
    """
    records = list(read_objects(path))
    kinds = _kinds(path.parent / _SETTINGS)
    passed = {question for question, kind in kinds.items() if kind != "text"}
    for question, values in _values(records).items():
        if question not in kinds and _looks_like_labels(values):
            passed.add(question)
            yield _guess(path, records[0], question, values)
    yield from item_by_item(records, lambda record: _of_record(record, passed))


def _of_record(record: Record, passed: set[str]) -> Iterator[Found]:
    record.part("fields", record.get("fields"))
    suggestions = record.part("suggestions", record.get("suggestions"))
    responses = record.part("responses", record.get("responses"))
    for question, given in suggestions.fields.items():
        suggestion = suggestions.part(question, given)
        # The values of several labels, of ratings, rankings and spans are no texts.
        if question not in passed and isinstance(suggestion.get("value"), str):
            read = partial(_of_response, record, suggestion, responses)
            yield from item_by_item(_responses(responses, question), read)


def _of_response(
    record: Record, suggestion: Record, responses: Record, named: tuple[str, Any]
) -> Iterator[Found]:
    response = responses.part(*named)
    if response.fields.get("value") is not None:
        yield LoggedEdit(
            named_prompt(record, "fields", record.get("fields")),
            text_in(suggestion, "value"),
            sent_in(response, "value", text_in(response, "value")),
            user_in(response.fields.get("user_id")),
            line=record.line,
        )


def _responses(responses: Record, question: str) -> Iterator[tuple[str, Any]]:
    """Yield the responses to a question with their names. *Raises*: RecordError for no list."""
    given: Any = responses.fields.get(question) or []
    if not isinstance(given, list):
        responses.fail(question, f"a list of responses is expected, not {kind_of(given)}")
    yield from ((f"{question}[{n}]", one) for n, one in enumerate(given))


def _kinds(settings: Path) -> dict[str, str]:
    """Return the kinds of the questions that settings name; nothing where there are none."""
    if not settings.is_file():
        return {}
    try:
        questions = read_object(settings).get("questions")
    except OSError as error:
        raise InputError(f"{settings} cannot be read: {error.strerror}.") from error
    found: dict[str, str] = {}
    for question in questions if isinstance(questions, list) else ():
        told = question.get("settings") if isinstance(question, dict) else None
        if isinstance(told, dict):
            found[str(question.get("name"))] = str(told.get("type"))
    return found


def _values(records: Sequence[Record]) -> dict[str, list[set[str]]]:
    """Return for each question that suggests texts the values of each record."""
    found: dict[str, list[set[str]]] = {}
    for record in records:
        suggestions, responses = (
            part if isinstance(part, dict) else {}
            for part in map(record.fields.get, ("suggestions", "responses"))
        )
        for question, suggestion in suggestions.items():
            if texts := _texts([suggestion]):
                texts |= _texts(responses.get(question))
                found.setdefault(question, []).append(texts)
    return found


def _texts(given: Any) -> set[str]:
    """Return the texts among the values of suggestions or responses."""
    listed = given if isinstance(given, list) else []
    values = [one.get("value") for one in listed if isinstance(one, dict)]
    return {value for value in values if isinstance(value, str)}


def _looks_like_labels(values: Sequence[set[str]]) -> bool:
    """Say whether the values of a question, record by record, are a choice among few labels.

    So they are in 20 records or more, where five share each value at least, and none is longer than
    30 characters or has a line end. Texts that answer other prompts are not so alike.
    """
    labels = set().union(*values)
    is_short = all(len(one) <= _LONGEST_LABEL and "\n" not in one for one in labels)
    is_repeated = len(labels) * _RECORDS_PER_LABEL <= len(values)
    return len(values) >= _FEWEST_RECORDS and is_repeated and is_short


def _guess(path: Path, record: Record, question: str, values: Sequence[set[str]]) -> RecordError:
    """Return the error that says why a question is passed over."""
    labels = sorted(set().union(*values))
    problem = (
        f"has {len(labels)} short values in {len(values)} records ({labels[0]!r}, …), so it is "
        f"taken for one of labels; if it asks for a text, {_SETTINGS} beside the file says so"
    )
    return RecordError(path, record.line, problem, field=f"suggestions.{question}")

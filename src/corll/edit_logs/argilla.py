"""Argilla: records with a suggested text and the texts that annotators responded with.

The file is what `dataset.records.to_json` writes: an array of records with `fields`, `suggestions`
(`{question: {"value": …}}`) and `responses` (`{question: [{"value": …, "user_id": …}]}`). Each
response to a question of text is an edit of its suggestion. The prompt is the field of a name such
as `prompt`, or the only one. An export tells neither drafts nor discarded responses from submitted
ones. *Source*: Argilla's documentation, "Importing and exporting datasets and records" and
"rg.Record".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corll.edit_logs.documents import read_objects
from corll.edit_logs.logged import LoggedEdit, sent_in, text_in, user_in
from corll.edit_logs.payloads import named_prompt
from corll.files.formats import Record, kind_of


def read_argilla(path: Path) -> Iterator[LoggedEdit]:
    """Yield the responses to suggested texts, in the file's order. *Raises*: as `read_objects`."""
    for record in read_objects(path):
        fields = record.part("fields", record.get("fields")).fields
        suggestions = record.part("suggestions", record.get("suggestions"))
        responses = record.part("responses", record.get("responses"))
        for question, given in suggestions.fields.items():
            suggestion = suggestions.part(question, given)
            if not isinstance(suggestion.get("value"), str):
                continue  # labels, ratings and rankings
            for one in _responses(responses, question):
                yield LoggedEdit(
                    named_prompt(record, "fields", fields),
                    text_in(suggestion, "value"),
                    sent_in(one, "value", text_in(one, "value")),
                    user_in(one.fields.get("user_id")),
                    line=record.line,
                )


def _responses(responses: Record, question: str) -> Iterator[Record]:
    given: Any = responses.fields.get(question) or []
    if not isinstance(given, list):
        responses.fail(question, f"a list of responses is expected, not {kind_of(given)}")
    for n, one in enumerate(given):
        response = responses.part(f"{question}[{n}]", one)
        if response.fields.get("value") is not None:
            yield response

"""Logs of edits by the name of their form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from corll.edit_logs.argilla import read_argilla
from corll.edit_logs.label_studio import read_label_studio
from corll.edit_logs.langfuse import read_langfuse
from corll.edit_logs.langsmith import read_langsmith
from corll.edit_logs.logged import Found, LoggedEdit
from corll.edit_logs.open_webui import read_open_webui
from corll.edit_logs.plain import read_plain
from corll.edit_logs.preferences import read_openai, read_trl
from corll.errors import InputError, RecordError

ToolForm = Literal[
    "langfuse", "langsmith", "open-webui", "argilla", "label-studio", "openai", "trl"
]
LogForm = Literal["plain", ToolForm]

log = logging.getLogger(__name__)

_MOST_LISTED = 20
"""Of the items that are passed over."""


class Form(NamedTuple):
    """A form of logs: who reads it, and what of a file it takes for an edit."""

    read: Callable[[Path], Iterator[Found]]
    edits: str


FORMS: dict[LogForm, Form] = {
    "plain": Form(read_plain, "lines with prompt, draft and sent"),
    "langfuse": Form(read_langfuse, "scores of data type CORRECTION by the name output"),
    "langsmith": Form(read_langsmith, "feedback with a correction of text"),
    "open-webui": Form(read_open_webui, "answers with an originalContent"),
    "argilla": Form(read_argilla, "responses to questions of text that have a suggestion"),
    "label-studio": Form(read_label_studio, "TextAreas of annotations that a prediction has too"),
    "openai": Form(read_openai, "lines with preferred_output and non_preferred_output"),
    "trl": Form(read_trl, "lines with chosen and rejected"),
}
"""All forms of logs by name."""


class EditLog(NamedTuple):
    """The edits of a log in the order of its file, and why items of it were passed over."""

    edits: list[LoggedEdit]
    passed_over: list[RecordError]


def read_edits(path: str | Path, form: LogForm = "plain") -> list[LoggedEdit]:
    """Read the edits of a log, and warn of the items that were passed over.

    *Raises*: as `read_log`.
    """
    found = read_log(path, form)
    for error in found.passed_over[:_MOST_LISTED]:
        log.warning("Passed over: %s", error)
    if (more := len(found.passed_over) - _MOST_LISTED) > 0:
        log.warning("%d more items were passed over.", more)
    return found.edits


def read_log(path: str | Path, form: LogForm = "plain") -> EditLog:
    """Read the edits of a log, in the order of its file.

    Of what a tool exports an item that cannot be read is passed over, as an empty edit or an answer
    to an image. Names that end in `.gz` are read through gzip.
    *Raises*: InputError where the file cannot be read or holds no edit; RecordError, which names
    line and field, for a line of our own form that does not fit, and where no item can be read.
    """
    path = Path(path)
    found = list(FORMS[form].read(path))
    edits = [one for one in found if isinstance(one, LoggedEdit)]
    passed_over = [one for one in found if isinstance(one, RecordError)]
    if not edits and passed_over:
        raise passed_over[0]
    if not edits:
        raise InputError(
            f"{path} holds no edits: in the form {form!r} these are {FORMS[form].edits}. Say "
            f"which tool wrote the file by --from ({', '.join(FORMS)})."
        )
    return EditLog(edits, passed_over)

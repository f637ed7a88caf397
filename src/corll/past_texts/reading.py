"""Texts that a user sent before, which an import learns from, read from the files people have.

JSON lines (`.jsonl`, `.jsonl.gz`): objects with "prompt" (a text or messages), "sent" and, where
they are known, "draft", and "hint" and "sign_as" of a frame. CSV: a header with these names, in
UTF-8, with commas, semicolons or tabs. Any other file whose first line begins with "From " is an
mbox: each mail that the user sent in reply is a text, and the mail that it answers is its prompt.
Other fields and columns mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corll.errors import InputError
from corll.files.formats import Record, prompt_of, read_records
from corll.files.tables import read_table
from corll.past_texts.mailbox import is_mbox, read_replies
from corll.records import Prompt

_NEEDED = ("prompt", "sent")
_OPTIONAL = ("draft", "hint", "sign_as")


@dataclass(frozen=True, slots=True)
class PastText:
    """A text that was sent before: its prompt, and the draft it was made of, if any.

    `hint` and `sign_as` are what a frame around the prompt says beside it; None is nothing said.
    """

    prompt: Prompt
    sent: str
    draft: str | None = None
    hint: str | None = None
    sign_as: str | None = None


def read_past_texts(path: str | Path, *, me: Sequence[str] = ()) -> list[PastText]:
    """Read the texts of a file, in its order; of an mbox, those sent from the addresses `me`.

    *Raises*: InputError where the file cannot be read, is of no form that is known, or holds no
    text; RecordError for a bad line.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        texts = [_from_record(record) for record in read_records(path)]
    elif name.endswith(".csv"):
        texts = [_from_record(record) for record in read_table(path, _NEEDED, _OPTIONAL)]
    elif is_mbox(path):
        texts = [PastText(reply.answers, reply.text) for reply in read_replies(path, me=me)]
    else:
        raise InputError(
            f"{path}: past texts are read from .jsonl or .jsonl.gz (fields 'prompt', 'sent' and "
            "perhaps 'draft'), from .csv (a header with these names), or from an mbox."
        )
    if not texts:
        raise InputError(f"{path} holds no past texts.")
    return texts


def _from_record(record: Record) -> PastText:
    # A database keeps no NUL.
    record = replace(record, fields=_without_nul(record.fields))
    sent = record.text("sent")
    if not sent.strip():
        record.fail("sent", "is empty, and would teach the model to say nothing")
    # Null stands for "not there"; an empty text is a draft that said nothing.
    optional = {name: record.text_if_any(name) for name in _OPTIONAL}
    return PastText(prompt_of(record, "prompt"), sent, **optional)


def _without_nul(value: Any) -> Any:
    """Return what a line holds with no NUL in any of its texts."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_nul(item) for name, item in value.items()}
    return value

"""Texts that a user sent before, which an import learns from, read from the files people have.

JSON lines (`.jsonl`, `.jsonl.gz`): objects with "prompt" (a text or messages), "sent" and, where
they are known, "draft", and "hint" and "sign_as" of a frame. CSV: a header with these names, in
UTF-8, with commas, semicolons or tabs. Any other file whose first line begins with "From " is an
mbox: each mail that the user sent in reply is a text, and the mail that it answers is its prompt.
Other fields and columns mean nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corll.errors import InputError, RecordError
from corll.files.formats import Record, prompt_of, read_records
from corll.past_texts.mailbox import is_mbox, read_replies
from corll.records import Prompt

_NAMES = ("prompt", "sent", "draft", "hint", "sign_as")
_OPTIONAL = ("draft", "hint", "sign_as")
_DELIMITERS = ",;\t"


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
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        texts = [_from_record(record) for record in read_records(path)]
    elif path.suffix == ".csv":
        texts = [_from_record(record) for record in _csv_records(path)]
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
    sent = record.text("sent")
    if not sent.strip():
        record.fail("sent", "is empty, and would teach the model to say nothing")
    # Null stands for "not there"; an empty text is a draft that said nothing.
    optional = {name: record.text_if_any(name) for name in _OPTIONAL}
    return PastText(prompt_of(record, "prompt"), sent, **optional)


def _csv_records(path: Path) -> Iterator[Record]:
    """Yield the rows under the header as records; an optional cell that is empty is not there."""
    text = _content(path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise RecordError(path, line, f"not CSV ({error})") from error
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(path, line, row)
            continue
        if len(row) != len(header):
            problem = f"{len(row)} cells, where the header has {len(header)}"
            raise RecordError(path, line, f"{problem}; are texts with line ends in quotes?")
        fields = dict(zip(header, row, strict=True))
        given = {name: fields.get(name) or None for name in _OPTIONAL}
        yield Record(path, line, {**fields, **given})


def _header(path: Path, line: int, row: list[str]) -> list[str]:
    header = [_plain(cell) for cell in row]
    if missing := [name for name in ("prompt", "sent") if name not in header]:
        raise RecordError(path, line, "is missing from the header", field=missing[0])
    if twice := [name for name in _NAMES if header.count(name) > 1]:
        raise RecordError(path, line, "is in the header twice", field=twice[0])
    return header


def _delimiter(text: str) -> str:
    """Find what stands between the names of the header, on which spreadsheets do not agree."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        names = [_plain(cell.strip().strip('"')) for cell in first.split(delimiter)]
        if {"prompt", "sent"} <= set(names):
            return delimiter
    return _DELIMITERS[0]


def _plain(name: str) -> str:
    return name.strip().lower()


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8, or convert it, "
            "for example with iconv."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error

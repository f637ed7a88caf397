"""ParaDetox and CAD: public data sets of texts that people edited for a stated purpose.

ParaDetox (Logacheva et al. 2022): toxic sentences that people made civil, JSON lines with
`original` and `edited`, a list of texts. CAD (Kaushik et al. 2020, arXiv 1909.12434): film reviews
that people changed as little as needed to turn their sentiment, JSON lines with `original`,
`edited` and `sentiment_of_original`.

The drafts are texts of people, so whatever learns from these edits learns off-policy. Neither file
says who edited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from corll.edit_logs.logged import LoggedEdit, sent_in
from corll.errors import InputError
from corll.files.formats import Record, kind_of, read_records
from corll.text import same_text

Direction = Literal["negative-to-positive", "positive-to-negative"]

CIVIL = "Rewrite the sentence so that it is civil and keeps its meaning:\n\n{original}"
"""The request that stands for an editor's instruction in ParaDetox. The wording is ours."""

TURNED = (
    "Change the film review as little as you need to, so that it is {after} instead of {before}:"
    "\n\n{original}"
)
"""The request that stands for an editor's instruction in CAD. The wording is ours."""

NO_EDIT, UNCHANGED = "no edit", "the edit is the original"
"""Reasons for which a row is left out."""


class HumanEdits(NamedTuple):
    """The edits of a file in its order, and how many rows were left out, by reason."""

    edits: list[LoggedEdit]
    left_out: dict[str, int]


def read_paradetox(path: str | Path) -> HumanEdits:
    """Read ParaDetox: for each row the original as draft, and the first edit that changes it.

    The prompt is `CIVIL` with the original, since the editor had it before them. Rows without an
    edit, and those whose edits change nothing, are left out and counted.
    *Raises*: InputError where the file cannot be read or holds no edit; RecordError, which names
    line and field, for a row of another form.
    """
    return _read(Path(path), [_paradetox(record) for record in read_records(path)])


def read_cad(path: str | Path, direction: Direction = "negative-to-positive") -> HumanEdits:
    """Read CAD's edits of one direction: each review as draft, and what it was turned into.

    The prompt is `TURNED` with the review. Rows of the other direction, and those whose edit
    changes nothing, are left out and counted.
    *Raises*: InputError for a direction that does not exist, both at once included, and where the
    file cannot be read or holds no such edit; RecordError, which names line and field, for a row
    of another form.
    """
    check_direction(direction)
    return _read(Path(path), [_cad(record, direction) for record in read_records(path)])


def check_direction(direction: str) -> None:
    """Check that a direction is one of the two. *Raises*: InputError."""
    known = " or ".join(get_args(Direction))
    if direction == "both":
        raise InputError(
            "Edits of both directions cannot be learned together: what one makes likelier the "
            f"other makes unlikelier, so they cancel. Choose {known}."
        )
    if direction not in get_args(Direction):
        raise InputError(f"There is no direction {direction!r}; choose {known}.")


def _read(path: Path, found: list[LoggedEdit | str]) -> HumanEdits:
    edits = [one for one in found if isinstance(one, LoggedEdit)]
    left_out = dict(Counter(one for one in found if isinstance(one, str)))
    if not edits:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in left_out.items())
        raise InputError(f"{path} holds no edit to learn from ({reasons or 'it has no rows'}).")
    return HumanEdits(edits, left_out)


def _paradetox(record: Record) -> LoggedEdit | str:
    """Return the edit of a row, or why it is left out."""
    original, texts = _original(record), list(_listed(record, "edited"))
    if not texts:
        return NO_EDIT
    edit = next((text for text in texts if not same_text(original, text)), None)
    if edit is None:
        return UNCHANGED
    return LoggedEdit(CIVIL.format(original=original), original, edit, line=record.line)


def _cad(record: Record, direction: Direction) -> LoggedEdit | str:
    """Return the edit of a row, or why it is left out."""
    original = _original(record)
    edit = sent_in(record, "edited", record.text("edited"))
    sentiment = record.text("sentiment_of_original").lower()
    if sentiment not in ("negative", "positive"):
        record.fail("sentiment_of_original", f"Negative or Positive is expected, not {sentiment!r}")
    before, after = direction.split("-to-")
    if sentiment != before:
        return f"{sentiment} originals"
    if same_text(original, edit):
        return UNCHANGED
    prompt = TURNED.format(before=before, after=after, original=original)
    return LoggedEdit(prompt, original, edit, line=record.line)


def _original(record: Record) -> str:
    original = record.text("original")
    if not original.strip():
        record.fail("original", "is empty")
    return original


def _listed(record: Record, field: str) -> Iterator[str]:
    """Yield the texts of a list. *Raises*: RecordError where it is none, or a text says nothing."""
    listed = record.get(field)
    if not isinstance(listed, list):
        record.fail(field, f"a list of texts is expected, not {kind_of(listed)}")
    for number, text in enumerate(listed):
        name = f"{field}[{number}]"
        if not isinstance(text, str):
            record.fail(name, f"a text is expected, not {kind_of(text)}")
        yield sent_in(record, name, text)

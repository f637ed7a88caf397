"""Tables of texts: CSV with a header, as spreadsheets write it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from corll.errors import InputError, RecordError
from corll.files.formats import Record
from corll.untrusted import MOST_TEXT_BYTES, read_bounded

_DELIMITERS = ",;\t"
_SAYS_DELIMITER = re.compile(r'(?:[ \t]*\r?\n)*"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
"""A line that Excel reads and writes above the header."""

_IN_QUOTES = r'"[^"]*+(?:""[^"]*+)*+"'
_CELL = rf" +(?P<spaced>{_IN_QUOTES})|(?P<other>{_IN_QUOTES}|[^%s\r\n]*+)"
"""A cell by the delimiter: in quotes after spaces, or any other."""


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    """Yield the rows under the header as records; an optional cell that is empty is not there.

    The header has the `needed` names, in any order, and perhaps the `optional` ones. Other columns
    mean nothing. A row may lack its last cells, where none of them is needed, and have more that
    are empty. Spaces before a cell in quotes mean nothing.
    *Raises*: InputError where the file cannot be read; RecordError for a header or a row that does
    not fit, by line and column.
    """
    # The limit is one of the whole process, and of 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), MOST_TEXT_BYTES))
    text = _content(path)
    said = _SAYS_DELIMITER.match(text)
    delimiter = said[1] if said else _delimiter(text, needed)
    above = said[0].count("\n") if said else 0
    rest = _without_spaces(text[said.end() :] if said else text, delimiter)
    rows = csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = above + rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise RecordError(path, line, f"not CSV ({error})") from error
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(path, line, row, needed, optional)
            continue
        lacks = set(header[len(row) :]) & set(needed)
        if lacks or any(cell.strip() for cell in row[len(header) :]):
            problem = f"{len(row)} cells, where the header has {len(header)}"
            raise RecordError(path, line, f"{problem}; are texts with line ends in quotes?")
        fields = dict(zip_longest(header, row[: len(header)], fillvalue=""))
        given = {name: fields.get(name) or None for name in optional}
        yield Record(path, line, {**fields, **given})


def _header(
    path: Path, line: int, row: list[str], needed: Sequence[str], optional: Sequence[str]
) -> list[str]:
    header = [_plain(cell) for cell in row]
    if missing := [name for name in needed if name not in header]:
        raise RecordError(path, line, "is missing from the header", field=missing[0])
    if twice := [name for name in (*needed, *optional) if header.count(name) > 1]:
        raise RecordError(path, line, "is in the header twice", field=twice[0])
    return header


def _delimiter(text: str, needed: Sequence[str]) -> str:
    """Find what stands between the names of the header, on which spreadsheets do not agree."""
    first = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    found = {}
    for delimiter in _DELIMITERS:
        names = {_plain(cell.strip().strip('"')) for cell in first.split(delimiter)}
        found[delimiter] = len(names & set(needed))
    # Of equals the first: a header that lacks a name is still told apart into its names.
    return max(_DELIMITERS, key=lambda delimiter: found[delimiter])


def _without_spaces(text: str, delimiter: str) -> str:
    """Return a table without the spaces before cells in quotes, which would not be read as such."""
    if not re.search(rf'[{delimiter}\r\n] +"', text):
        return text
    cells = rf"(?:{_CELL % delimiter})(?P<end>[{delimiter}\r\n]|\Z)"
    return re.sub(cells, r"\g<spaced>\g<other>\g<end>", text)


def _plain(name: str) -> str:
    return name.strip().lower()


def _content(path: Path) -> str:
    try:
        return read_bounded(path, MOST_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8, or convert it, "
            "for example with iconv."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error

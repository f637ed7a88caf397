"""Where the mails of an mbox lie: the lines "From SENDER DATE" that stand before each.

A line of a text may look like one ("From Mon to Wed we meet at 10:30"), since some programs put no
">" before it. So a line counts where its date is written out, or a header follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

BYTE_ORDER = b"\xef\xbb\xbf"
LONGEST_SEPARATOR = 1000
PIECE = 2**16
"""Bytes that are read of a line at once, which need not end."""

_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# As asctime writes it: "From ada@example.org Mon Feb  3 10:11:12 2025".
_WRITTEN_OUT = re.compile(
    rb"From \S{1,300} +" + _DAY + rb" +" + _MONTH + rb" +\d{1,2} +\d\d:\d\d(?::\d\d)? +"
    rb"(?:[A-Z+-][A-Z0-9:+-]{0,7} +)?\d{4}\b"
)
_DATED = re.compile(rb"From .*(?:\b" + _DAY + rb"\b.*\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d)")
# Thunderbird writes "From " alone.
_UNDATED = re.compile(rb"From[ ]-?\s*$")
_FIELD = re.compile(rb"[!-9;-~]{1,100}:")
_SEPARATED = b">From "


def places(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each mail begins, after its separator, and where it ends.

    Nothing where there is no separator. *Raises*: OSError.
    """
    start: int | None = None
    for ends, begins in _separators(file):
        if start is not None:
            yield start, ends
        start = begins
    if start is not None:
        yield start, file.tell()


def _separators(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each line that separates mails begins and ends."""
    after_blank, begins, position = True, True, 0
    unsure: tuple[int, int] | None = None
    while line := file.readline(PIECE):
        words = line.removeprefix(BYTE_ORDER) if position == 0 else line
        place = position, position + len(line)
        if unsure is not None and not words.startswith(_SEPARATED):
            if _FIELD.match(words):
                yield unsure
            unsure = None
        if begins and after_blank and len(words) <= LONGEST_SEPARATOR:
            if _WRITTEN_OUT.match(words):
                yield place
            elif _DATED.match(words) or _UNDATED.match(words):
                unsure = place
        position = place[1]
        after_blank = begins and not words.strip()
        begins = line.endswith(b"\n")

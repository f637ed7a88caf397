"""The marks of lines that other marks are told by: quotes, rules, and what nobody sees.

Each line is tried up to a length, since an expression tries a hostile line in many ways.
"""

from __future__ import annotations

import re

_LONGEST_MARK = 500
"""Characters of a line that may be a mark. Longer lines are text."""
_RULED = "-_=*"

QUOTE = re.compile(r"^\s{0,3}> ?")
"""What stands before each line of a quote."""
NOT_QUOTED = "\u2060"
"""What stands before a line of text that begins with ">" and is no quote; it is not seen."""
ADDRESS = r"[^<>()\[\]\s@]{1,100}@[^<>()\[\]\s@]{1,100}"

_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\ufeff\xad"))
_UNSEEN |= dict.fromkeys(range(0x2060, 0x206A))
_SPACES = dict.fromkeys(map(ord, "\xa0\u2007\u202f\u3000"), " ")
_BARE = _UNSEEN | _SPACES


def bare(line: str) -> str:
    """Return a line as marks are looked for in it: plain spaces, and nothing that is not seen."""
    return line if line.isascii() else line.translate(_BARE)


def is_short(line: str) -> bool:
    """Return whether a line may be a mark at all."""
    return len(line) <= _LONGEST_MARK


def is_blank(line: str) -> bool:
    """Return whether nothing is seen of a line."""
    return not bare(line).strip()


def is_rule(line: str) -> bool:
    """Return whether a line only parts: "_____", or "--- Original Message ---" in any language."""
    if not is_short(line):
        return False
    marks = bare(line).strip()
    if not marks.startswith(tuple(_RULED)):
        return False
    return len(marks) >= 3 and all(mark in _RULED for mark in marks[:3] + marks[-3:])


def is_bare_rule(line: str, *, at_least: int = 3) -> bool:
    """Return whether a line is a rule without words, of that length or longer."""
    return is_rule(line) and not words_of_rule(line) and len(line.strip()) >= at_least


def words_of_rule(line: str) -> str:
    """Return what a rule says between its marks."""
    return bare(line).strip().strip(_RULED).strip()

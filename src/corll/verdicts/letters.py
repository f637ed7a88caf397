"""The body of a letter: what stands between its greeting and its closing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from corll.memory.names import GREETINGS
from corll.memory.words import words_of
from corll.signatures import CLOSING_WORDS, THANKING_WORDS
from corll.verdicts.survival import Closing, body_end

_CLAUSE = re.compile(r"[^,.!?;:\n。！？，]+")
_CLOSES = re.compile(rf"\b(?:{THANKING_WORDS}|{CLOSING_WORDS})\b", re.IGNORECASE)
_GREETING_WORDS, _CLOSING_WORDS = 5, 6
_SIGNATURE_CLAUSES = 4


def body_words(text: str, closings: Sequence[Closing] = ()) -> int:
    """Return how many words stand between a text's greeting and its closing.

    It takes a line for either or none: "Hello, kind regards, Anna" has a body of no word. A usual
    closing of the user's is one whatever its words; in a script without spaces words are
    characters.
    """
    text = text[: body_end(text, closings)]
    clauses = [words for found in _CLAUSE.findall(text) if (words := words_of(found))]
    first = clauses[0] if clauses else []
    if first and first[0].key in GREETINGS and len(first) <= _GREETING_WORDS:
        clauses = clauses[1:]
    said = [" ".join(word.key for word in words) for words in clauses]
    last = range(len(clauses) - 1, max(-1, len(clauses) - 1 - _SIGNATURE_CLAUSES), -1)
    for place in last:
        if len(clauses[place]) <= _CLOSING_WORDS and _CLOSES.search(said[place]):
            clauses = clauses[:place]
            break
    return sum(map(len, clauses))


def has_body(text: str, closings: Sequence[Closing] = ()) -> bool:
    """Say whether a text has more of a body than a single word."""
    return body_words(text, closings) > 1

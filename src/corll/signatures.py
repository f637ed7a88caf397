"""Who signed a message, so that an answer to it can be addressed to them."""

from __future__ import annotations

import re

_LINES = 3
"""A signature is a name, and at most a title and a firm below it."""

_WORDS, _CHARACTERS = 5, 60
_CLOSING_WORDS = 6
THANKING_WORDS = "thanks|cheers|gratitude|appreciation"
CLOSING_WORDS = (
    "regards|best|wishes|greetings|love|hugs?|sympathy|condolences|respect|respectfully|warmly"
    "|fondly|cordially|sincerely|truly|faithfully|yours|cordialement|saludos|saluti"
    "|gr[uü](?:ß|ss)e?n?|groete?n?|salutations|abrazos?|atentamente|hilsen|hälsningar"
)
"""Words by which the closing of a letter is known, as alternatives of an expression."""

_CLOSINGS = re.compile(rf"\b(?:thank|{THANKING_WORDS}|{CLOSING_WORDS})\b", re.IGNORECASE)
_PARTICLES = frozenset(
    "de da di do dos du la le van von der den ten bin ibn al el y and und".split()
)
_NAME = re.compile(r"[^\W\d_][\w.'’-]*")


def signer(message: str) -> str | None:
    """Return the name that a message is signed with; None where no line is surely one.

    It is the line below a closing ("Kind regards,"), else the last line, if all its words begin
    with a capital letter as names do. Scripts without capitals have no such line.
    """
    lines = [stripped for line in message.splitlines() if (stripped := line.strip())]
    for above, line in zip(lines[-_LINES - 1 : -1], lines[-_LINES:], strict=False):
        if _is_closing(above) and (name := _name(line)):
            return name
    return _name(lines[-1]) if len(lines) > 1 else None


def _is_closing(line: str) -> bool:
    return len(line.split()) <= _CLOSING_WORDS and _CLOSINGS.search(line) is not None


def _name(line: str) -> str | None:
    """Return a line that is nothing but a name, without the marks around it."""
    found = line.strip(" \t-–—,*_~").removesuffix(".")
    words = found.split()
    if not 1 <= len(words) <= _WORDS or len(found) > _CHARACTERS or _CLOSINGS.search(found):
        return None
    if not words[0][0].isupper() or not all(map(_is_of_a_name, words)):
        return None
    return found


def _is_of_a_name(word: str) -> bool:
    return _NAME.fullmatch(word) is not None and (word[0].isupper() or word in _PARTICLES)

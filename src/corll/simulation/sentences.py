"""The sentences of a text, and the half sentence that a cut draft leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

CLOSING_PHRASE = (
    r"(?:(?:with |my )?(?:best|kind|kindest|warm|warmest|many)(?: (?:regards|wishes|thanks))?"
    r"|regards|sincerely(?: yours)?|(?:yours|your) (?:sincerely|faithfully|truly)|respectfully"
    r"|cordially|warmly|cheers"
    r"|take care|thanks(?: again| so much)?|thank you(?: again| so much)?|love)"
)
"""The phrases that close letters, in lower case, without what follows."""

_CLOSING = re.compile(CLOSING_PHRASE + r"[ \t]*(?:[,.!]|$)", re.IGNORECASE)
_END = re.compile(r"[.!?…][\"'”’)\]*]*(?=\s|$)")
_LINE = re.compile(r"[^\n\r]+")
_NOT_AN_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|lb|oz|e\.g|i\.e)|^\W*\d+)\.$", re.IGNORECASE
)


class Sentence(NamedTuple):
    """A sentence as a span of a text; not `finished` where no full stop or the like ends it."""

    start: int
    end: int
    finished: bool


def find_sentences(text: str) -> Iterator[Sentence]:
    """Find the sentences of a text, line by line, without the white space around them."""
    for line in _LINE.finditer(text):
        start = line.start()
        for end in _END.finditer(text, line.start(), line.end()):
            if not _NOT_AN_END.search(text[start : end.start() + 1].lstrip()):
                yield from _trimmed(text, start, end.end(), finished=True)
                start = end.end()
        yield from _trimmed(text, start, line.end(), finished=False)


def find_half_sentence(text: str) -> Sentence | None:
    """Find the unfinished sentence at the end of a text, if it follows a whole one.

    Signatures, lists and text without letters are not half sentences.
    """
    sentences = list(find_sentences(text))
    if len(sentences) < 2:
        return None
    before, last = sentences[-2:]
    if last.finished or not before.finished:
        return None
    is_signature = any(is_closing(text[part.start : part.end]) for part in (before, last))
    is_word = any(character.isalpha() for character in text[last.start : last.end])
    return None if is_signature or not is_word else last


def is_closing(line: str) -> bool:
    """Return whether a line begins with the phrase that closes a letter."""
    return _CLOSING.match(line) is not None


def _trimmed(text: str, start: int, end: int, *, finished: bool) -> Iterator[Sentence]:
    part = text[start:end]
    if part.strip():
        start += len(part) - len(part.lstrip())
        yield Sentence(start, end - (len(part) - len(part.rstrip())), finished)

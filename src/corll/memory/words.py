"""Words of a text, in the form in which they are compared, in scripts with and without spaces."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

_MARKS = "".join(
    character for character in map(chr, range(0x300, 0x1100)) if unicodedata.combining(character)
) + "".join(
    character
    for character in map(chr, range(0x900, 0x1100))
    if unicodedata.category(character) in ("Mc", "Mn") and not unicodedata.combining(character)
)
"""Signs that are written onto the letter before them, and that `\\w` takes for none."""

UNSPACED = (
    "\u0e00-\u0e3a\u0e40-\u0e4e\u0e80-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17d3"  # Burmese, Khmer
    "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Characters of scripts that put no spaces between words."""

_LETTER = rf"(?:[^\W_{UNSPACED}][{_MARKS}]*)"
_WORD = re.compile(rf"[{UNSPACED}][{_MARKS}]*|{_LETTER}+(?:['’]{_LETTER}+)*")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_RUN = re.compile(rf"[{UNSPACED}][{UNSPACED}{_MARKS}]+")
_IS_UNSPACED = re.compile(rf"[{UNSPACED}]")


def has_unspaced(text: str) -> bool:
    """Say whether a text holds characters of a script without spaces."""
    return not text.isascii() and _IS_UNSPACED.search(text) is not None


class Word(NamedTuple):
    """A word, or a character of a script without spaces: its form for comparing, and its place."""

    key: str
    start: int
    end: int

    @property
    def is_character(self) -> bool:
        """Say whether it is a character of a script without spaces."""
        return _IS_UNSPACED.match(self.key) is not None


def words_of(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Return the words of a text, or of a part of it, in order."""
    end = len(text) if end is None else end
    if text.isascii():
        ascii_words = _ASCII_WORD.finditer(text.lower(), start, end)
        return [Word(word.group(), *word.span()) for word in ascii_words]
    found = _WORD.finditer(text, start, end)
    return [Word(folded(word.group()), *word.span()) for word in found]


def folded(text: str) -> str:
    """Return a text without what makes no difference: case, compatible forms, apostrophes' form."""
    if text.isascii():
        return text.lower()
    # Folding can undo the composition of what it folds.
    folds = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folds.replace("’", "'")


def search_terms(text: str) -> list[str]:
    """Return what a text is searched by: its words; of scripts without spaces characters and pairs.

    A pair is two neighbouring characters, the usual stand-in for the words that nothing marks.
    """
    whole = folded(text)
    words = _WORD.findall(whole)
    return words + [pair for run in _RUN.findall(whole) for pair in map("".join, pairwise(run))]

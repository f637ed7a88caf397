"""Whether a text in Latin letters is made of words, in whatever language.

Words of every language can be said: they have a vowel, and no long row of consonants. Letters at
random are mostly not so. What can be said and means nothing is not seen here.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_VOWELS = frozenset("aeiouyæœøıəɔɛ")
_LONE = frozenset("ksvwz")
"""Consonants that are words of some language by themselves."""

_MOST_CONSONANTS = 5
_LEAST_WORDS, _SHARE = 8, 0.2
_LONGEST_ABBREVIATION = 4


def is_gibberish(text: str) -> bool:
    """Say whether a fifth of a text's words or more, eight words at least, can't be said.

    What holds a digit, is in capitals throughout (an abbreviation), or is of another script than
    the Latin one is left out.
    """
    words = _judged(text)
    return len(words) >= _LEAST_WORDS and sum(map(_is_no_word, words)) >= _SHARE * len(words)


def is_abbreviated(text: str) -> bool:
    """Say whether all words of a text that can't be said are short, as "thx" and "tmrw" are."""
    no_words = [word for word in _judged(text) if _is_no_word(word)]
    return all(len(word) <= _LONGEST_ABBREVIATION for word in no_words)


def _judged(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if _is_judged(word)]


def _is_judged(word: str) -> bool:
    is_abbreviation = len(word) > 1 and word.isupper()
    letters = re.sub("['’]", "", word)
    return letters.isalpha() and not is_abbreviation and _is_latin(letters)


def _is_latin(letters: str) -> bool:
    return letters.isascii() or all(
        unicodedata.name(letter, "").startswith("LATIN") for letter in letters
    )


def _is_no_word(word: str) -> bool:
    plain = unicodedata.normalize("NFD", word.lower())
    letters = [letter for letter in plain if letter.isalpha()]
    if len(letters) == 1:
        return letters[0] not in _VOWELS | _LONE
    row = longest = 0
    for letter in letters:
        row = 0 if letter in _VOWELS else row + 1
        longest = max(longest, row)
    return longest == len(letters) or longest > _MOST_CONSONANTS

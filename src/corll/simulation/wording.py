"""Small repairs of English where one wording takes another's place."""

from __future__ import annotations

import re

_VOWEL_SOUND = re.compile(
    r"[ai]|e(?!u)|o(?!nce\b|ne\b)|u(?!ni[^mn]|s[aeu])|hour|honest|heir", re.IGNORECASE
)


def match_case(source: str, wording: str) -> str:
    """Give `wording` the case of `source`: all capitals, a first capital, or as it is."""
    letters = [character for character in source if character.isalpha()]
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return wording.upper()
    return capitalize(wording) if letters and letters[0].isupper() else wording


def capitalize(text: str) -> str:
    """Give a text a capital as its first character, and leave the rest."""
    return text[:1].upper() + text[1:]


def article(written: str, following: str) -> str:
    """Return the indefinite article before `following`, in the case of the `written` one."""
    if _VOWEL_SOUND.match(following):
        return written[0] + ("N" if following.isupper() and len(following) > 1 else "n")
    return written[0]

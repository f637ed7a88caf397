"""In which language a text is, by its script and its function words. No model, and few languages.

Scripts tell most languages of the world apart from those in Latin letters, and function words seven
of the latter from one another. What this does not know has no language, so it is never a fault.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

from corll.memory.names import ENGLISH_FUNCTION_WORDS, GERMAN_FUNCTION_WORDS
from corll.memory.words import words_of

_FUNCTION_WORDS = {
    "English": ENGLISH_FUNCTION_WORDS | frozenset("i in a was but not as will they".split()),
    "German": GERMAN_FUNCTION_WORDS | frozenset("sie er es an in war aber mein dein".split()),
    "French": frozenset(
        "le la les des un une et est que qui dans pour pas je vous nous au du ce avec sur il "
        "elle mon votre ne se plus".split()
    ),
    "Spanish": frozenset(
        "el la los las de un una y es que en por para no se lo su con me mi muy está pero como "
        "más al del".split()
    ),
    "Italian": frozenset(
        "il lo la gli di un una e è che in per non si con del della sono mi ti ma come più al "
        "nel ho ha".split()
    ),
    "Portuguese": frozenset(
        "o a os as de um uma e é que em por para não se com do da no na meu sua mais você mas "
        "ao foi".split()
    ),
    "Dutch": frozenset(
        "de het een en is dat van in op voor niet ik je we met aan te zijn er maar ook naar bij "
        "heb heeft wij".split()
    ),
}
_LEAST_WORDS, _LEAST_SHARE, _AHEAD = 3, 0.15, 1.5
"""So many of a text's words, and this share of them, are a language's, and so many times as many as
the next language's: a short text has no language."""

_LEAST_LETTERS = 4
_JAPANESE = 0.1
_OFTEN = 4


def language_of(text: str) -> str | None:
    """Return the language of a text, or its script's name; None where neither is plain."""
    scripts = Counter(map(_script_of, filter(str.isalpha, text)))
    if scripts.total() < _LEAST_LETTERS:
        return None
    kana = scripts.pop("HIRAGANA", 0) + scripts.pop("KATAKANA", 0)
    if kana > _JAPANESE * (kana + scripts["CJK"]) > 0:
        return "Japanese" if kana + scripts["CJK"] > scripts.total() / 2 else None
    script, count = scripts.most_common(1)[0]
    if 2 * count <= scripts.total():
        return None
    return _in_latin_letters(text) if script == "LATIN" else script.capitalize()


def languages_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the languages that a user writes: each of at least a quarter of the texts that have
    one."""
    found = Counter(language for text in texts if (language := language_of(text)))
    return frozenset(one for one, count in found.items() if _OFTEN * count >= found.total())


def _in_latin_letters(text: str) -> str | None:
    keys = [word.key for word in words_of(text)]
    counts = Counter({name: sum(map(own.__contains__, keys)) for name, own in _KNOWN})
    (first, most), (_, second) = counts.most_common(2)
    plain = most >= max(_LEAST_WORDS, _LEAST_SHARE * len(keys)) and most >= _AHEAD * second
    return first if plain else None


_KNOWN = tuple(_FUNCTION_WORDS.items())


@cache
def _script_of(letter: str) -> str:
    """Return the script of a letter: the first word of its name in Unicode."""
    return unicodedata.name(letter, "UNKNOWN").split()[0]

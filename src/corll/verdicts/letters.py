"""The body of a letter: what stands between its greeting and its closing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from corll.memory.names import GREETINGS
from corll.memory.words import Word, words_of
from corll.signatures import CLOSING_WORDS, THANKING_WORDS
from corll.verdicts.survival import Closing, body_end

_CLAUSE = re.compile(r"[^,.!?;:\n。！？，]+")
_KNOWN_BY = re.compile(rf"{THANKING_WORDS}|{CLOSING_WORDS}", re.IGNORECASE)
"""The word by which a closing is known."""

_ANY_BEFORE = re.compile(
    r"regards|wishes|greetings|hugs?|condolences|gr[uü](?:ß|ss)e?n?|groete?n?|saludos|saluti"
    r"|salutations|abrazos?|hilsen|hälsningar",
    re.IGNORECASE,
)
"""Such a word before which any one word may stand ("sunny regards")."""

_BESIDE = frozenset(
    "a again all always an and as big bunch cordial dear deep deepest ever everybody everyone fond "
    "fondest friendly good happy heartfelt hearty here in advance kind kindest lot lots many mate "
    "million most much my now of our so sincere sincerest the then thank to from us very warm "
    "warmest with you your "
    "aus an von mit und im voraus dank danke viele vielen vielem liebe lieben lieber beste besten "
    "bestem freundliche freundlichen freundlichem herzliche herzlichen herzlichem herzlichst die "
    "schöne schönen sonnige sonnigen "
    "avec bien à vous mes nos meilleures merci un con de fuerte mis muchos cordiales gracias "
    "cordiali cari distinti met vriendelijke hartelijke med venlig vennlig vänliga bästa".split()
)
"""Words that may stand beside it, in the form in which words are compared."""

_TO_WHOM = frozenset("to from for an aus von de".split())
_GREETING_WORDS, _CLOSING_WORDS = 5, 6
_SIGNATURE_CLAUSES = 4


def body_words(text: str, closings: Sequence[Closing] = ()) -> int:
    """Return how many words stand between a text's greeting and its closing.

    It takes a line for either or none: "Hello, kind regards, Anna" has a body of no word. A closing
    says nothing beside: "The early train is best" is none. A usual closing of the user's is one
    whatever its words; in a script without spaces words are characters.
    """
    text = text[: body_end(text, closings)]
    clauses = [_Clause(said, words) for said in _CLAUSE.findall(text) if (words := words_of(said))]
    first = clauses[0].words if clauses else []
    if first and first[0].key in GREETINGS and len(first) <= _GREETING_WORDS:
        clauses = clauses[1:]
    shows_names = not text.islower()
    last = range(len(clauses) - 1, max(-1, len(clauses) - 1 - _SIGNATURE_CLAUSES), -1)
    end = next((n for n in last if _closes(clauses[n], shows_names=shows_names)), len(clauses))
    return sum(len(clause.words) for clause in clauses[:end])


def has_body(text: str, closings: Sequence[Closing] = ()) -> bool:
    """Say whether a text has more of a body than a single word."""
    return body_words(text, closings) > 1


class _Clause(NamedTuple):
    """A part of a text between two marks, and its words with their places in it."""

    text: str
    words: list[Word]


def _closes(clause: _Clause, *, shows_names: bool) -> bool:
    """Say whether a clause is a closing: a word by which one is known, and what goes with it.

    Behind it may stand a name, by its capital letter or, in a text without any, as a single word;
    and behind regards and the like to whom or from whom they are.
    """
    words = clause.words
    known = [n for n, word in enumerate(words) if _KNOWN_BY.fullmatch(word.key)]
    if not known or len(words) > _CLOSING_WORDS:
        return False
    at = known[-1]
    is_open = _ANY_BEFORE.fullmatch(words[at].key) is not None
    before = words[: at - 1] if is_open and at > 0 else words[:at]
    if not all(word.key in _BESIDE or _KNOWN_BY.fullmatch(word.key) for word in before):
        return False
    after = words[at + 1 :]
    if is_open and after and after[0].key in _TO_WHOM:
        return True
    others = [word for word in after if word.key not in _BESIDE]
    if not shows_names:
        return len(others) <= 1
    return not any(clause.text[word.start].islower() for word in others)

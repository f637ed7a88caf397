"""Long forms and their contractions: "I am" and "I'm", "do not" and "don't"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from corll.simulation.editor import Offence
from corll.simulation.wording import match_case

# A contraction needs a word after it ("as good as I am." stays). Some words before it stress the
# verb, and then the long form stays ("what it is like").
_HEAD = r"(?<![\w'’])(?<!what )(?<!how )(?<!where )(?<!who )(?<!than )(?<!as )(?<!that )"
_TAIL = r"(?=[ \t]+[a-z])"
_PARTICIPLE = (
    r"(?=[ \t]+(?:not[ \t]+|just[ \t]+|already[ \t]+|always[ \t]+|recently[ \t]+|never[ \t]+)?"
    r"(?:[a-z]+ed|been|had|done|seen|made|got|given|taken|sent|found|written|come|lost|heard)\b)"
)
_FORMS = re.compile(
    "|".join(
        [
            r"(?<![\w'’])(?P<auxiliary>do|does|did|is|are|was|were|has|have|had|could|would|should"
            r"|will|can)[ \t]+not(?![\w'’])|(?<![\w'’])(?P<cannot>cannot)(?![\w'’])",
            _HEAD + r"(?P<am>i)[ \t]+am" + _TAIL,
            _HEAD + r"(?P<is>he|she|it|that|there)[ \t]+is(?![ \t]+not\b)" + _TAIL,
            _HEAD + r"(?P<are>you|we|they)[ \t]+are(?![ \t]+not\b)" + _TAIL,
            _HEAD + r"(?P<will>i|you|he|she|it|we|they)[ \t]+will(?![ \t]+not\b)" + _TAIL,
            _HEAD + r"(?P<would>i|you|he|she|we|they)[ \t]+would(?![ \t]+not\b)" + _TAIL,
            _HEAD + r"(?P<have>i|you|we|they)[ \t]+have" + _PARTICIPLE,
            r"(?<![\w'’])(?P<let>let)[ \t]+us" + _TAIL,
        ]
    ),
    re.IGNORECASE | re.ASCII,
)
_ENDINGS = {
    "am": "'m",
    "is": "'s",
    "are": "'re",
    "will": "'ll",
    "would": "'d",
    "have": "'ve",
    "let": "'s",
}
_STEMS = {"will": "wo", "can": "ca", "cannot": "ca"}
LONG_FORMS = {
    "I'm": "I am",
    "I'll": "I will",
    "don't": "do not",
    "can't": "cannot",
    "it's": "it is",
    "we'll": "we will",
    "won't": "will not",
    "didn't": "did not",
    "isn't": "is not",
    "doesn't": "does not",
}
"""Common contractions and what they stand for."""

_SHORT = re.compile(rf"(?<![\w'’])(?:{'|'.join(LONG_FORMS)})(?=[ \t]+[a-z])")


def find_long_forms(text: str, start: int, end: int) -> Iterator[Offence]:
    """Yield each long form within a span, with the contraction that takes its place."""
    for match in _FORMS.finditer(text, start, end):
        yield Offence(match.start(), match.end(), _contracted(match))


def find_expansions(text: str, start: int, end: int) -> Iterator[Offence]:
    """Yield each common contraction within a span, with the long form that it stands for."""
    for match in _SHORT.finditer(text, start, end):
        yield Offence(match.start(), match.end(), LONG_FORMS[match[0]])


def _contracted(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    word = match[kind]
    if kind in ("auxiliary", "cannot"):
        stem = _STEMS.get(word.lower(), word)
        return match_case(word, stem) + _in_case_of(word, "n't")
    return word + _in_case_of(word, _ENDINGS[kind])


def _in_case_of(word: str, ending: str) -> str:
    return ending.upper() if len(word) > 1 and word.isupper() else ending

"""The tone editor: favourable words for harsh ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.tone_words import FAVOURABLE, HARSH
from corll.simulation.wording import article, match_case


def _whole_words(wordings: Iterable[str]) -> re.Pattern[str]:
    """Match any of the wordings as whole words, the longest first, with an article before it."""
    longest_first = sorted(wordings, key=len, reverse=True)
    choice = "|".join(r"\s+".join(map(re.escape, wording.split())) for wording in longest_first)
    # The inline flag keeps "ſ" and the like from standing for a letter of the lexicon.
    return re.compile(
        rf"(?:(?<![\w'’-])(?P<article>an?)(?P<gap>\s+))?"
        rf"(?<![\w'’-])(?P<words>(?a:{choice}))(?![\w'’-])",
        re.IGNORECASE,
    )


_HARSH_WORDS = _whole_words(FAVOURABLE)
_FAVOURABLE_WORDS = _whole_words(HARSH)


class ToneEditor(RuleEditor):
    """An editor who puts a favourable word for each harsh one, in its case, with its article."""

    def find_offences(self, text: str) -> Iterator[Offence]:
        return _replacements(text, _HARSH_WORDS, FAVOURABLE)

    def find_spoilings(self, text: str) -> Iterator[str]:
        for swap in _replacements(text, _FAVOURABLE_WORDS, HARSH):
            yield text[: swap.start] + swap.replacement + text[swap.end :]
        yield f"Unfortunately, {text}"


def _replacements(
    text: str, pattern: re.Pattern[str], lexicon: dict[str, str]
) -> Iterator[Offence]:
    for match in pattern.finditer(text):
        words = match["words"]
        plain = " ".join(words.lower().split())
        wording = match_case(words, lexicon[plain])
        if match["article"]:
            wording = article(match["article"], wording) + match["gap"] + wording
        yield Offence(match.start(), match.end(), wording)

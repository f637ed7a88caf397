"""Words of one list in place of those of another, in their case and with their article."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from corll.simulation.editor import Offence, repaired
from corll.simulation.wording import article, match_case


class Lexicon:
    """A list of wordings in lower case, each with the one that takes its place."""

    def __init__(self, wordings: Mapping[str, str]) -> None:
        self.wordings = dict(wordings)
        longest_first = sorted(self.wordings, key=len, reverse=True)
        choice = "|".join(r"\s+".join(map(re.escape, wording.split())) for wording in longest_first)
        # The inline flag keeps "ſ" and the like from standing for a letter of the lexicon.
        self._pattern = re.compile(
            rf"(?:(?<![\w'’-])(?P<article>an?)(?P<gap>\s+))?"
            rf"(?<![\w'’-])(?P<words>(?a:{choice}))(?![\w'’-])",
            re.IGNORECASE,
        )

    def find(self, text: str) -> Iterator[Offence]:
        """Find the wordings of the list in a text, as whole words, with an article before them."""
        for match in self._pattern.finditer(text):
            words = match["words"]
            plain = " ".join(words.lower().split())
            wording = match_case(words, self.wordings[plain])
            if match["article"]:
                wording = article(match["article"], wording) + match["gap"] + wording
            yield Offence(match.start(), match.end(), wording)

    def put_into(self, text: str) -> str:
        """Replace all wordings of the list in a text."""
        return repaired(text, self.find(text))

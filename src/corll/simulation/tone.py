"""The tone editor: favourable words for harsh ones."""

from __future__ import annotations

from collections.abc import Iterator

from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.lexicon import Lexicon
from corll.simulation.tone_words import FAVOURABLE, HARSH

_TO_FAVOURABLE = Lexicon(FAVOURABLE)
_TO_HARSH = Lexicon(HARSH)


class ToneEditor(RuleEditor):
    """An editor who puts a favourable word for each harsh one, in its case, with its article."""

    def find_offences(self, text: str) -> Iterator[Offence]:
        return _TO_FAVOURABLE.find(text)

    def find_spoilings(self, text: str) -> Iterator[str]:
        for swap in _TO_HARSH.find(text):
            yield text[: swap.start] + swap.replacement + text[swap.end :]
        yield f"Unfortunately, {text}"

"""Texts that nothing is learned from, whoever sends them: what they teach is harm and no style.

A version that learned gibberish writes strange words that no rule on its drafts sees, so its texts
are kept from the learner. Whoever sends "ok", or an insult, may mean it; that is for the coin and
for the veto.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from corll.guards import first_loop
from corll.verdicts.readable import is_abbreviated, is_gibberish

_WORD = re.compile(r"\S+")


def why_unfit(text: str) -> str | None:
    """Return why nothing may be learned from a text, or remembered of it; None where it may."""
    if is_gibberish(text) and not is_abbreviated(text):
        return "Its letters make no words, as when a cat walks on the keyboard."
    if _goes_round(text):
        return "It says the same over and over."
    return None


def _goes_round(text: str) -> bool:
    """Say whether a text goes round in a loop by its words, as drafts do by their tokens."""
    words = _WORD.findall(text.lower())
    known = list(dict.fromkeys(words))
    numbers = {word: number for number, word in enumerate(known)}

    def joined(ids: Sequence[int]) -> str:
        return " ".join(known[number] for number in ids)

    return first_loop([numbers[word] for word in words], joined) is not None

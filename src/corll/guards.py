"""Guards against drafts that nobody can use: a text that goes round in a loop, and disclaimers.

The rules were measured: experiments/LOG.md says on what, and how often they speak where they
should not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

_LONGEST_PERIOD = 60
_ROUNDS = 3
_SHORTEST_LOOP = 40
_WINDOW, _PIECE, _OFTEN = 120, 4, 6
_COVERED = 0.8
_LOOKS_AT = max(_WINDOW, _ROUNDS * _LONGEST_PERIOD)

OPENING = 24
"""Tokens after which a text has opened, so that a disclaimer shows."""

_DISCLAIMER = re.compile(
    r"\W*(?:(?:hello|hi|hey)(?: there)?\W+)?[^.!?\n]{0,80}?"
    r"\b(?:as|i['’]m(?: just| only)?|i am(?: just| only)?) an? (?:\w+ ){0,2}?"
    r"(?:(?:ai|artificial intelligence)(?=\s*[,.;:!]|\s+(?:i|and i|my)\b)"
    r"|language model\b|(?:ai|virtual|digital) (?:model|assistant|system|chatbot)\b)",
    re.IGNORECASE,
)
"""In the first sentence: "As an AI, I", "I'm sorry, but as a helpful AI assistant"; not "as an AI
researcher"."""


def is_loop(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> bool:
    """Say whether a text that is being written goes round in a loop, by its latest tokens.

    It does where they are the same up to 60 tokens three times over, 40 tokens or more; and where
    of the latest 120 four in five stand in runs of four that come six times, as in "I'm here to
    help with the order, I'm here to help with the ticket, …". What has no letters is a rule or the
    empty field of a form. `decode` gives the text of ids.
    """
    if not (_goes_round(ids) or _says_the_same(ids)):
        return False
    return any(map(str.isalpha, decode(ids[-_SHORTEST_LOOP:])))


def first_loop(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int | None:
    """Return after how many of a text's ids it would be stopped as a loop; None where it is not."""
    ends = range(1, len(ids) + 1)
    return next((n for n in ends if is_loop(ids[max(0, n - _LOOKS_AT) : n], decode)), None)


def _goes_round(ids: Sequence[int]) -> bool:
    for period in range(1, _LONGEST_PERIOD + 1):
        wanted = max(_SHORTEST_LOOP, _ROUNDS * period) - period
        if len(ids) < wanted + period:
            return False
        if all(ids[-n] == ids[-n - period] for n in range(1, wanted + 1)):
            return True
    return False


def _says_the_same(ids: Sequence[int]) -> bool:
    window = tuple(ids[-_WINDOW:])
    if len(window) < _WINDOW:
        return False
    pieces = [window[n : n + _PIECE] for n in range(_WINDOW - _PIECE + 1)]
    often = {piece for piece, count in Counter(pieces).items() if count >= _OFTEN}
    places = {n + at for n, piece in enumerate(pieces) if piece in often for at in range(_PIECE)}
    return pieces[-1] in often and len(places) >= _COVERED * _WINDOW


def is_disclaimer(text: str) -> bool:
    """Say whether a text opens with what a model says of itself, as "As an AI language model"."""
    return _DISCLAIMER.match(text) is not None

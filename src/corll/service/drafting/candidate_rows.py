"""A candidate that is drawn: what of its text is settled, and what was told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from corll.memory.leaks import Leak
from corll.service.drafting.requests import TokenLogprob

_CUT_SHORT = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer puts where a character's last bytes are still to come."""


@dataclass
class Row:
    """A candidate under way: what of its text is settled, and what was told of it.

    `ends` are where the text ends after each token; `free` is how much of it was searched for
    leaks, and `resumes` says that what follows on what was told is to be drawn anew.
    """

    number: int
    text: str = ""
    told: int = 0
    ends: list[int] = field(default_factory=list)
    searched: str = ""
    free: int = 0
    resumes: bool = False
    ended: bool = False
    stopped: bool = False
    looped: bool = False
    unusable: bool = False
    leaks: tuple[Leak, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    logprobs_told: int = 0


def settled(text: str, stops: Sequence[str]) -> int:
    """Return how much of a growing text is settled: no half character, no half stop."""
    end = len(text)
    while end and text[end - 1] == _CUT_SHORT:
        end -= 1
    longest = max(map(len, stops), default=1) - 1
    for length in range(min(longest, end), 0, -1):
        if any(stop.startswith(text[end - length : end]) for stop in stops):
            return end - length
    return end

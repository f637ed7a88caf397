"""A candidate that is drawn: what of its text is settled, and what was told of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import commonprefix

from corll.memory.leaks import Leak
from corll.service.drafting.requests import TokenLogprob

_CUT_SHORT = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer puts where a character's last bytes are still to come."""


@dataclass
class Row:
    """A candidate under way: what of its text is settled, and what was told of it.

    `ends` are where the text ends after each token; `free` is how much of it was searched for
    leaks, and `resumes` says that what follows on what was told is to be drawn anew. `begins` are
    where in the text each token of `logprobs` begins: the bytes of one character all begin with it.
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
    begins: list[int] = field(default_factory=list)
    logprobs_told: int = 0

    def add_logprob(self, told: TokenLogprob, text: str) -> None:
        """Note what is told of a token that made the row's text this one."""
        at = len(self.text) if text.startswith(self.text) else len(commonprefix([self.text, text]))
        for place in range(len(self.begins) - 1, -1, -1):
            if self.begins[place] <= at:
                break
            self.begins[place] = at
        self.logprobs.append(told)
        self.begins.append(at)

    def cut_logprobs(self, end: int) -> None:
        """Leave out the tokens of which no text stands in a text that was cut at `end`.

        The last one that is left may go on beyond it: it is told whole.
        """
        kept = self._tokens_before(end)
        del self.logprobs[kept:], self.begins[kept:]

    def untold_logprobs(self, end: int) -> tuple[TokenLogprob, ...]:
        """Return what is told with the text up to `end`: of each token that begins before it.

        Where that is the end of the candidate, the rest is told too. It counts as told then.
        """
        upto = len(self.logprobs) if self.ended else self._tokens_before(end)
        new = tuple(self.logprobs[self.logprobs_told : upto])
        self.logprobs_told += len(new)
        return new

    def _tokens_before(self, end: int) -> int:
        return bisect_left(self.begins, end)


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

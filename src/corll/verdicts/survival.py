"""Free evidence 2: whether an arm would have written the middle of a text that its user kept.

What ruins a writer of frames is an empty middle: after the greeting comes the closing, or the end.
The whole text's surprisal hardly shows it. The probability that the kept body comes to no such end
does, and needs no sampling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, fsum, isnan, log, log1p
from typing import TypeAlias

from corll.errors import InputError
from corll.text import normalize

Closing: TypeAlias = tuple[str, ...]
"""The last lines of a text, as they recur."""

_MOST_LINES = 5
_LEAST_SHARE = 4
"""A closing that one text in four ends with is one of several that its user takes turns with."""

_SURE = log(1e-6)
"""An end that is surer than 1 in a million is counted as that, so that a sum stays finite."""


def usual_closings(texts: Sequence[str]) -> tuple[Closing, ...]:
    """Return with which lines most of a user's texts end; none where they end in various ways.

    A closing recurs in two texts and in a quarter of them, with all of its lines, and leaves
    something of a text above it. Together they stand in more than half of the texts.
    """
    lines = [_lines(text) for text in texts]
    endings: Counter[Closing] = Counter()
    for one in lines:
        endings.update(one[-count:] for count in range(1, min(_MOST_LINES, len(one) - 1) + 1))
    often = max(2, -(-len(texts) // _LEAST_SHARE))
    recur = {ending for ending, count in endings.items() if count >= often}
    # Of "Kind regards, / Anna" and "Anna" the longer is the closing, where it mostly is.
    longer: Counter[Closing] = Counter()
    for ending in recur:
        longer[ending[1:]] += endings[ending]
    whole = {ending for ending in recur if 2 * longer[ending] <= endings[ending]}
    closed = sum(any(_ends_with(one, closing) for closing in whole) for one in lines)
    if 2 * closed <= len(texts):
        return ()
    return tuple(sorted(whole, key=lambda closing: (-endings[closing], closing)))


def body_end(text: str, closings: Sequence[Closing]) -> int:
    """Return where in a text its usual closing begins; its length where none stands at its end."""
    found = [closing for closing in closings if _ends_with(_lines(text), closing)]
    place = len(text)
    for line in reversed(max(found, key=len, default=())):
        place = text.rfind(line, 0, place)
        if place < 0:
            return len(text)
    return place


def log_survival(
    ends: Sequence[float], closings: Sequence[float], body: Sequence[bool], opens: Sequence[bool]
) -> float | None:
    """Return the log-probability that a kept body comes to no end before its own.

    At each of its tokens the text could end, and where a line begins (`opens`) it could go on with
    the first token of a usual closing instead. These exclude one another, so a token survives with
    1 − P(end) − P(closing). None where nothing of a body was kept.

    *Shapes*: T log P(end), T log P(a closing's first token), T marks of kept tokens of the body, T
    marks of tokens that begin a line. *Units*: nats, 0 at most.
    *Raises*: InputError where their numbers differ, or one is no log-probability.
    """
    if len({len(ends), len(closings), len(body), len(opens)}) > 1:
        raise InputError("Give as many ends, closings and marks as the text has tokens.")
    risks = [
        (end, closing if opening else None)
        for end, closing, kept, opening in zip(ends, closings, body, opens, strict=True)
        if kept
    ]
    return fsum(_log_left(*risk) for risk in risks) if risks else None


def _log_left(end: float, closing: float | None) -> float:
    """Return log(1 − P(end) − P(closing)) of their logarithms, no less than the surest end."""
    given = (end,) if closing is None else (end, closing)
    if any(isnan(one) or one > 0 for one in given):
        raise InputError(
            f"{max(given):g} is no log-probability; score the text with weights that are finite."
        )
    ending = fsum(map(exp, given))
    return max(log1p(-ending), _SURE) if ending < 1 else _SURE


def _lines(text: str) -> Closing:
    return tuple(line.strip() for line in normalize(text).split("\n") if line.strip())


def _ends_with(lines: Closing, closing: Closing) -> bool:
    return len(lines) > len(closing) and lines[len(lines) - len(closing) :] == closing

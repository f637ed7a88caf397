"""Free evidence 1: how much the text that a user inserted surprises an arm.

A sent text holds the words of whoever drafted it, so the surprisal of the whole favours the arm
that drafted. Of the inserted tokens alone it favours that arm least: what stands around them is its
draft, for every arm alike. So it may propose an arm and never decide for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite

from corll.errors import InputError

CLIP = 1.0
"""*Units*: nats a token. One edit says no more than this, whatever it holds."""


def inserted_surprisal(logprobs: Sequence[float], inserted: Sequence[bool]) -> float | None:
    """Return the mean −log π over the inserted tokens; None where nothing was inserted.

    *Shapes*: T log-probabilities of the sent text's tokens, T marks. *Units*: nats a token.
    *Raises*: InputError where their numbers differ, or an inserted token's is no log-probability.
    """
    if len(logprobs) != len(inserted):
        raise InputError(
            f"There are {len(logprobs)} log-probabilities and {len(inserted)} marks; give one of "
            "each for every token of the sent text."
        )
    found = [logprob for logprob, own in zip(logprobs, inserted, strict=True) if own]
    odd = next((logprob for logprob in found if not (isfinite(logprob) and logprob <= 0)), None)
    if odd is not None:
        raise InputError(
            f"The log-probability {odd:g} of an inserted token is not a finite number of 0 or "
            "less; score the text with weights that are finite."
        )
    return -fsum(found) / len(found) if found else None


def gain(arm: float | None, other: float | None, *, clip: float = CLIP) -> float | None:
    """Return by how much less one arm was surprised than another, between −`clip` and `clip`.

    None where the edit says nothing of either. *Units*: those of the two, which are paired: of one
    edit, at the same tokens.
    """
    if not clip > 0:
        raise InputError(f"The clip is {clip:g}; give a number above 0.")
    if arm is None or other is None:
        return None
    return max(-clip, min(clip, other - arm))

"""Free evidence of a user's edits, pooled over versions: of what was learned, of past letters.

A sent text holds the words of whoever drafted it, so the evidence favours the arm that drafted.
That it finds what serves worse is the stronger sign; that it finds something better only proposes a
trial (`arms.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum
from typing import Any, NamedTuple

from corll.verdicts.anytime import PairedTest, Verdict
from corll.verdicts.arms import Arm, Coin, arm_with, has_memory, has_weights
from corll.verdicts.surprisal import gain

FORGETS_AFTER = 40
"""Edits of which the verdicts are, since tastes change and versions follow one another."""

_LEARNED: Sequence[tuple[Arm, Arm]] = (("both", "memory"), ("weights", "base"))
_LETTERS: Sequence[tuple[Arm, Arm]] = (("both", "weights"), ("memory", "base"))
"""Arms with and without, the pair first that is nearer to how drafts are drawn."""


class EditScores(NamedTuple):
    """What one edit says of one arm; None where it says nothing.

    *Units*: `surprisal` in nats a token, the less the better; `log_survival` in nats, 0 at most,
    the more the better.
    """

    surprisal: float | None
    log_survival: float | None


def _fresh() -> PairedTest:
    return PairedTest(forget_after=FORGETS_AFTER)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a user's edits say of their versions against π_0, and of past letters against none.

    A gain is how much less the inserted tokens surprised the arm with it, and how much likelier the
    kept body was to go on: the mean of both, each clipped to a nat.
    """

    learned: PairedTest = field(default_factory=_fresh)
    letters: PairedTest = field(default_factory=_fresh)

    def after(self, scores: Mapping[Arm, EditScores]) -> Evidence:
        """Return the evidence after an edit, scored before it was learned from."""
        return Evidence(
            _after(self.learned, _LEARNED, scores), _after(self.letters, _LETTERS, scores)
        )

    def with_learned_anew(self) -> Evidence:
        """Return the evidence of letters alone, where other weights serve from now on."""
        return replace(self, learned=_fresh())

    def proposal(self, coin: Coin) -> Arm | None:
        """Return the arm that is worth a trial against the one that serves; None where none is.

        It differs in one thing, what was learned before past letters.
        """
        memory, weights = has_memory(coin.serving), has_weights(coin.serving)
        if self.learned.verdict == _contradicts(weights):
            return arm_with(memory=memory, weights=not weights)
        if self.letters.verdict == _contradicts(memory):
            return arm_with(memory=not memory, weights=weights)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as JSON holds it, for `from_dict`."""
        return {"learned": self.learned.to_dict(), "letters": self.letters.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Evidence:
        return cls(*(PairedTest.from_dict(fields[name]) for name in ("learned", "letters")))


def gain_of(arm: EditScores, other: EditScores) -> float | None:
    """Return what an edit says for one arm against another, from −1 to 1; None for nothing.

    *Units*: nats.
    """
    found = [gain(arm.surprisal, other.surprisal)]
    # The more survives the better, so that the two change places.
    found.append(gain(_negative(arm.log_survival), _negative(other.log_survival)))
    said = [one for one in found if one is not None]
    return fsum(said) / len(said) if said else None


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _after(
    test: PairedTest, pairs: Sequence[tuple[Arm, Arm]], scores: Mapping[Arm, EditScores]
) -> PairedTest:
    for arm, other in pairs:
        if arm in scores and other in scores:
            found = gain_of(scores[arm], scores[other])
            return test if found is None else test.after(found)
    return test


def _contradicts(serves: bool) -> Verdict:
    return "worse" if serves else "better"

"""A verdict that may be asked for after each edit: better, worse, or not known yet.

Whoever looks at a usual test after each of sixty edits is wrong in one case of five. Here a capital
of 1 bets on each gain; where there is none it reaches 1/α in a share α of cases at most, however
often one looks (Ville 1939). The bets are fixed fractions of the capital, several side by side, so
that the verdict holds for gains pooled over consecutive versions too: an arm that was never better
on average so far is called better with probability α/2 at most, though some of its versions were.
*Source*: betting on bounded means, Waudby-Smith and Ramdas 2024 (arXiv 2010.09686); why fixed bets,
and what they see: `experiments/verdicts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, fsum, isfinite, log, log1p
from typing import Any, Literal, TypeAlias

from corll.errors import InputError

Verdict: TypeAlias = Literal["better", "worse", "not known yet"]

BETS = (0.1, 0.2, 0.4, 0.8)
"""Fractions of the capital that are bet on each gain, an equal part of the capital on each."""

_HIGHEST = log(1e15)


@dataclass(frozen=True, slots=True)
class _Capitals:
    """What came of bets on gains and on losses. *Units*: the logarithm of each bet's capital."""

    count: int
    on_gains: tuple[float, ...]
    on_losses: tuple[float, ...]

    @classmethod
    def fresh(cls, bets: Sequence[float]) -> _Capitals:
        return cls(0, (0.0,) * len(bets), (0.0,) * len(bets))

    def after(self, gain: float, bets: Sequence[float]) -> _Capitals:
        """Return the capitals after a gain between -1 and 1."""
        return _Capitals(
            self.count + 1,
            tuple(one + log1p(bet * gain) for one, bet in zip(self.on_gains, bets, strict=True)),
            tuple(one + log1p(-bet * gain) for one, bet in zip(self.on_losses, bets, strict=True)),
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> _Capitals:
        return cls(fields["count"], tuple(fields["on_gains"]), tuple(fields["on_losses"]))


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A test of paired gains of one arm over another, which stops whenever one likes.

    A gain is what the other arm cost more for the same edit; beyond ±`clip` it counts as `clip`, so
    the test is of the mean of clipped gains. Each of the two wrong verdicts has a probability of
    `alpha` / 2 at most. With `forget_after` edits N, since tastes change, the verdict is that of
    the last N/2 to N edits, and `alpha` holds for each such stretch. `bets` are fractions of the
    capital; large ones see large gains soon and small ones late.
    """

    alpha: float = 0.05
    clip: float = 1.0
    forget_after: int | None = None
    bets: tuple[float, ...] = BETS
    _running: tuple[_Capitals, ...] = ()

    def __post_init__(self) -> None:
        if not (self.bets and all(0 < bet < 1 for bet in self.bets)):
            raise InputError(f"The bets are {self.bets}; give fractions between 0 and 1.")
        if not self._running:
            object.__setattr__(self, "_running", (_Capitals.fresh(self.bets),))
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha is {self.alpha:g}; give a probability between 0 and 1.")
        if not (self.clip > 0 and isfinite(self.clip)):
            raise InputError(f"The clip is {self.clip:g}; give a finite number above 0.")
        if self.forget_after is not None and self.forget_after < 2:
            raise InputError(f"forget_after is {self.forget_after}; give 2 edits or more, or None.")

    @property
    def count(self) -> int:
        """The number of gains that the verdict is of."""
        return self._running[0].count

    @property
    def verdict(self) -> Verdict:
        """Whether the arm is better or worse than the other, as far as is known."""
        return self._judged(2 / self.alpha, 2 / self.alpha)

    def verdict_with(self, prior: float) -> Verdict:
        """Return the verdict given how probable it was beforehand that the arm is better.

        What is improbable needs more evidence, by the odds against it: over arms of which a share
        `prior` is better, α still bounds the wrong ones. *Raises*: InputError outside (0, 1).
        """
        if not 0 < prior < 1:
            raise InputError(f"The prior is {prior:g}; give a probability between 0 and 1.")
        odds = prior / (1 - prior)
        return self._judged(2 / self.alpha / odds, 2 / self.alpha * odds)

    def evidence(self) -> tuple[float, float]:
        """Return the capital that bets on gains have come to, and that on losses, from 1 each."""
        capitals = self._running[0]
        return _together(capitals.on_gains), _together(capitals.on_losses)

    def after(self, gain: float) -> PairedTest:
        """Return the test with a further gain. *Raises*: InputError where it is no number."""
        if not isfinite(gain):
            raise InputError(f"A gain is {gain:g}; leave out edits that say nothing of an arm.")
        share = max(-1.0, min(1.0, gain / self.clip))
        running = self._running
        if self.forget_after is not None:
            running = _renewed(running, self.forget_after, self.bets)
        return replace(self, _running=tuple(one.after(share, self.bets) for one in running))

    def to_dict(self) -> dict[str, Any]:
        """Return the test as JSON holds it, for `from_dict`."""
        return {
            "alpha": self.alpha,
            "clip": self.clip,
            "forget_after": self.forget_after,
            "bets": list(self.bets),
            "running": [asdict(capitals) for capitals in self._running],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PairedTest:
        running = tuple(map(_Capitals.from_dict, fields["running"]))
        given = {name: fields[name] for name in ("alpha", "clip", "forget_after")}
        return cls(**given, bets=tuple(fields["bets"]), _running=running)

    def _judged(self, for_better: float, for_worse: float) -> Verdict:
        gains, losses = self.evidence()
        # Both can have been reached, one after the other; then the later edits contradict.
        if gains >= for_better and losses < for_worse:
            return "better"
        if losses >= for_worse and gains < for_better:
            return "worse"
        return "not known yet"


def _renewed(
    running: tuple[_Capitals, ...], forget_after: int, bets: Sequence[float]
) -> tuple[_Capitals, ...]:
    """Return what takes the next gain: begun twice in each stretch, the older judges until full."""
    if running[0].count >= forget_after:
        running = running[1:]
    if len(running) == 1 and running[0].count >= forget_after // 2:
        return (*running, _Capitals.fresh(bets))
    return running


def _together(capitals: Sequence[float]) -> float:
    """Return the mean capital of its bets' logarithms, no higher than JSON and people can read."""
    highest = max(capitals)
    mean = log(fsum(exp(one - highest) for one in capitals) / len(capitals))
    return exp(min(highest + mean, _HIGHEST))

"""A coin between two arms: which of them drafts, and what the costs of such drafts decide.

The coin alone is unbiased: the arm did not see the request before it was chosen, and the user did
not choose it. Free evidence proposes who is tried next and decides nothing. One challenger is tried
at a time against the arm that serves, with 30 % of drafts until that is decided, then with 5 %, so
that a change of taste is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from corll.errors import InputError
from corll.verdicts.anytime import PairedTest, Verdict

Arm: TypeAlias = Literal["base", "memory", "weights", "both"]
"""The plain reference; the user's past letters before the request; what was learned; both."""
ARMS: tuple[Arm, ...] = get_args(Arm)

TRIED, WATCHED = 0.3, 0.05
"""The challenger's share of drafts until it is decided, and after."""

MOST_TRIED = 150
"""Drafts after which a trial that is not decided ends; who serves goes on."""

_ALPHA = 0.1
_BETS = (0.4, 0.95)
"""Large ones: a gain is a small part of the most that it could be (`experiments/verdicts.py`)."""

_FORGETS = 0.9
"""The weight of a cost against that of the next one, in what costs are expected to be."""


def arm_with(*, memory: bool, weights: bool) -> Arm:
    """Return the arm that drafts with these."""
    return ("both" if weights else "memory") if memory else ("weights" if weights else "base")


def has_memory(arm: Arm) -> bool:
    """Say whether past letters stand before the requests of an arm."""
    return arm in ("memory", "both")


def has_weights(arm: Arm) -> bool:
    """Say whether an arm drafts by what was learned."""
    return arm in ("weights", "both")


def within(arm: Arm, *, memory: bool, weights: bool) -> Arm:
    """Return what is left of an arm where there may be no letters, or nothing learned, yet."""
    return arm_with(memory=has_memory(arm) and memory, weights=has_weights(arm) and weights)


class Toss(NamedTuple):
    """Which arm drafts, and the probability that the challenger would: to be kept with the draft.

    `trial` says of which trial it is; costs that come after that has ended decide nothing.
    """

    arm: Arm
    share: float
    trial: int


class Chosen(NamedTuple):
    """The arm that drafts, and the toss that decided on it; None where no coin did."""

    arm: Arm
    toss: Toss | None = None


class Decision(NamedTuple):
    """How a trial ended, after so many drafts that the coin decided on."""

    winner: Arm
    loser: Arm
    drafts: int


@dataclass(frozen=True, slots=True)
class Prior:
    """How often an arm won a decided trial against another, over all users.

    *Units*: `wins` of the first over the second, by (first, second).
    """

    wins: Mapping[tuple[Arm, Arm], int] = field(default_factory=dict)

    def chance(self, arm: Arm, other: Arm) -> float:
        """Return the probability that an arm is better, from 1 in 10 to 9 in 10.

        Before there are any users it is one half (Laplace's rule); no number of users makes the
        evidence of a single one needless.
        """
        won, lost = self.wins.get((arm, other), 0), self.wins.get((other, arm), 0)
        return min(0.9, max(0.1, (won + 1) / (won + lost + 2)))


@dataclass(frozen=True, slots=True)
class Coin:
    """The state of one user's coin: who serves, who is tried, and what is known of both.

    `typical_cost` is that of one draft, at which a cost counts half as much as one beyond all
    bounds: costs have no upper bound, and one draft must not decide. So the arms are compared by
    the mean of cost / (cost + typical_cost).
    """

    serving: Arm = "base"
    challenger: Arm | None = "memory"
    typical_cost: float = 0.5
    alpha: float = _ALPHA
    share: float = TRIED
    trial: int = 0
    expected: float = 0.5
    test: PairedTest = field(default_factory=lambda: _fresh(_ALPHA))

    def __post_init__(self) -> None:
        for arm in (self.serving, self.challenger):
            if arm is not None and arm not in ARMS:
                raise InputError(f"There is no arm {arm!r}; there are: {', '.join(ARMS)}.")
        if self.serving == self.challenger:
            raise InputError(f"The arm {self.serving!r} serves and cannot be tried against itself.")
        if not (self.typical_cost > 0 and isfinite(self.typical_cost)):
            raise InputError(f"typical_cost is {self.typical_cost:g}; give a number above 0.")

    @classmethod
    def between(
        cls, serving: Arm, challenger: Arm, *, typical_cost: float = 0.5, alpha: float = _ALPHA
    ) -> Coin:
        """Return a coin that begins to try an arm against the one that serves."""
        return cls(serving, challenger, typical_cost, alpha, test=_fresh(alpha))

    @classmethod
    def at_first(cls, *, letters: bool) -> Coin:
        """Return the coin of a new user: what is learned serves, against the same without it.

        `letters`: whether past letters stand before requests.
        """
        return cls.between("both", "memory") if letters else cls.between("weights", "base")

    def choose(self, uniform: float | None, *, letters: bool, learned: bool) -> Chosen:
        """Return the arm that drafts, of those that there are; None: no coin may decide.

        `letters`: whether past letters may stand before the request; `learned`: whether a version
        serves. A coin decides where both arms of its trial are there.
        """
        tried = [arm for arm in (self.serving, self.challenger) if arm is not None]
        are_there = all(within(arm, memory=letters, weights=learned) == arm for arm in tried)
        if uniform is None or len(tried) < 2 or not are_there:
            return Chosen(within(self.serving, memory=letters, weights=learned))
        toss = self.toss(uniform)
        return Chosen(toss.arm, toss)

    def toss(self, uniform: float) -> Toss:
        """Return which arm drafts, by a random number from [0, 1)."""
        if self.challenger is None or uniform >= self.share:
            return Toss(self.serving, 0.0 if self.challenger is None else self.share, self.trial)
        return Toss(self.challenger, self.share, self.trial)

    @property
    def verdict(self) -> Verdict:
        """Whether the challenger is better than the arm that serves, by coin drafts alone."""
        return self.test.verdict

    def after(self, toss: Toss, cost: float, prior: Prior | None = None) -> Coin:
        """Return the coin after what a draft cost that it decided on.

        The better arm serves from then on, and the other is watched with 5 %. *Raises*: InputError
        where the cost is no number of 0 or more.
        """
        if not (isfinite(cost) and cost >= 0):
            raise InputError(f"The cost is {cost:g}; give a finite number of 0 or more.")
        if self.challenger is None or toss.trial != self.trial:
            return self
        burden = cost / (cost + self.typical_cost)
        coin = replace(
            self,
            test=self.test.after(_gain(toss.arm == self.challenger, burden, self)),
            expected=_FORGETS * self.expected + (1 - _FORGETS) * burden,
        )
        chance = (prior or Prior()).chance(self.challenger, self.serving)
        return coin._decided(coin.test.verdict_with(chance))

    def settled(
        self, toss: Toss, cost: float, prior: Prior | None = None
    ) -> tuple[Coin, Decision | None]:
        """Return the coin as `after` does, with a trial that takes too long given up.

        With it comes what the draft decided; None for nothing.
        """
        coin = self.after(toss, cost, prior)
        if coin.trial != self.trial:
            assert coin.challenger is not None
            return coin, Decision(coin.serving, coin.challenger, self.test.count + 1)
        return (coin.give_up() if coin.test.count >= MOST_TRIED else coin), None

    def propose(self, arm: Arm) -> Coin:
        """Return the coin with another challenger, where none is being tried.

        Free evidence may propose whenever it likes; a trial that is not decided goes on.
        """
        is_trying = self.challenger is not None and self.share == TRIED
        if is_trying or arm in (self.serving, self.challenger):
            return self
        return self._trying(self.serving, arm, TRIED)

    def give_up(self) -> Coin:
        """Return the coin with its undecided trial ended: who serves goes on, and is watched."""
        if self.challenger is None or self.share == WATCHED:
            return self
        return self._trying(self.serving, self.challenger, WATCHED)

    def to_dict(self) -> dict[str, Any]:
        """Return the coin as JSON holds it, for `from_dict`."""
        names = ("serving", "challenger", "typical_cost", "alpha", "share", "trial", "expected")
        return {name: getattr(self, name) for name in names} | {"test": self.test.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Coin:
        return cls(**{**fields, "test": PairedTest.from_dict(fields["test"])})

    def _decided(self, verdict: Verdict) -> Coin:
        assert self.challenger is not None
        if verdict == "better":
            return self._trying(self.challenger, self.serving, WATCHED)
        if verdict == "worse":
            return self._trying(self.serving, self.challenger, WATCHED)
        return self

    def _trying(self, serving: Arm, challenger: Arm, share: float) -> Coin:
        return replace(
            self,
            serving=serving,
            challenger=challenger,
            share=share,
            trial=self.trial + 1,
            test=_fresh(self.alpha),
        )


def _fresh(alpha: float) -> PairedTest:
    return PairedTest(alpha=alpha, bets=_BETS)


def _gain(is_challenger: bool, burden: float, before: Coin) -> float:
    """Return a gain of the challenger, by what one draft cost: its mean is 0 where there is none.

    The mean of (burden − expected) / share, of the arm that serves less the challenger, is what the
    challenger saves, whatever was expected; a good guess takes variance away. It is divided by the
    most that it can come to, which is known before the toss.
    """
    shares = (1 - before.share, before.share)
    most = max(before.expected, 1 - before.expected) / min(shares)
    sign = -1 if is_challenger else 1
    return sign * (burden - before.expected) / shares[is_challenger] / most

"""Which anytime-valid test a verdict is by, how often it is wrong, and what it sees.

    python experiments/verdicts.py

Paired gains are drawn, clipped at ±1, and looked at after each edit; no model is needed. Prints for
candidates, by kind and spread of the noise, the share of runs that ever call equal arms different,
and of those that have called the better arm better after 20, 60 and 120 edits. Then the same for
the coin: costs of drafts, of which one arm's are so many times the other's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from corll.verdicts.anytime import BETS
from corll.verdicts.arms import Coin

RUNS, EDITS, ALPHA = 2000, 240, 0.05
THRESHOLD = math.log(2 / ALPHA)
MARKS = (20, 60, 120)

Array = NDArray[np.float64]


def fixed(*bets: float) -> Callable[[Array], Array]:
    """Fixed fractions of the capital, side by side. *Shapes*: runs × edits, as all of these."""

    def evidence(gains: Array) -> Array:
        logs = np.stack([np.cumsum(np.log1p(bet * gains), 1) for bet in bets])
        together: Array = np.logaddexp.reduce(logs, 0) - math.log(len(bets))
        return together

    return evidence


def plugged_in(most: float) -> Callable[[Array], Array]:
    """A bet by the mean and variance so far (aGRAPA, arXiv 2010.09686)."""

    def evidence(gains: Array) -> Array:
        seen = np.arange(1, gains.shape[1] + 1) + 1
        mean = np.cumsum(gains, 1) / seen
        variance = (0.25 + np.cumsum((gains - mean) ** 2, 1)) / seen
        bets = np.clip(mean / (variance + mean**2), 0, most)
        bets = np.concatenate([np.full((len(gains), 1), 0.1), bets[:, :-1]], 1)
        return np.cumsum(np.log1p(bets * gains), 1)

    return evidence


def sub_gaussian(gains: Array) -> Array:
    """A normal mixture that knows the bound of a gain and not its variance (Robbins 1970)."""
    total, seen = np.cumsum(gains, 1), np.arange(1, gains.shape[1] + 1)
    evidence = 0.5 * np.log(20 / (20 + seen)) + total**2 / (2 * (20 + seen))
    return np.where(total > 0, evidence, 0.0)


def usual(gains: Array) -> Array:
    """The usual z test at 5 %, looked at after each edit from the eighth on."""
    seen = np.arange(1, gains.shape[1] + 1)
    mean = np.cumsum(gains, 1) / seen
    spread = np.sqrt(np.maximum(np.cumsum(gains**2, 1) / seen - mean**2, 1e-9))
    return np.where((seen >= 8) & (mean * np.sqrt(seen) > 1.96 * spread), THRESHOLD, 0.0)


CANDIDATES: dict[str, Callable[[Array], Array]] = {
    f"fixed {BETS}": fixed(*BETS),
    "fixed (0.15, 0.5)": fixed(0.15, 0.5),
    "plugged in, to 0.5": plugged_in(0.5),
    "plugged in, to 0.9": plugged_in(0.9),
    "sub-Gaussian": sub_gaussian,
    "usual, peeked at": usual,
}


def noise(kind: str, spread: float, seed: int) -> Array:
    rng, shape = np.random.default_rng(seed), (RUNS, EDITS)
    drawn: Array = {
        "normal": lambda: rng.standard_normal(shape),
        "heavy": lambda: rng.standard_t(3, shape) / math.sqrt(3),
        "skewed": lambda: rng.exponential(1.0, shape) - 1,
    }[kind]()
    return spread * drawn


def ever(evidence: Callable[[Array], Array], gains: Array) -> NDArray[np.bool_]:
    """Whether a run has been called better up to each edit. *Shapes*: runs × edits."""
    return np.maximum.accumulate(evidence(np.clip(gains, -1, 1)) >= THRESHOLD, axis=1)


def percent(shares: Sequence[float]) -> str:
    return " / ".join(f"{100 * share:.0f}" for share in shares)


def paired() -> None:
    print("| noise | test | false alarms, % | +0.1: 20 / 60 / 120 edits, % | +0.2 | +0.4 |")
    print("|---|---|---|---|---|---|")
    for kind, spread in (("normal", 0.3), ("normal", 0.6), ("heavy", 0.6), ("skewed", 0.6)):
        drawn = noise(kind, spread, seed=1)
        # Equal arms: the mean of the clipped gains is 0.
        equal = np.clip(drawn, -1, 1) - np.clip(noise(kind, spread, seed=2), -1, 1).mean()
        for name, evidence in CANDIDATES.items():
            wrong = [ever(evidence, sign * equal)[:, -1].mean() for sign in (1, -1)]
            seen = [ever(evidence, drawn + effect).mean(0) for effect in (0.1, 0.2, 0.4)]
            powers = [percent([one[mark - 1] for mark in MARKS]) for one in seen]
            row = [f"{kind} {spread}", name, f"{100 * sum(wrong):.1f}", *powers]
            print(f"| {' | '.join(row)} |")


def drifting() -> None:
    """Versions in turns worse and better by as much: never better on average so far."""
    print("\n| test | called better, %: ±0.1 | ±0.3 |\n|---|---|---|")
    for name, evidence in CANDIDATES.items():
        shares = []
        for size in (0.1, 0.3):
            means = np.where(np.arange(EDITS) % 60 < 30, -size, size)
            shares.append(ever(evidence, means + noise("normal", 0.4, seed=3))[:, -1].mean())
        print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |")


def decided(ratio: float, seed: int, drafts: int) -> tuple[int, str]:
    """After how many drafts a coin is decided, and who serves then."""
    rng, coin = random.Random(seed), Coin.between("base", "memory")
    sigma = math.sqrt(math.log(1 + 1.2**2))
    for number in range(1, drafts + 1):
        toss = coin.toss(rng.random())
        mean = 0.6 * (ratio if toss.arm == "memory" else 1.0)
        coin = coin.after(toss, mean * math.exp(rng.gauss(0, sigma) - sigma**2 / 2))
        if coin.trial:
            return number, coin.serving
    return drafts + 1, coin.serving


def coin(runs: int = 1000) -> None:
    print(
        "\n| the challenger costs | it serves after 30 / 60 / 120 / 240 drafts, % | rejected, % |"
    )
    print("|---|---|---|")
    marks = (30, 60, 120, 240)
    for ratio in (1.0, 0.8, 0.6, 0.4, 0.2, 1.5, 2.5):
        found = [decided(ratio, seed, marks[-1]) for seed in range(runs)]
        shares = [
            percent([sum(n <= m and arm == one for n, arm in found) / runs for m in marks])
            for one in ("memory", "base")
        ]
        print(f"| {ratio:g} × | {' | '.join(shares)} |")


if __name__ == "__main__":
    paired()
    drifting()
    coin()

"""The tables of the rounds: each arm against another, as a whole, by stretches and by users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from check_arms import DEFAULTS
from corll.errors import InputError
from hierarchical import (
    Statistic,
    difference_of_means,
    estimates,
    ratio_of_sums,
    ratio_of_tails,
)
from paired import Array, Estimate
from round_arms import ARMS

Line = Mapping[str, Any]
ArmKey = tuple[str, str]
Measure = Callable[[Line], float]

STRETCHES = (range(1, 21), range(21, 51), range(51, 101))
"""Rounds that are looked at by themselves while an arm learns."""

_HEAD = """\
Each arm against {against} over the same users, seeds and rounds, with 95 % intervals by a
hierarchical bootstrap (users, then seeds, then blocks of five rounds). Costs are seconds to send;
"tail" is the 95th percentile of a round's. Ratios are of sums. "Flawed" drafts loop or have no
body, and behind it stands by how much their share is larger. Tokens are a round's: those of the
prompt, and those by which rules in words were inferred."""


class Rounds:
    """The lines of rounds, by user, seed and arm. *Raises*: InputError for lines of other arms."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._by: dict[tuple[str, int, ArmKey], list[Line]] = {}
        for line in sorted(lines, key=lambda line: int(line["edit"])):
            if line["arm"] not in ARMS:
                known = ", ".join(ARMS)
                raise InputError(f"There is no arm {line['arm']!r} of rounds; there are {known}.")
            key = line["writer"], line["seed"], (line["arm"], line["label"])
            self._by.setdefault(key, []).append(line)
        self.users = sorted({user for user, _, _ in self._by})
        order = list(ARMS)
        arms = {arm for _, _, arm in self._by}
        self.arms = sorted(arms, key=lambda arm: (arm[1] != DEFAULTS, arm[1], order.index(arm[0])))

    def of(self, arm: ArmKey, user: str | None = None) -> list[Line]:
        """Return the lines of an arm, of one user or of all."""
        return [
            line
            for (whose, _, which), lines in self._by.items()
            if which == arm and user in (None, whose)
            for line in lines
        ]

    def beside(
        self,
        arm: ArmKey,
        against: str,
        measures: Sequence[Measure],
        *,
        users: Iterable[str] | None = None,
        rounds: range | None = None,
    ) -> list[list[Array]]:
        """Return measures of rounds that two arms share, by user and seed, in order.

        The other arm is that of the same label, or the defaults' where there is none. *Shapes*:
        n × 2·M each, own and other in turns.
        """
        groups: list[list[Array]] = []
        for user in self.users if users is None else users:
            seeds = [s for whose, s, which in self._by if (whose, which) == (user, arm)]
            found = [self._paired(user, seed, arm, against, measures, rounds) for seed in seeds]
            if kept := [rows for rows in found if len(rows)]:
                groups.append(kept)
        return groups

    def _paired(
        self,
        user: str,
        seed: int,
        arm: ArmKey,
        against: str,
        measures: Sequence[Measure],
        rounds: range | None,
    ) -> Array:
        others = self._by.get((user, seed, (against, arm[1]))) or self._by.get(
            (user, seed, (against, DEFAULTS)), []
        )
        by_round = {line["edit"]: line for line in others}
        pairs = [
            (line, by_round[line["edit"]])
            for line in self._by[user, seed, arm]
            if line["edit"] in by_round and (rounds is None or line["edit"] in rounds)
        ]
        rows = [[value(one) for value in measures for one in pair] for pair in pairs]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2 * len(measures))


def seconds(line: Line) -> float:
    """Return the seconds from a draft's being shown to its being sent."""
    return float(line["seconds"])


def distance(line: Line) -> float:
    """Return the edit distance of a draft from what was sent, in characters."""
    return float(line["edit_cost"] * max(len(line["sent"]), 1))


def flawed(line: Line) -> float:
    """Return 1 for a draft that loops or has no body, else 0."""
    return float(line["empty"] or line["looping"])


def report(lines: Iterable[Line], *, against: str) -> str:
    """Return the tables of all arms. *Raises*: InputError where that arm was not played."""
    rounds = Rounds(lines)
    if against not in {name for name, _ in rounds.arms}:
        there = ", ".join(dict.fromkeys(name for name, _ in rounds.arms))
        raise InputError(f"The arm {against} was not played; there are rounds of {there}.")
    parts = [_HEAD.format(against=against), _arms(rounds, against), _stretches(rounds, against)]
    return "\n\n".join([*parts, _users(rounds, against)])


def _arms(rounds: Rounds, against: str) -> str:
    rows = [
        "| arm | users | rounds | s a round | cost | edit distance | typed share | tail, s | "
        "tail, ratio | flawed | prompt tokens | rule tokens |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in rounds.arms:
        lines = rounds.of(arm)
        costs = [seconds(line) for line in lines]
        cost, far, tail, worse = _estimates(
            rounds,
            arm,
            against,
            [seconds, distance, flawed],
            [
                ratio_of_sums(0, 1),
                ratio_of_sums(2, 3),
                ratio_of_tails(0, 1),
                difference_of_means(4, 5),
            ],
        )
        cells = [
            _named(arm),
            str(len({line["writer"] for line in lines})),
            str(len(lines)),
            f"{np.mean(costs):.1f}",
            _text(cost),
            _text(far),
            f"{np.mean([line['typed_share'] for line in lines]):.2f}",
            f"{np.quantile(costs, 0.95):.0f}",
            _text(tail),
            f"{np.mean([flawed(line) for line in lines]):.1%} {_points(worse)}".strip(),
            f"{np.mean([line['prompt_tokens'] for line in lines]):.0f}",
            f"{np.mean([line.get('rule_tokens', 0) for line in lines]):.0f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    alone = sum(line["alone"] for line in rounds.of(rounds.arms[0]))
    itself = alone / sum(seconds(line) for line in rounds.of(rounds.arms[0]))
    rows.append(f"\nWriting it oneself costs {itself:.2f} of {_named(rounds.arms[0])}.")
    return "\n".join(rows)


def _stretches(rounds: Rounds, against: str) -> str:
    names = [f"rounds {part[0]}–{part[-1]}" for part in STRETCHES]
    rows = [f"| cost by stretches | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for arm in _others(rounds, against):
        found = [
            _estimates(rounds, arm, against, [seconds], [ratio_of_sums(0, 1)], rounds_of=part)[0]
            for part in STRETCHES
        ]
        rows.append(f"| {_named(arm)} | {' | '.join(map(_text, found))} |")
    return "\n".join(rows)


def _users(rounds: Rounds, against: str) -> str:
    arms = _others(rounds, against)
    rows = [f"| cost by user | {' | '.join(map(_named, arms))} |", "|---" * (1 + len(arms)) + "|"]
    for user in rounds.users:
        found = [
            _estimates(rounds, arm, against, [seconds], [ratio_of_sums(0, 1)], users=[user])[0]
            for arm in arms
        ]
        rows.append(f"| {user} | {' | '.join(map(_text, found))} |")
    return "\n".join(rows)


def _estimates(
    rounds: Rounds,
    arm: ArmKey,
    against: str,
    measures: Sequence[Measure],
    statistics: Sequence[Statistic],
    *,
    users: Iterable[str] | None = None,
    rounds_of: range | None = None,
) -> Sequence[Estimate | None]:
    """Return estimates of an arm against another; None each for itself, or without pairs."""
    groups = rounds.beside(arm, against, measures, users=users, rounds=rounds_of)
    if arm == (against, DEFAULTS) or not groups:
        return [None] * len(statistics)
    return estimates(groups, statistics)


def _others(rounds: Rounds, against: str) -> list[ArmKey]:
    return [arm for arm in rounds.arms if arm != (against, DEFAULTS)]


def _named(arm: ArmKey) -> str:
    return arm[0] if arm[1] == DEFAULTS else f"{arm[0]}, {arm[1]}"


def _text(estimate: Estimate | None) -> str:
    return "–" if estimate is None else str(estimate)


def _points(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"({estimate.value:+.1%}, {estimate.low:+.1%} to {estimate.high:+.1%})"

"""The arms against the base, over all edits of a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

import numpy as np

from corll.evaluation import Interval
from corll.replay.intervals import Values, interval_of_users, mean_of_users
from corll.replay.scores import ReplayArm, ScoredEdit

Users = list[Values]
"""Values of each user, in order of time."""

Verdict = Literal["less", "more", "no difference shown", "too few edits"]
"""What an interval says of a number beside another; no difference is shown where it holds that."""


class Found(NamedTuple):
    """A mean over users, its interval and what it says; None where no edit says anything."""

    mean: float
    interval: Interval | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """The numbers of one arm over all edits; None where these say nothing, or nothing is defined.

    *Units*: `surprisal` and `difference`, to the base's, in nats an inserted token; `accuracy` the
    share of edits of which R_π prefers what was sent, where a tie counts half, beside a half.
    """

    arm: ReplayArm
    surprisal: float | None
    difference: Found | None
    accuracy: Found | None


@dataclass(frozen=True, slots=True)
class Counts:
    """The edits of a replay by what became of them.

    `edits` were scored, of which `deletions` inserted nothing and `unfit` were not learned from.
    """

    users: int
    edits: int
    deletions: int
    unfit: int
    accepted: int
    left_out: dict[str, int]


def count_edits(scored: Iterable[ScoredEdit]) -> Counts:
    """Count edits by what became of them, and those that were left out by their reasons."""
    found = list(scored)
    edits = [edit for edit in found if edit.outcome == "edit"]
    reasons = [edit.reason or "" for edit in found if edit.outcome == "left out"]
    return Counts(
        users=len({edit.user for edit in found}),
        edits=len(edits),
        deletions=sum(edit.inserted == 0 for edit in edits),
        unfit=sum(edit.unfit is not None for edit in edits),
        accepted=sum(edit.outcome == "accepted" for edit in found),
        left_out={reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
    )


def summarise(
    scored: Sequence[ScoredEdit], arms: Sequence[ReplayArm], *, seed: int
) -> list[ArmSummary]:
    """Return what the edits say of each arm, by the bootstrap of `intervals.py`."""
    return [_summary(scored, arm, seed) for arm in arms]


def differences(scored: Sequence[ScoredEdit], arm: ReplayArm, *, until: int | None = None) -> Users:
    """Return by how much an arm was more surprised than the base, by user and edit.

    `until` takes the edits up to that number of each user.
    """

    def difference(edit: ScoredEdit) -> float | None:
        own, base = edit.arms[arm].surprisal, edit.arms["base"].surprisal
        return None if own is None or base is None else own - base

    taken = [edit for edit in scored if until is None or edit.number <= until]
    return _by_user(taken, difference)


def _summary(scored: Sequence[ScoredEdit], arm: ReplayArm, seed: int) -> ArmSummary:
    surprisals = _by_user(scored, lambda edit: edit.arms[arm].surprisal)
    difference = accuracy = None
    if arm != "base":
        difference = _found(differences(scored, arm), beside=0.0, seed=seed)
        preferred = _by_user(scored, lambda edit: _preferred(edit, arm))
        accuracy = _found(preferred, beside=0.5, within=(0.0, 1.0), seed=seed)
    mean = mean_of_users(surprisals) if surprisals else None
    return ArmSummary(arm, mean, difference, accuracy)


def _preferred(edit: ScoredEdit, arm: ReplayArm) -> float | None:
    margin = edit.arms[arm].margin
    return None if margin is None else (float(np.sign(margin)) + 1) / 2


def _by_user(scored: Iterable[ScoredEdit], value_of: Callable[[ScoredEdit], float | None]) -> Users:
    """Return the values of scored edits user by user, without those that say nothing."""
    users: dict[str, list[float]] = {}
    for edit in scored:
        value = value_of(edit) if edit.outcome == "edit" else None
        if value is not None:
            users.setdefault(edit.user, []).append(value)
    return [np.array(values) for values in users.values()]


def _found(
    users: Users, *, beside: float, seed: int, within: tuple[float, float] = (-inf, inf)
) -> Found | None:
    if not users:
        return None
    interval = interval_of_users(users, seed=seed)
    if interval is None:
        return Found(mean_of_users(users), None, "too few edits")
    low, high = within
    interval = interval._replace(low=max(low, interval.low), high=min(high, interval.high))
    verdict: Verdict = "no difference shown"
    if interval.high < beside:
        verdict = "less"
    elif interval.low > beside:
        verdict = "more"
    return Found(interval.mean, interval, verdict)

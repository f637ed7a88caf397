"""Whose turn it is: fair queueing by the seconds of computing that each key and each user has had.

Keys have equal shares, and within a key its users: a key that speaks for many users cannot starve
another key, and none of its users the others. What has had least goes first. Who comes back after a
pause begins level with whoever had least of those who are there, so that nobody saves up turns
(start-time fair queueing, with what was measured in place of what was asked for, as the virtual
token counter of Sheng et al., *Fairness in Serving Large Language Models*, OSDI 2024, does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from math import ceil
from typing import NamedTuple, TypeVar

_FORGET_ABOVE = 1_000

Part = TypeVar("Part")


class Owner(NamedTuple):
    """Whose a draft is: a key, and the user that it is for."""

    key: str
    user: str


NOBODY = Owner("", "")
"""Requests that are nobody's in particular, such as those of tests."""


USER_SHARE, KEY_SHARE = 0.5, 0.75
"""What one user, and one key, may have of anything scarce, so that others still find some."""


class Held(NamedTuple):
    """What keys and users hold of something scarce."""

    by_user: Counter[Owner]
    by_key: Counter[str]

    @classmethod
    def of(cls, amounts: Iterable[tuple[Owner, int]]) -> Held:
        """Sum up what each holds."""
        held = cls(Counter(), Counter())
        for owner, amount in amounts:
            held.add(owner, amount)
        return held

    def add(self, owner: Owner, amount: int) -> None:
        """Add what an owner has got."""
        self.by_user[owner] += amount
        self.by_key[owner.key] += amount

    def allow(self, owner: Owner, more: int, whole: float) -> bool:
        """Say whether an owner may have more of `whole`: within the shares, or as a first piece."""
        user, key = self.by_user[owner], self.by_key[owner.key]
        within_user = not user or user + more <= ceil(whole * USER_SHARE)
        return within_user and (not key or key + more <= ceil(whole * KEY_SHARE))


class FairClocks:
    """Seconds of computing that each key and each of its users has had."""

    def __init__(self) -> None:
        self._keys: dict[str, float] = {}
        self._users: dict[Owner, float] = {}

    def copy(self) -> FairClocks:
        """Copy them, to try out what would come."""
        other = FairClocks()
        other._keys, other._users = dict(self._keys), dict(self._users)
        return other

    def arrive(self, owner: Owner, others: Collection[Owner]) -> None:
        """Let an owner join those who wait or are drafted for; owners may be named repeatedly."""
        if not others:
            self._keys.clear()
            self._users.clear()
        if owner in others:
            return
        keys = {other.key for other in others}
        if owner.key not in keys:
            least = min((self._keys.get(key, 0.0) for key in keys), default=0.0)
            self._keys[owner.key] = max(self._keys.get(owner.key, 0.0), least)
        users = {other for other in others if other.key == owner.key}
        least = min((self._users.get(user, 0.0) for user in users), default=0.0)
        self._users[owner] = max(self._users.get(owner, 0.0), least)
        if len(self._users) > _FORGET_ABOVE:
            self._forget_others({owner, *others})

    def charge(self, shares: Mapping[Owner, float], seconds: float) -> None:
        """Add seconds that were computed for owners, by their shares in it."""
        whole = sum(shares.values())
        for owner, share in shares.items():
            part = seconds * share / whole
            self._keys[owner.key] = self._keys.get(owner.key, 0.0) + part
            self._users[owner] = self._users.get(owner, 0.0) + part

    def rank(self, owner: Owner) -> tuple[float, float]:
        """Return by what owners are sorted, the one whose turn it is first."""
        return self._keys.get(owner.key, 0.0), self._users.get(owner, 0.0)

    def first(self, owners: Iterable[Owner]) -> tuple[float, float]:
        """Return the rank of the one whose turn comes first."""
        return min(map(self.rank, owners), default=(0.0, 0.0))

    def _forget_others(self, present: Collection[Owner]) -> None:
        keys = {owner.key for owner in present}
        self._users = {user: had for user, had in self._users.items() if user in present}
        self._keys = {key: had for key, had in self._keys.items() if key in keys}


def in_turn(
    parts: Iterable[Part], owner_of: Callable[[Part], Owner], clocks: FairClocks
) -> list[Part]:
    """Sort what waits as it is fair to begin it: the first of each user, then the second of each.

    What is of one user stays in order.
    """
    had: Counter[Owner] = Counter()
    ranked = []
    for number, part in enumerate(parts):
        owner = owner_of(part)
        ranked.append((had[owner], clocks.rank(owner), number, part))
        had[owner] += 1
    return [part for *_, part in sorted(ranked, key=lambda one: one[:3])]

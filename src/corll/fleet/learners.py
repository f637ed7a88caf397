"""Learners at work: whoever has enough edits waiting is taken by one learner at a time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from corll.fleet.arrivals import Events, Ints
from corll.fleet.closed_forms import Floats

ServiceTime = Callable[[int], float]
"""Seconds that a version of so many edits takes, from the claim to its row."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What learners made of edits.

    `waited` is how long users waited for a learner once a step was due, also where one was at work
    for them already. `due_to_serving` is from then to the first draft of the version, and
    `edit_to_serving` from each edit that was learned from. `left` are edits that no version holds
    at the end. *Units*: seconds. *Shapes*: `taken_at`, `waited` and `due_to_serving` one a claim,
    `edit_at` and `edit_to_serving` one an edit.
    """

    versions: Events
    taken_at: Floats
    waited: Floats
    due_to_serving: Floats
    edit_at: Floats
    edit_to_serving: Floats
    left: int


@dataclass(slots=True)
class _User:
    """A user's edits that wait, as the times they came at."""

    waiting: list[float] = field(default_factory=list)
    in_line: bool = False
    held: bool = False


@dataclass(slots=True)
class _Claim:
    user: int
    due: float
    taken: float
    edits: list[float]


class Fleet:
    """Learners that share one line of users, first come, first served.

    A user is due once `edits_a_step` edits wait, or the first of fewer is `flush_s` old. A claim
    takes as many as make whole steps, up to `most_steps`, or all where they were too old. While a
    learner holds a user, nobody else takes them.
    """

    def __init__(
        self,
        learners: int,
        service_time: ServiceTime,
        *,
        edits_a_step: int,
        most_steps: int,
        flush_s: float,
        serve_s: float,
    ) -> None:
        self._free, self._service_time = learners, service_time
        self._size, self._most = edits_a_step, edits_a_step * most_steps
        self._flush_s, self._serve_s = flush_s, serve_s
        self._users: dict[int, _User] = {}
        self._line: deque[int] = deque()
        self._working: list[tuple[float, int, _Claim]] = []
        self._flushes: list[tuple[float, int]] = []
        self._done: list[tuple[float, _Claim]] = []

    def play(self, edits: Events, *, until: float) -> Learned:
        """Play the edits in their order, and then what is under way, to an end."""
        for time, user in zip(edits.times.tolist(), edits.users.tolist(), strict=True):
            self._advance(time)
            self._add(user, time)
        self._advance(until)
        return self._told()

    def _add(self, number: int, time: float) -> None:
        user = self._users.setdefault(number, _User())
        user.waiting.append(time)
        if len(user.waiting) == 1 and self._size > 1:
            heapq.heappush(self._flushes, (time + self._flush_s, number))
        self._look(number, user, time)

    def _advance(self, time: float) -> None:
        """Let happen what happens before a time: versions that are done, edits that grow old."""
        while self._working or self._flushes:
            done = self._working[0][0] if self._working else np.inf
            old = self._flushes[0][0] if self._flushes else np.inf
            if min(done, old) > time:
                return
            if done <= old:
                self._end(*heapq.heappop(self._working))
            else:
                at, number = heapq.heappop(self._flushes)
                self._look(number, self._users[number], at)

    def _look(self, number: int, user: _User, time: float) -> None:
        """Put a user in line who is due, and is neither in it nor held."""
        if user.held or user.in_line or not user.waiting:
            return
        if len(user.waiting) >= self._size or self._is_old(user, time):
            user.in_line = True
            self._line.append(number)
            self._begin(time)

    def _is_old(self, user: _User, time: float) -> bool:
        return user.waiting[0] + self._flush_s <= time

    def _begin(self, time: float) -> None:
        while self._free and self._line:
            number = self._line.popleft()
            user = self._users[number]
            count = len(user.waiting)
            whole = count >= self._size
            due = user.waiting[self._size - 1] if whole else user.waiting[0] + self._flush_s
            count = count if self._is_old(user, time) else count - count % self._size
            taken = user.waiting[: min(count, self._most)]
            del user.waiting[: len(taken)]
            claim = _Claim(number, due, time, taken)
            user.held, user.in_line = True, False
            self._free -= 1
            end = time + self._service_time(len(taken))
            heapq.heappush(self._working, (end, number, claim))

    def _end(self, time: float, number: int, claim: _Claim) -> None:
        user = self._users[number]
        user.held = False
        self._free += 1
        self._done.append((time, claim))
        if user.waiting and self._size > 1:
            heapq.heappush(self._flushes, (user.waiting[0] + self._flush_s, number))
        self._look(number, user, time)
        self._begin(time)

    def _told(self) -> Learned:
        times = np.array([time for time, _ in self._done]) + self._serve_s
        claims = [claim for _, claim in self._done]
        users: Ints = np.array([claim.user for claim in claims], dtype=np.int64)
        due = np.array([claim.due for claim in claims])
        taken = np.array([claim.taken for claim in claims])
        edits = np.array([edit for claim in claims for edit in claim.edits])
        served = np.repeat(times, [len(claim.edits) for claim in claims]) if claims else times
        left = sum(len(user.waiting) for user in self._users.values())
        left += sum(len(claim.edits) for _, _, claim in self._working)
        return Learned(
            Events(times, users), taken, taken - due, times - due, edits, served - edits, left
        )

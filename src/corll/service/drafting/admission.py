"""The line of drafts that wait: who is let in, who is told to come again, and when that is true.

A draft is turned away where it would wait longer than the bound, as the line, what is under way and
the measured pace let one expect. So no line is longer than what the bound has time for. Of its
places one user has at most half and one key three quarters, and no longer may a draft wait for
others of its own user, or key, alone. So others still find room.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from corll.service.drafting.fairness import KEY_SHARE, USER_SHARE, FairClocks, Held, Owner
from corll.service.drafting.requests import DraftJob, EngineBusyError
from corll.service.drafting.turns import Batch, Turns

_LOOKS_AHEAD_S = 3600.0


def everybody(_: Owner) -> bool:
    """Say of each owner that it is one of them."""
    return True


class Line:
    """Drafts that wait, in the order in which they came, and what their owners have had.

    *Units*: `longest_wait` in seconds. Its methods are called by whoever holds `lock`.
    """

    def __init__(
        self,
        turns: Turns,
        *,
        places: int,
        longest_wait: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.turns, self.pace, self.clocks = turns, turns.pace, FairClocks()
        self.longest_wait = longest_wait
        self.lock = threading.Condition()
        self._places, self._clock = places, clock
        self._waiting: list[DraftJob] = []
        self._told: dict[Owner, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, job: DraftJob, under_way: Sequence[Batch]) -> None:
        """Let a job wait. *Raises*: EngineBusyError where it would not be begun soon enough."""
        wait = self.wait_of(job, under_way)
        reason = self._why_not(job, under_way, wait)
        if reason:
            raise self._busy(job, under_way, wait, reason)
        self._told.pop(job.owner, None)
        job.arrived = self._clock()
        self._arrive(job, under_way)
        self._waiting.append(job)

    def join_again(self, jobs: Iterable[DraftJob], under_way: Sequence[Batch]) -> None:
        """Let jobs that were under way be begun anew, before all others of their users."""
        for job in jobs:
            self._arrive(job, under_way)
            self._waiting.insert(0, job)

    def next(self, under_way: Sequence[Batch]) -> list[DraftJob]:
        """Take the jobs out that are to be begun now, in one decoding; none without room."""
        jobs = self.turns.next(self._waiting, under_way, self.clocks)
        self._waiting = [job for job in self._waiting if job not in jobs]
        return jobs

    def take_cancelled(self) -> list[DraftJob]:
        """Take the jobs out for which nobody waits any more, and of which nothing was told."""
        gone = [job for job in self._waiting if job.cancelled and job.seen is None]
        self._waiting = [job for job in self._waiting if job not in gone]
        return gone

    def take_overdue(self, under_way: Sequence[Batch]) -> list[tuple[DraftJob, EngineBusyError]]:
        """Take the jobs out that have waited longer than the bound, with what to tell them.

        That is where others came since, or drafting became slower. What was begun is not among
        them.
        """
        begun_by = self._clock() - self.longest_wait
        late = [job for job in self._waiting if not job.redraws and job.arrived < begun_by]
        self._waiting = [job for job in self._waiting if job not in late]
        reason = f"The draft has waited longer than {self.longest_wait:g} s"
        waits = [self.wait_of(job, under_way) for job in late]
        return [
            (job, self._busy(job, under_way, wait, reason))
            for job, wait in zip(late, waits, strict=True)
        ]

    def turn_of(self, under_way: Sequence[Batch]) -> int:
        """Return which of the decodings draws the next token: the first of whoever had least."""
        ranks = [self.clocks.first(batch.rows) for batch in under_way]
        return ranks.index(min(ranks))

    def charge(self, batch: Batch, seconds: float) -> None:
        """Note that seconds were computed for those whose drafts a decoding draws."""
        self.clocks.charge(batch.rows, seconds)

    def waited(self, job: DraftJob) -> float:
        """Return for how long a job has waited. *Units*: seconds."""
        return max(0.0, self._clock() - job.arrived)

    def wait_of(
        self, job: DraftJob, under_way: Sequence[Batch], *, of: Callable[[Owner], bool] = everybody
    ) -> float:
        """Return for how long a job would wait now, were nobody to come after it.

        What is under way and what waits is played to the end as it would be drafted, at the
        measured pace; `of` says whose drafts there are. *Units*: seconds.
        """
        waiting = [other for other in self._waiting if of(other.owner)]
        batches = [batch.of_owners(of) for batch in under_way]
        play = _Play(self, [*waiting, job], [batch for batch in batches if batch.rows])
        play.clocks.arrive(job.owner, _owners(waiting, batches))
        return play.until_begun(job)

    def _arrive(self, job: DraftJob, under_way: Sequence[Batch]) -> None:
        self.clocks.arrive(job.owner, _owners(self._waiting, under_way))

    def _busy(
        self, job: DraftJob, under_way: Sequence[Batch], wait: float, reason: str
    ) -> EngineBusyError:
        """Return what to tell: why, and after how many seconds a draft would be begun at once.

        Whoever was told a time that is still to come comes before: it takes as much longer as they
        are more than those who wait or are drafted for now, who are gone after `wait`.
        """
        now = self._clock()
        told = {other: due for other, due in self._told.items() if due > now}
        told.pop(job.owner, None)
        ahead = 1 + len(self._waiting) + sum(batch.rows.total() for batch in under_way)
        seconds = max(1, ceil(wait * (1 + len(told) / ahead)))
        self._told = {**told, job.owner: now + seconds}
        return EngineBusyError(seconds, reason)

    def _why_not(self, job: DraftJob, under_way: Sequence[Batch], wait: float) -> str | None:
        """Return why a job may not wait, None where it may: places, its own doing, the bound."""
        if len(self._waiting) >= self._places:
            return "Too many drafts are waiting"
        held = Held.of((other.owner, 1) for other in self._waiting)
        if not held.allow(job.owner, 1, self._places):
            return "Too many of your drafts are waiting"
        if wait > self.longest_wait:
            return f"A draft would wait longer than {self.longest_wait:g} s"
        by_user = held.by_user[job.owner] and wait > self.longest_wait * USER_SHARE
        by_key = held.by_key[job.owner.key] and wait > self.longest_wait * KEY_SHARE
        if by_user:
            own = self.wait_of(job, under_way, of=lambda other: other == job.owner)
            by_user = own > self.longest_wait * USER_SHARE
        if by_key:
            own = self.wait_of(job, under_way, of=lambda other: other.key == job.owner.key)
            by_key = own > self.longest_wait * KEY_SHARE
        return "Your drafts that wait are work enough" if by_user or by_key else None


class _Play:
    """What would be drafted when, without anybody who comes later."""

    def __init__(self, line: Line, waiting: Sequence[DraftJob], under_way: Sequence[Batch]) -> None:
        self._turns, self._pace = line.turns, line.pace
        self.clocks = line.clocks.copy()
        self._waiting = list(waiting)
        self._batches = [replace(batch) for batch in under_way]

    def until_begun(self, job: DraftJob) -> float:
        """Return after how many seconds a job is begun."""
        now = 0.0
        while now < _LOOKS_AHEAD_S:
            chosen = self._turns.next(self._waiting, self._batches, self.clocks)
            if job in chosen:
                return now
            now += self._begin(chosen) if chosen else self._until_an_end()
        return now

    def _begin(self, jobs: list[DraftJob]) -> float:
        """Begin jobs together, and return how long all others wait for their prompts."""
        batch = Batch.of(jobs, self._pace)
        seconds = self._pace.prompt_s(sum(len(job.prompt_ids) for job in jobs))
        self.clocks.charge(batch.rows, seconds)
        self._waiting = [job for job in self._waiting if job not in jobs]
        self._batches.append(batch)
        return seconds

    def _until_an_end(self) -> float:
        """Draw until a decoding ends, and return how long that takes."""
        paces = [self._pace.step_s(batch.rows.total()) for batch in self._batches]
        shares = _shares_of_time(self._batches)
        whole = zip(self._batches, paces, shares, strict=True)
        seconds = min(batch.steps * pace / share for batch, pace, share in whole)
        for batch, pace, share in zip(self._batches, paces, shares, strict=True):
            batch.steps -= seconds * share / pace
            self.clocks.charge(batch.rows, seconds * share)
        self._batches = [batch for batch in self._batches if batch.steps > 1e-6]
        return seconds


def _shares_of_time(batches: Sequence[Batch]) -> list[float]:
    """Return which share of the time each has: keys have equal ones, and so have a key's users."""
    users: dict[str, set[Owner]] = {}
    decodings: Counter[Owner] = Counter()
    for batch in batches:
        for owner in batch.rows:
            users.setdefault(owner.key, set()).add(owner)
            decodings[owner] += 1
    return [
        sum(1 / len(users) / len(users[owner.key]) / decodings[owner] for owner in batch.rows)
        for batch in batches
    ]


def _owners(waiting: Iterable[DraftJob], under_way: Iterable[Batch]) -> list[Owner]:
    held: Iterable[Mapping[Owner, int]] = [batch.rows for batch in under_way]
    return [*(job.owner for job in waiting), *(owner for rows in held for owner in rows)]

"""Which drafts that wait are begun next, and together: one rule, also for what is predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from corll.service.drafting.fairness import FairClocks, Held, Owner, in_turn
from corll.service.drafting.pace import Pace
from corll.service.drafting.requests import DraftJob

MOST_DECODINGS = 4
_LONGEST_BEGINNING_S, _LONGEST_SHARE = 1.0, 1 / 4
"""Prompts that are computed together, for which all others wait, take no more than this many
seconds or, of long drafts, than this share of what it takes to draw one alone."""


@dataclass
class Batch:
    """Drafts that are drawn together, as far as turns depend on them.

    `rows` are the candidates that are still drawn, by their owner; memory is taken for `size` of
    them, of `longest` tokens each. `steps` are the tokens that are expected to come, `versions` the
    ids of those that draw.
    """

    rows: Counter[Owner]
    size: int
    longest: int
    steps: float
    versions: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, jobs: Sequence[DraftJob], pace: Pace, *, over: Collection[DraftJob] = (), had: int = 0
    ) -> Batch:
        """Describe jobs in one decoding that has drawn so many tokens; some may be over."""
        rows: Counter[Owner] = Counter()
        for job in jobs:
            if job not in over:
                rows[job.owner] += job.branches
        steps = pace.steps(max(job.max_new_tokens for job in jobs), had)
        size, longest = sum(job.branches for job in jobs), longest_row(jobs)
        return cls(rows, size, longest, steps, versions_of(jobs))

    def of_owners(self, are: Callable[[Owner], bool]) -> Batch:
        """Describe it as it were with the rows of some owners alone."""
        rows = Counter({owner: count for owner, count in self.rows.items() if are(owner)})
        return replace(self, rows=rows, size=self.size if rows == self.rows else rows.total())


def longest_row(jobs: Sequence[DraftJob]) -> int:
    """Return tokens of the rows of a decoding that jobs share: all have the same room."""
    prompt = max(len(job.prompt_ids) for job in jobs)
    return prompt + max(job.max_new_tokens for job in jobs)


def version_of(job: DraftJob) -> str | None:
    """Return the id of the version that a job draws from; None for the base."""
    return None if job.request.version is None else job.request.version.id


def versions_of(jobs: Iterable[DraftJob]) -> frozenset[str]:
    """Return the ids of the versions that jobs draw from."""
    return frozenset(found for found in map(version_of, jobs) if found is not None)


@dataclass(frozen=True)
class Turns:
    """Chooses what is begun. A decoding is of one sampler and one number of candidates.

    It is of one version, unless a pass `mixes` adapters. No more than `most_versions` draw at a
    time.
    `most_rows` responses are drawn at a time, and no more than `rows_within` says that memory has
    room for at their length. Of rows and of decodings a user has at most half, and a key three
    quarters, so that somebody else begins at once.
    """

    most_rows: int
    context_length: int | None
    rows_within: Callable[[int], int]
    pace: Pace
    mixes: bool = False
    most_versions: int = 32

    def kind_of(self, job: DraftJob) -> tuple[Any, ...]:
        """Return what two requests have in common that can be drawn in one decoding."""
        return None if self.mixes else version_of(job), job.branches, job.sampling

    def next(
        self, waiting: Sequence[DraftJob], under_way: Sequence[Batch], clocks: FairClocks
    ) -> list[DraftJob]:
        """Return the jobs to begin now, in one decoding; none where there is no room."""
        if len(under_way) >= MOST_DECODINGS:
            return []
        ordered = in_turn(waiting, lambda job: job.owner, clocks)
        decodings = Held.of((owner, 1) for batch in under_way for owner in batch.rows)
        forming = _Forming(self, under_way)
        for number, job in enumerate(ordered):
            has_share = decodings.allow(job.owner, 1, MOST_DECODINGS) and forming.has_share(job)
            if under_way and not has_share:
                continue
            if under_way and not forming.has_room(job):
                return []  # nobody overtakes who needs more room
            forming.take(job)
            for other in ordered[number + 1 :]:
                if forming.is_quick(other) and forming.has_share(other) and forming.has_room(other):
                    forming.take(other)
            return forming.jobs
        return []

    def rows(self, longest: int) -> int:
        """Return how many responses of so many tokens are drawn at a time."""
        return min(self.most_rows, self.rows_within(longest))


class _Forming:
    """A decoding that is put together, beside those that are under way."""

    def __init__(self, turns: Turns, under_way: Sequence[Batch]) -> None:
        self.jobs: list[DraftJob] = []
        self._turns = turns
        self._held = Held.of(one for batch in under_way for one in batch.rows.items())
        self._rows = sum(batch.size for batch in under_way)
        self._longest = max((batch.longest for batch in under_way), default=0)
        self._prompt = self._new = self._prompts = 0
        self._versions = frozenset().union(*(batch.versions for batch in under_way))

    def take(self, job: DraftJob) -> None:
        """Take a job in."""
        self.jobs.append(job)
        self._held.add(job.owner, job.branches)
        self._rows += job.branches
        self._prompts += len(job.prompt_ids)
        self._versions |= versions_of([job])
        self._prompt, self._new = self._row_with(job)

    def is_quick(self, job: DraftJob) -> bool:
        """Say whether a job can be drawn in the same decoding, and that begins soon enough."""
        pace, first = self._turns.pace, self.jobs[0]
        if self._turns.kind_of(job) != self._turns.kind_of(first):
            return False
        alone_s = pace.steps(first.max_new_tokens) * pace.step_s(1)
        most_s = max(_LONGEST_BEGINNING_S, _LONGEST_SHARE * alone_s)
        prompts_s = pace.prompt_s(self._prompts + len(job.prompt_ids))
        return prompts_s <= most_s

    def has_share(self, job: DraftJob) -> bool:
        """Say whether its user and key may have as many rows."""
        return self._held.allow(job.owner, job.branches, self._most(job))

    def has_room(self, job: DraftJob) -> bool:
        """Say whether there is room and memory for rows and adapter, and context in the decoding.

        In one decoding the longest prompt has room for the longest response.
        """
        context = self._turns.context_length
        fits = context is None or sum(self._row_with(job)) <= context
        new = versions_of([job]) - self._versions
        fits = fits and (not new or len(self._versions) < self._turns.most_versions)
        return fits and self._rows + job.branches <= self._most(job)

    def _most(self, job: DraftJob) -> int:
        return self._turns.rows(max(self._longest, sum(self._row_with(job))))

    def _row_with(self, job: DraftJob) -> tuple[int, int]:
        return max(self._prompt, len(job.prompt_ids)), max(self._new, job.max_new_tokens)

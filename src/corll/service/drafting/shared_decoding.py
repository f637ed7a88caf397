"""Requests that are drawn together: one decoding, a row for each candidate of each request."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from corll.compute.decoding import Branch
from corll.compute.kept_prefixes import KeptPrefixes
from corll.draft import scores_of
from corll.policy import Policy
from corll.service.drafting.adapters_in_memory import Drawer
from corll.service.drafting.candidate_rows import Row
from corll.service.drafting.following import (
    Follower,
    drawn_of,
    keeps_usable,
    shown_of,
    tell_chosen,
)
from corll.service.drafting.pace import Pace
from corll.service.drafting.requests import (
    Candidate,
    DraftEvent,
    DraftJob,
    Failed,
    NobodyWaitsError,
)
from corll.service.drafting.told_tokens import likeliest_of
from corll.service.drafting.turns import Batch, version_of, versions_of


class Session:
    """Draws the candidates of jobs with the same sampler and number of them.

    Each job has a policy, None for the base, which stays the same from the first token to the last;
    where there are several, each `mixes`.
    """

    def __init__(
        self,
        drawers: Sequence[Drawer],
        base: Policy,
        kept: KeptPrefixes,
    ) -> None:
        jobs, policies = [one.job for one in drawers], [one.policy for one in drawers]
        self.policies, self.base, self.jobs = policies, base, jobs
        self.versions = versions_of(jobs)
        """The ids of the versions whose weights it runs with."""
        self._mixes = any(policy is not policies[0] for policy in policies)
        first = jobs[0].request
        self._prompt_tokens = [job.prompt_tokens for job in jobs]
        arguments = (
            [job.prompt_ids for job in jobs],
            jobs[0].branches,
            max(job.max_new_tokens for job in jobs),
            [job.seed for job in jobs],
        )
        start = time.perf_counter()
        with self._weights() as drawing:
            self._decoding = drawing.begin(
                *arguments,
                sampling=first.sampling,
                # Log-probabilities that somebody reads are those of the weights that score.
                exactly=any(job.request.top_logprobs is not None for job in jobs),
                kept=kept,
                prefixes=[job.earlier_tokens for job in jobs],
                drawers=self.policies if self._mixes else None,
                drawn_before=[job.seen_tokens for job in jobs],
            )
        self.begun_in_s = time.perf_counter() - start
        numbers = iter(range(len(jobs) * jobs[0].branches))
        self._rows = [[Row(next(numbers)) for _ in range(jobs[0].branches)] for _ in jobs]
        self._over = [False] * len(jobs)
        self._follower = Follower(base.codec)
        self.to_redraw: list[DraftJob] = []
        """Jobs that are over here, but of which candidates have to be drawn anew."""

    @property
    def branches(self) -> int:
        """Rows that it takes."""
        return sum(map(len, self._rows))

    def as_batch(self, pace: Pace) -> Batch:
        """Describe it as those see it who take turns."""
        over = [job for job, over in zip(self.jobs, self._over, strict=True) if over]
        return Batch.of(self.jobs, pace, over=over, had=self._decoding.steps)

    def advance(self, pace: Pace) -> None:
        """Draw a token for each candidate, and tell the jobs.

        The pace is told how long it took, and at the end after how many tokens that was.
        """
        start = time.perf_counter()
        with self._weights() as drawing:
            drawing.advance(self._decoding)
        pace.took_step(len(self._decoding.rows), time.perf_counter() - start)
        for number, job in enumerate(self.jobs):
            if not self._over[number]:
                self._follow(number, job)
        if not self.goes_on:
            pace.ended(self._decoding.steps, max(job.max_new_tokens for job in self.jobs))

    @property
    def goes_on(self) -> bool:
        """Whether a job is still under way."""
        return not all(self._over)

    def end_cancelled(self) -> None:
        """End the jobs for which nobody waits any more, with what was drawn of them."""
        for number, job in enumerate(self.jobs):
            if job.cancelled and not self._over[number]:
                self._end(number, job)

    def fail(self, event: DraftEvent) -> None:
        """End all jobs that are still under way with the same event."""
        for number, job in enumerate(self.jobs):
            if not self._over[number]:
                self._over[number] = True
                job.on_event(event)

    def fail_versions(self, version_ids: Collection[str], event: DraftEvent) -> None:
        """End the jobs of versions, of which nothing is computed or kept any more; others go on."""
        rows: list[int] = []
        for number, job in enumerate(self.jobs):
            if version_of(job) not in version_ids:
                continue
            rows += [row.number for row in self._rows[number]]
            if not self._over[number]:
                self._over[number] = True
                job.on_event(event)
        self.versions -= frozenset(version_ids)
        if rows:
            self._decoding.drop(rows)

    @contextmanager
    def _weights(self, number: int | None = None) -> Iterator[Policy]:
        """Return what draws: a job's policy, or the base with all adapters off.

        Without a number it is what draws all of them.
        """
        policy = self.base if self._mixes and number is None else self.policies[number or 0]
        if policy is not None:
            yield policy
            return
        with self.base.as_reference():
            yield self.base

    def _follow(self, number: int, job: DraftJob) -> None:
        """Take in what the latest token means for a job: text to tell, or its end."""
        request, rows = job.request, self._rows[number]
        before = sum(row.ended for row in rows)
        for row in rows:
            if not row.ended:
                self._read(row, job)
        if rows[0].resumes:
            self._resume(number, job, rows[0])
            return
        done = sum(row.ended for row in rows)
        if request.tells:
            self._follower.tell(job, rows, progressed=done > before)
        if done == len(rows):
            self._over[number] = True
            self._finish(number, job, cancelled=False)

    def _end(self, number: int, job: DraftJob) -> None:
        """End a job where it stands."""
        self._over[number] = True
        rows = self._rows[number]
        self._decoding.stop([row.number for row in rows])
        if not self._decoding.steps and job.seen is None:
            job.on_event(Failed(NobodyWaitsError()))
            return
        for row in rows:
            if not row.ended:
                self._follower.end(row, job, self._ids(row))
        self._finish(number, job, cancelled=True)

    def _ids(self, row: Row) -> tuple[int, ...]:
        """Return what was drawn of a candidate."""
        length = int(self._decoding.lengths[row.number])
        return tuple(self._decoding.token_ids[row.number, :length].tolist())

    def _read(self, row: Row, job: DraftJob) -> None:
        """Read a candidate's latest token; it is drawn no more where it has come to an end."""
        ids, finished = self._ids(row), bool(self._decoding.finished[row.number])
        self._follower.read(row, job, ids, partial(self._likely, row, job), finished=finished)
        if row.ended and not finished:
            self._decoding.stop([row.number])

    def _likely(self, row: Row, job: DraftJob) -> tuple[float, list[tuple[int, float]]]:
        decoding = self._decoding
        logprob = float(decoding.logprobs[row.number, int(decoding.lengths[row.number]) - 1])
        place = int((decoding.rows == row.number).nonzero()[0])
        return logprob, likeliest_of(decoding.logits[place], job.request.top_logprobs or 0)

    def _resume(self, number: int, job: DraftJob, row: Row) -> None:
        """Let what follows on what was told be drawn anew."""
        self._follower.resume(row, job, self._ids(row))
        self._over[number] = True
        self._decoding.stop([row.number])
        self.to_redraw.append(job)

    def _finish(self, number: int, job: DraftJob, *, cancelled: bool) -> None:
        rows = self._rows[number]
        drawn = self._candidates(rows, job)
        if not cancelled and keeps_usable(job, rows, drawn):
            self.to_redraw.append(job)
            return
        candidates = [*job.kept, *drawn]
        shown, scores = self._ranked(number, candidates, cancelled=cancelled)
        if scores is not None and not job.request.streams:
            tell_chosen(job, candidates, shown)
        prompt_tokens = self._prompt_tokens[number]
        job.on_event(drawn_of(job, candidates, shown, scores, prompt_tokens, cancelled=cancelled))

    def _candidates(self, rows: Sequence[Row], job: DraftJob) -> list[Candidate]:
        """Return what rows came to."""
        branches = self._decoding.branches()
        return [
            self._follower.candidate(row, job, self._cut(row, job, branches[row.number]))
            for row in rows
        ]

    def _cut(self, row: Row, job: DraftJob, branch: Branch) -> Branch:
        """Return what was drawn up to where a stop sequence cut it."""
        if not row.stopped:
            return branch
        ids, logprob = self._follower.ids_within(branch.token_ids, row.text, job), branch.logprob
        if logprob is not None:
            logprob = float(self._decoding.logprobs[row.number, : len(ids)].sum())
        return Branch(ids, logprob, branch.finished)

    def _ranked(
        self, number: int, candidates: Sequence[Candidate], *, cancelled: bool
    ) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
        """Return which candidates are shown, and their scores where they were asked for."""
        job = self.jobs[number]
        request, scores = job.request, None
        if not cancelled and (request.scored or not request.streams):
            samples = [candidate.sample for candidate in candidates]
            with self._weights(number) as drawing:
                scored = scores_of(drawing, [request.whole_prompt], [samples], request.config)
            scores = tuple(scored[0])
        return shown_of(job, candidates, scores), scores

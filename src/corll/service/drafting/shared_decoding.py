"""Requests that are drawn together: one decoding, a row for each candidate of each request."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from corll.compute.kept_prefixes import KeptPrefixes
from corll.draft import best_first, scores_of
from corll.guards import OPENING, is_disclaimer, is_loop
from corll.memory.words import words_of
from corll.model.token_pieces import TokenPieces
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.adapters_in_memory import Drawer
from corll.service.drafting.candidate_rows import Row, settled
from corll.service.drafting.pace import Pace
from corll.service.drafting.requests import (
    Candidate,
    Delta,
    DraftEvent,
    DraftJob,
    Drawn,
    Failed,
    NobodyWaitsError,
    Progress,
    TokenLogprob,
    joined,
)
from corll.service.drafting.texts import first_stop, ids_within, text_of
from corll.service.drafting.told_tokens import likeliest_of, told_token
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
        self._pieces = TokenPieces(base.codec.tokenizer)
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
            self._tell(job, rows, progressed=done > before)
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
                row.text = self._text_of(self._ids(row), job)
                self._look_for_leaks(row, job)
        self._finish(number, job, cancelled=True)

    def _ids(self, row: Row) -> tuple[int, ...]:
        """Return what was drawn of a candidate."""
        length = int(self._decoding.lengths[row.number])
        return tuple(self._decoding.token_ids[row.number, :length].tolist())

    def _read(self, row: Row, job: DraftJob) -> None:
        """Note where a candidate stands; its text where that is told, searched, or at an end."""
        decoding, request, ids = self._decoding, job.request, self._ids(row)
        finished = bool(decoding.finished[row.number])
        at_end = finished or len(ids) >= job.max_new_tokens
        wanted = at_end or request.tells or bool(request.stop)
        text = self._text_of(ids, job) if wanted else ""
        if request.top_logprobs is not None and (request.tells_end or not finished):
            row.logprobs.append(self._token_logprob(row, ids[-1], job))
        cut = first_stop(text, request.stop)
        if cut is not None:
            text, row.stopped = text[:cut], True
            del row.logprobs[len(self._ids_within(ids, text, job)) if text else 0 :]
        row.ended = cut is not None or at_end
        row.text = text
        row.ends.append(len(text))
        if request.guarded:
            self._guard(row, ids, job)
        if job.holds_back:
            self._search(row, job)
        if row.ended:
            self._look_for_leaks(row, job)
        if row.ended and not finished:
            self._decoding.stop([row.number])

    def _guard(self, row: Row, ids: tuple[int, ...], job: DraftJob) -> None:
        """Stop a candidate that goes round in a loop or, where it can be drawn anew, disclaims."""
        row.looped = not row.ended and is_loop(ids, self.base.codec.decode)
        row.unusable = row.looped
        if job.can_redraw and (row.ended or len(ids) == OPENING):
            row.unusable = row.unusable or is_disclaimer(row.text or self._text_of(ids, job))
        if (row.looped or (row.unusable and job.can_redraw)) and not row.ended:
            row.ended, row.text = True, self._text_of(ids, job)

    @staticmethod
    def _search(row: Row, job: DraftJob) -> None:
        """Find facts of past letters in what is not told yet, once a word has come to its end."""
        words = words_of(row.text)
        # The latest may still grow.
        whole = row.text if row.ended else row.text[: words[-1].start if words else 0]
        if whole == row.searched:
            return
        row.searched = whole
        told = len(job.seen_text) + row.told
        row.leaks = job.leaks(whole)
        new = [leak for leak in row.leaks if leak.start >= told]
        if new and job.can_resume:
            job.leaking |= {leak.exchange_id for leak in new}
            row.resumes = True
        row.free = job.searched_to(row.text)

    def _resume(self, number: int, job: DraftJob, row: Row) -> None:
        """Let what follows on what was told be drawn anew, without the letters that leak."""
        count = bisect_right(row.ends, row.told)
        ids = tuple(self._decoding.token_ids[row.number, :count].tolist())
        text = row.text[: row.told]
        told = Sample(text, ids, None, finished=False)
        self._over[number] = True
        self._decoding.stop([row.number])
        if ids:
            job.seen = told if job.seen is None else joined(job.seen, told)
        job.redraws += 1
        job.thrown_away += 1
        self.to_redraw.append(job)

    @staticmethod
    def _look_for_leaks(row: Row, job: DraftJob) -> None:
        """Find facts of past letters in a candidate; where it can be drawn anew it is unusable."""
        if row.text != row.searched:
            row.leaks = job.leaks(row.text)
        if row.leaks and job.can_redraw:
            row.unusable = True
            job.leaking |= {leak.exchange_id for leak in row.leaks}

    def _tell(self, job: DraftJob, rows: Sequence[Row], *, progressed: bool) -> None:
        """Tell what of the texts cannot change any more or, where one is to be chosen, how many
        are drawn.
        """
        if job.request.streams:
            for choice, row in enumerate(rows):
                self._tell_text(job, choice, row)
        elif progressed:
            job.on_event(Progress(sum(row.ended for row in rows), len(rows)))

    def _tell_text(self, job: DraftJob, choice: int, row: Row) -> None:
        done = len(row.text) if row.ended else settled(row.text, job.request.stop)
        if job.holds_back and not row.ended:
            # Up to the end of a token, from which a draft can be gone on with.
            place = bisect_right(row.ends, min(done, row.free))
            done = row.ends[place - 1] if place else 0
        new = tuple(row.logprobs[row.logprobs_told :])
        if done > row.told or new:
            job.on_event(Delta(choice, row.text[row.told : done], new))
            row.told, row.logprobs_told = max(done, row.told), len(row.logprobs)

    def _token_logprob(self, row: Row, token_id: int, job: DraftJob) -> TokenLogprob:
        decoding, length = self._decoding, int(self._decoding.lengths[row.number])
        logprob = float(decoding.logprobs[row.number, length - 1])
        place = int((decoding.rows == row.number).nonzero()[0])
        likeliest = likeliest_of(decoding.logits[place], job.request.top_logprobs or 0)
        follows = length > 1 or job.begun is not None or job.request.prompt_ids is not None
        told = told_token(self._pieces, token_id, logprob, likeliest, first=not follows)
        # What ends a text is no part of it.
        return replace(told, bytes=b"") if bool(decoding.finished[row.number]) else told

    def _finish(self, number: int, job: DraftJob, *, cancelled: bool) -> None:
        rows = self._rows[number]
        drawn = self._candidates(rows, job)
        usable = [one for row, one in zip(rows, drawn, strict=True) if not row.unusable]
        if job.can_redraw and not cancelled and len(usable) < len(drawn):
            job.kept += usable
            job.thrown_away += len(drawn) - len(usable)
            job.redraws += 1
            self.to_redraw.append(job)
            return
        candidates = [*job.kept, *drawn]
        shown, scores = self._ranked(number, candidates, cancelled=cancelled)
        chosen = [candidates[candidate] for candidate in shown]
        if scores is not None and not job.request.streams:
            for choice, candidate in enumerate(chosen):
                job.on_event(Delta(choice, candidate.text, candidate.logprobs))
        job.on_event(
            Drawn(
                tuple(candidate.sample for candidate in candidates),
                shown,
                scores,
                self._prompt_tokens[number],
                tuple(candidate.logprobs for candidate in chosen),
                frozenset(choice for choice, one in enumerate(chosen) if not one.ended),
                cancelled,
                job.beginning,
                tuple(choice for choice, one in enumerate(chosen) if one.looped),
                job.thrown_away,
                job.seed,
                tuple(exchange.id for exchange in job.request.memory),
                tuple(one.leaks for one in chosen),
            )
        )

    def _candidates(self, rows: Sequence[Row], job: DraftJob) -> list[Candidate]:
        """Return what rows came to."""
        candidates, branches = [], self._decoding.branches()
        for row in rows:
            branch = branches[row.number]
            ids, logprob = branch.token_ids, branch.logprob
            if row.stopped:
                ids = self._ids_within(ids, row.text, job)
                if logprob is not None:
                    logprob = float(self._decoding.logprobs[row.number, : len(ids)].sum())
            sample = Sample(row.text, ids, logprob, branch.finished)
            whole = sample if job.begun is None else joined(job.begun, sample)
            ended, logprobs = branch.finished or row.stopped, tuple(row.logprobs)
            text = job.seen_text + row.text
            candidates.append(Candidate(whole, text, ended, row.looped, logprobs, row.leaks))
        return candidates

    def _ranked(
        self, number: int, candidates: Sequence[Candidate], *, cancelled: bool
    ) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
        """Return which candidates are shown, and their scores where they were asked for."""
        request = self.jobs[number].request
        config = request.config
        if cancelled or not (request.scored or not request.streams):
            return tuple(range(request.choices)), None
        samples = [candidate.sample for candidate in candidates]
        with self._weights(number) as drawing:
            scores = tuple(scores_of(drawing, [request.whole_prompt], [samples], config)[0])
        if request.streams:
            return tuple(range(request.choices)), scores
        ended = [replace(one.sample, finished=one.ended) for one in candidates]
        ranked = best_first(ended, scores, allow_unfinished=config.allow_unfinished)
        return tuple(ranked[: request.choices]), scores

    def _text_of(self, ids: tuple[int, ...], job: DraftJob) -> str:
        return text_of(ids, job, self.base.codec.decode)

    def _ids_within(self, ids: tuple[int, ...], text: str, job: DraftJob) -> tuple[int, ...]:
        return ids_within(ids, text, job, self.base.codec.decode)

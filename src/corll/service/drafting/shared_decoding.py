"""Requests that are drawn together: one decoding, a row for each candidate of each request."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from corll.compute.kept_prefixes import KeptPrefixes
from corll.draft import best_first, scores_of
from corll.guards import OPENING, is_disclaimer, is_loop
from corll.memory.leaks import Leak
from corll.memory.words import words_of
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.requests import (
    Candidate,
    Delta,
    DraftEvent,
    DraftJob,
    Drawn,
    Progress,
    TokenLogprob,
    joined,
)

_CUT_SHORT = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer puts where a character's last bytes are still to come."""


@dataclass
class _Row:
    """One candidate: what of its text is settled, and what was told of it.

    `ends` are where the text ends after each token; `free` is how much of it was searched for
    leaks, and `resumes` says that what follows on what was told is to be drawn anew.
    """

    number: int
    text: str = ""
    told: int = 0
    ends: list[int] = field(default_factory=list)
    searched: str = ""
    free: int = 0
    resumes: bool = False
    ended: bool = False
    stopped: bool = False
    looped: bool = False
    unusable: bool = False
    leaks: tuple[Leak, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    logprobs_told: int = 0


class Session:
    """Draws the candidates of jobs of one version, with the same sampler and number of them.

    The policy, and with it the version, stays the same from the first token to the last.
    """

    def __init__(
        self, policy: Policy | None, base: Policy, jobs: Sequence[DraftJob], kept: KeptPrefixes
    ) -> None:
        self.policy, self.base, self.jobs = policy, base, list(jobs)
        first = jobs[0].request
        self._prompt_tokens = [job.prompt_tokens for job in jobs]
        arguments = (
            [job.prompt_ids for job in jobs],
            jobs[0].branches,
            max(job.max_new_tokens for job in jobs),
            [job.seed for job in jobs],
        )
        with self._weights() as drawing:
            self._decoding = drawing.begin(
                *arguments,
                sampling=first.sampling,
                # Log-probabilities that somebody reads are those of the weights that score.
                exactly=any(job.request.top_logprobs is not None for job in jobs),
                kept=kept,
                prefixes=[job.earlier_tokens for job in jobs],
            )
        numbers = iter(range(len(jobs) * jobs[0].branches))
        self._rows = [[_Row(next(numbers)) for _ in range(jobs[0].branches)] for _ in jobs]
        self._over = [False] * len(jobs)
        self.to_redraw: list[DraftJob] = []
        """Jobs that are over here, but of which candidates have to be drawn anew."""

    @property
    def branches(self) -> int:
        """Rows that it takes."""
        return sum(map(len, self._rows))

    @property
    def longest(self) -> int:
        """Tokens that each row has room for."""
        return longest_row(self.jobs)

    @property
    def version(self) -> str | None:
        """The id of the version that it draws from."""
        version = self.jobs[0].request.version
        return None if version is None else version.id

    def advance(self) -> bool:
        """Draw a token for each candidate; tell the jobs, and say whether any goes on."""
        with self._weights() as drawing:
            drawing.advance(self._decoding)
        for number, job in enumerate(self.jobs):
            if not self._over[number]:
                self._follow(number, job)
        return not all(self._over)

    def fail(self, event: DraftEvent) -> None:
        """End all jobs that are still under way with the same event."""
        for number, job in enumerate(self.jobs):
            if not self._over[number]:
                self._over[number] = True
                job.on_event(event)

    @contextmanager
    def _weights(self) -> Iterator[Policy]:
        """Return what draws: the version's policy, or the base with all adapters off."""
        if self.policy is not None:
            yield self.policy
            return
        with self.base.as_reference():
            yield self.base

    def _follow(self, number: int, job: DraftJob) -> None:
        """Return what the latest token means for a job: text to tell, or its end."""
        request, rows, cancelled = job.request, self._rows[number], job.cancelled
        before = sum(row.ended for row in rows)
        for row in rows:
            if not row.ended:
                self._read(row, job, is_last=cancelled)
        if rows[0].resumes and not cancelled:
            self._resume(number, job, rows[0])
            return
        done = sum(row.ended for row in rows)
        if cancelled:
            self._decoding.stop([row.number for row in rows])
        elif request.tells:
            self._tell(job, rows, progressed=done > before)
        if cancelled or done == len(rows):
            self._over[number] = True
            self._finish(number, job, cancelled=cancelled)

    def _read(self, row: _Row, job: DraftJob, *, is_last: bool) -> None:
        """Return where a candidate stands; its text where that is told, searched, or at an end."""
        decoding, request = self._decoding, job.request
        length = int(decoding.lengths[row.number])
        ids = tuple(decoding.token_ids[row.number, :length].tolist())
        finished = bool(decoding.finished[row.number])
        at_end = finished or length >= job.max_new_tokens
        wanted = at_end or is_last or request.tells or bool(request.stop)
        text = self._text_of(ids, job) if wanted else ""
        if request.top_logprobs is not None and not finished:
            row.logprobs.append(self._token_logprob(row, ids[-1], request.top_logprobs))
        ends = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        if ends:
            text, row.stopped = text[: min(ends)], True
            del row.logprobs[len(self._ids_within(ids, text, job)) if text else 0 :]
        row.ended = bool(ends) or at_end
        row.text = text
        row.ends.append(len(text))
        if request.guarded:
            self._guard(row, ids, job)
        if job.holds_back:
            self._search(row, job)
        if row.ended or is_last:
            self._look_for_leaks(row, job)
        if row.ended and not finished:
            self._decoding.stop([row.number])

    def _guard(self, row: _Row, ids: tuple[int, ...], job: DraftJob) -> None:
        """Stop a candidate that goes round in a loop or, where it can be drawn anew, disclaims."""
        row.looped = not row.ended and is_loop(ids, self.base.codec.decode)
        row.unusable = row.looped
        if job.can_redraw and (row.ended or len(ids) == OPENING):
            row.unusable = row.unusable or is_disclaimer(row.text or self._text_of(ids, job))
        if (row.looped or (row.unusable and job.can_redraw)) and not row.ended:
            row.ended, row.text = True, self._text_of(ids, job)

    @staticmethod
    def _search(row: _Row, job: DraftJob) -> None:
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

    def _resume(self, number: int, job: DraftJob, row: _Row) -> None:
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
    def _look_for_leaks(row: _Row, job: DraftJob) -> None:
        """Find facts of past letters in a candidate; where it can be drawn anew it is unusable."""
        if row.text != row.searched:
            row.leaks = job.leaks(row.text)
        if row.leaks and job.can_redraw:
            row.unusable = True
            job.leaking |= {leak.exchange_id for leak in row.leaks}

    def _tell(self, job: DraftJob, rows: Sequence[_Row], *, progressed: bool) -> None:
        """Tell what of the texts cannot change any more or, where one is to be chosen, how many
        are drawn.
        """
        if job.request.streams:
            for choice, row in enumerate(rows):
                self._tell_text(job, choice, row)
        elif progressed:
            job.on_event(Progress(sum(row.ended for row in rows), len(rows)))

    def _tell_text(self, job: DraftJob, choice: int, row: _Row) -> None:
        settled = len(row.text) if row.ended else _settled(row.text, job.request.stop)
        if job.holds_back and not row.ended:
            # Up to the end of a token, from which a draft can be gone on with.
            place = bisect_right(row.ends, min(settled, row.free))
            settled = row.ends[place - 1] if place else 0
        new = tuple(row.logprobs[row.logprobs_told :])
        if settled > row.told or new:
            job.on_event(Delta(choice, row.text[row.told : settled], new))
            row.told, row.logprobs_told = max(settled, row.told), len(row.logprobs)

    def _token_logprob(self, row: _Row, token_id: int, count: int) -> TokenLogprob:
        decoding, decode = self._decoding, self.base.codec.tokenizer.decode
        logprob = float(decoding.logprobs[row.number, int(decoding.lengths[row.number]) - 1])
        place = int((decoding.rows == row.number).nonzero()[0])
        likeliest = torch.log_softmax(decoding.logits[place].float(), -1).topk(count)
        top = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        return TokenLogprob(decode([token_id]), logprob, tuple((decode([t]), p) for t, p in top))

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
        shown, scores = self._ranked(job, candidates, cancelled=cancelled)
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

    def _candidates(self, rows: Sequence[_Row], job: DraftJob) -> list[Candidate]:
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
        self, job: DraftJob, candidates: Sequence[Candidate], *, cancelled: bool
    ) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
        """Return which candidates are shown, and their scores where they were asked for."""
        request, config = job.request, job.request.config
        if cancelled or not (request.scored or not request.streams):
            return tuple(range(request.choices)), None
        samples = [candidate.sample for candidate in candidates]
        with self._weights() as drawing:
            scores = tuple(scores_of(drawing, [request.whole_prompt], [samples], config)[0])
        if request.streams:
            return tuple(range(request.choices)), scores
        ended = [replace(one.sample, finished=one.ended) for one in candidates]
        ranked = best_first(ended, scores, allow_unfinished=config.allow_unfinished)
        return tuple(ranked[: request.choices]), scores

    def _text_of(self, ids: tuple[int, ...], job: DraftJob) -> str:
        """Return the text of ids that were drawn; after a beginning they may read otherwise."""
        decode, begun = self.base.codec.decode, job.begun
        if begun is None:
            return decode(ids)
        return decode((*begun.token_ids, *ids))[len(begun.text) :]

    def _ids_within(self, ids: tuple[int, ...], text: str, job: DraftJob) -> tuple[int, ...]:
        """Return the ids whose text is within `text`, cut by a stop sequence; at least one."""
        for count in range(len(ids), 1, -1):
            if text.startswith(self._text_of(ids[:count], job)):
                return ids[:count]
        return ids[:1]


def longest_row(jobs: Sequence[DraftJob]) -> int:
    """Return tokens of the rows of a decoding that jobs share: all have the same room."""
    prompt = max(len(job.prompt_ids) for job in jobs)
    return prompt + max(job.max_new_tokens for job in jobs)


def _settled(text: str, stops: Sequence[str]) -> int:
    """Return how much of a growing text is settled: no half character, no half stop."""
    settled = len(text)
    while settled and text[settled - 1] == _CUT_SHORT:
        settled -= 1
    longest = max(map(len, stops), default=1) - 1
    for length in range(min(longest, settled), 0, -1):
        if any(stop.startswith(text[settled - length : settled]) for stop in stops):
            return settled - length
    return settled

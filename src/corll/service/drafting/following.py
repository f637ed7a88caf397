"""Follows candidates while they are drawn, a token at a time, whoever draws them.

What of their text may be told, where a stop sequence cuts it, and whether a guard ends it. A token
is told, whole, with the first of its text; where a stop sequence cut the text, no token is told
that begins behind the cut. So a stream tells the tokens that the whole answer has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

from corll.compute.decoding import Branch
from corll.draft import best_first
from corll.guards import OPENING, is_disclaimer, is_loop
from corll.memory.words import words_of
from corll.model.token_pieces import TokenPieces
from corll.model.tokens import TokenCodec
from corll.records import Sample
from corll.service.drafting.candidate_rows import Row, settled
from corll.service.drafting.requests import (
    Candidate,
    Delta,
    DraftJob,
    Drawn,
    Progress,
    TokenLogprob,
    joined,
)
from corll.service.drafting.texts import first_stop, ids_within, text_of
from corll.service.drafting.told_tokens import told_token

Likely = Callable[[], tuple[float | None, Sequence[tuple[int, float]]]]
"""Gives a token's log-probability, and the likeliest tokens in its place."""


class Follower:
    """Reads the tokens of candidates, and tells their jobs what cannot change any more."""

    def __init__(self, codec: TokenCodec) -> None:
        self._decode, self._pieces = codec.decode, TokenPieces(codec.tokenizer)

    def read(
        self, row: Row, job: DraftJob, ids: tuple[int, ...], likely: Likely, *, finished: bool
    ) -> None:
        """Note where a candidate stands after its latest token; `finished`: that ended it.

        Its text is read where it is told, searched, or at an end.
        """
        request = job.request
        at_end = finished or len(ids) >= job.max_new_tokens
        wanted = at_end or request.tells or bool(request.stop)
        text = text_of(ids, job, self._decode) if wanted else ""
        if request.top_logprobs is not None and (request.tells_end or not finished):
            row.add_logprob(self._token_logprob(ids, likely, job, finished=finished), text)
        cut = first_stop(text, request.stop)
        if cut is not None:
            text, row.stopped = text[:cut], True
            row.cut_logprobs(cut)
        row.ended = cut is not None or at_end
        row.text = text
        row.ends.append(len(text))
        if request.guarded:
            self._guard(row, ids, job)
        if job.holds_back:
            self._search(row, job)
        if row.ended:
            self._look_for_leaks(row, job)

    def end(self, row: Row, job: DraftJob, ids: tuple[int, ...]) -> None:
        """End a candidate where it stands."""
        row.ended, row.text = True, text_of(ids, job, self._decode)
        self._look_for_leaks(row, job)

    def tell(self, job: DraftJob, rows: Sequence[Row], *, progressed: bool) -> None:
        """Tell what of the texts cannot change any more or, where one is to be chosen, how many
        are drawn.
        """
        if job.request.streams:
            for choice, row in enumerate(rows):
                _tell_text(job, choice, row)
        elif progressed:
            job.on_event(Progress(sum(row.ended for row in rows), len(rows)))

    def resume(self, row: Row, job: DraftJob, ids: tuple[int, ...]) -> None:
        """Let what follows on what was told be drawn anew, without the letters that leak."""
        kept = ids[: bisect_right(row.ends, row.told)]
        told = Sample(row.text[: row.told], kept, None, finished=False)
        if kept:
            job.seen = told if job.seen is None else joined(job.seen, told)
        job.redraws += 1
        job.thrown_away += 1

    def candidate(self, row: Row, job: DraftJob, branch: Branch) -> Candidate:
        """Return what a row came to; the ids of `branch` are within its text."""
        sample = Sample(row.text, branch.token_ids, branch.logprob, branch.finished)
        whole = sample if job.begun is None else joined(job.begun, sample)
        ended, logprobs = branch.finished or row.stopped, tuple(row.logprobs)
        text = job.seen_text + row.text
        return Candidate(whole, text, ended, row.looped, logprobs, row.leaks)

    def ids_within(self, ids: tuple[int, ...], text: str, job: DraftJob) -> tuple[int, ...]:
        """Return the ids whose text is within `text`, cut by a stop sequence; at least one."""
        return ids_within(ids, text, job, self._decode)

    def _guard(self, row: Row, ids: tuple[int, ...], job: DraftJob) -> None:
        """Stop a candidate that goes round in a loop or, where it can be drawn anew, disclaims."""
        row.looped = not row.ended and is_loop(ids, self._decode)
        row.unusable = row.looped
        if job.can_redraw and (row.ended or len(ids) == OPENING):
            opening = row.text or text_of(ids, job, self._decode)
            row.unusable = row.unusable or is_disclaimer(opening)
        if (row.looped or (row.unusable and job.can_redraw)) and not row.ended:
            row.ended, row.text = True, text_of(ids, job, self._decode)

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

    @staticmethod
    def _look_for_leaks(row: Row, job: DraftJob) -> None:
        """Find facts of past letters in a candidate; where it can be drawn anew it is unusable."""
        if row.text != row.searched:
            row.leaks = job.leaks(row.text)
        if row.leaks and job.can_redraw:
            row.unusable = True
            job.leaking |= {leak.exchange_id for leak in row.leaks}

    def _token_logprob(
        self, ids: tuple[int, ...], likely: Likely, job: DraftJob, *, finished: bool
    ) -> TokenLogprob:
        logprob, likeliest = likely()
        follows = len(ids) > 1 or job.begun is not None or job.request.prompt_ids is not None
        told = told_token(self._pieces, ids[-1], logprob, likeliest, first=not follows)
        # What ends a text is no part of it.
        return replace(told, bytes=b"") if finished else told


def _tell_text(job: DraftJob, choice: int, row: Row) -> None:
    done = len(row.text) if row.ended else settled(row.text, job.request.stop)
    if job.holds_back and not row.ended:
        # Up to the end of a token, from which a draft can be gone on with.
        place = bisect_right(row.ends, min(done, row.free))
        done = row.ends[place - 1] if place else 0
    new = row.untold_logprobs(done)
    if done > row.told or new:
        job.on_event(Delta(choice, row.text[row.told : done], new))
        row.told = max(done, row.told)


def keeps_usable(job: DraftJob, rows: Sequence[Row], drawn: Sequence[Candidate]) -> bool:
    """Keep the candidates that can be used, and say whether others have to be drawn anew."""
    usable = [one for row, one in zip(rows, drawn, strict=True) if not row.unusable]
    if not job.can_redraw or len(usable) == len(drawn):
        return False
    job.kept += usable
    job.thrown_away += len(drawn) - len(usable)
    job.redraws += 1
    return True


def shown_of(
    job: DraftJob, candidates: Sequence[Candidate], scores: Sequence[float] | None
) -> tuple[int, ...]:
    """Return which candidates are shown: the best where some were to be chosen, else the first."""
    request = job.request
    if scores is None or request.streams:
        return tuple(range(request.choices))
    ended = [replace(one.sample, finished=one.ended) for one in candidates]
    ranked = best_first(ended, scores, allow_unfinished=request.config.allow_unfinished)
    return tuple(ranked[: request.choices])


def drawn_of(
    job: DraftJob,
    candidates: Sequence[Candidate],
    shown: tuple[int, ...],
    scores: tuple[float, ...] | None,
    prompt_tokens: int,
    *,
    cancelled: bool,
) -> Drawn:
    """Return the end of a job."""
    chosen = [candidates[candidate] for candidate in shown]
    return Drawn(
        tuple(candidate.sample for candidate in candidates),
        shown,
        scores,
        prompt_tokens,
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


def tell_chosen(job: DraftJob, candidates: Sequence[Candidate], shown: Sequence[int]) -> None:
    """Tell the candidates that were chosen, where none were told while they were drawn."""
    for choice, number in enumerate(shown):
        candidate = candidates[number]
        job.on_event(Delta(choice, candidate.text, candidate.logprobs))

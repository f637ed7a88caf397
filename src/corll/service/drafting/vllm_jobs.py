"""A request under way at an engine elsewhere: its candidates, as far as they were drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from corll.compute.decoding import Branch
from corll.service.drafting.candidate_rows import Row
from corll.service.drafting.following import Follower
from corll.service.drafting.remote import RemoteJob
from corll.service.drafting.requests import Candidate
from corll.service.drafting.vllm_calls import RemotelyDrawn


@dataclass
class StreamedRow(Row):
    """A candidate under way, with the ids that have come."""

    ids: tuple[int, ...] = ()
    finished: bool = False


@dataclass(eq=False)
class VllmJob(RemoteJob):
    """A request, and the candidates of the present draw."""

    rows: list[StreamedRow] = field(default_factory=list, init=False)
    drawn: list[Candidate] = field(default_factory=list, init=False)

    @property
    def name(self) -> str | None:
        """The id of the version that draws; None for the base."""
        version = self.request.version
        return None if version is None else version.id

    def begin(self) -> None:
        """Begin a draw: nothing of its candidates has come yet."""
        self.rows = [StreamedRow(number) for number in range(self.branches)]

    @property
    def is_over(self) -> bool:
        """Whether nothing of the draw is waited for any more."""
        return self.rows[0].resumes or all(row.ended for row in self.rows)

    def take_in(self, piece: RemotelyDrawn, follower: Follower) -> None:
        """Read a piece of a candidate, token by token, and tell what can be told."""
        row = self.rows[piece.index]
        if row.ended:
            return
        for number, token_id in enumerate(piece.token_ids):
            last = number == len(piece.token_ids) - 1
            row.ids, row.finished = (*row.ids, token_id), piece.finished and last
            logprob = piece.logprobs[number] if number < len(piece.logprobs) else None
            top = piece.top[number] if number < len(piece.top) else {}
            likely = partial(_said, logprob, tuple(top.items()))
            follower.read(row, self, row.ids, likely, finished=row.finished)
            if row.ended or row.resumes:
                break
        if piece.ended and not (row.ended or row.resumes):
            follower.end(row, self, row.ids)
        if self.request.tells and not row.resumes:
            follower.tell(self, self.rows, progressed=row.ended)

    def candidates(self, follower: Follower) -> list[Candidate]:
        """Return what its rows came to, whether they are at an end or not."""
        found = []
        for row in self.rows:
            if not row.ended:
                follower.end(row, self, row.ids)
            ids = follower.ids_within(row.ids, row.text, self) if row.stopped else row.ids
            found.append(follower.candidate(row, self, Branch(ids, None, row.finished)))
        return found


def _said(
    logprob: float | None, likeliest: tuple[tuple[int, float], ...]
) -> tuple[float | None, tuple[tuple[int, float], ...]]:
    return logprob, likeliest

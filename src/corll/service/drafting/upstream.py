"""Drafts of an upstream: another service's model draws, over OpenAI's API.

Such drafts are off-policy: no weights of ours drew them. Where a request names a version, it shows
of the upstream's candidates the one that this version likes best: reranking. Candidates in which
facts of past letters leak are thrown away and drawn anew while nobody reads along, as the engine
does; guards against loops are the engine's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from corll.draft import best_first
from corll.memory.leaks import Leak
from corll.records import Message, Sample, turns_of
from corll.service.drafting.remote import RemoteDrafts, RemoteJob
from corll.service.drafting.requests import (
    MOST_REDRAWS,
    Delta,
    DraftEvent,
    DraftRequest,
    Drawn,
)
from corll.service.drafting.upstream_calls import UpstreamCalls, Used, Written
from corll.service.drafting.upstream_failures import REFUSED
from corll.service.upstream import UpstreamError


class Ranker(Protocol):
    """The engine, as far as an upstream's drafts need it."""

    def score(
        self, request: DraftRequest, drawn: Sequence[Sample]
    ) -> Future[tuple[float, ...] | None]:
        """Score texts by the version that a request names; None where it cannot read them."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has as a turn of a conversation."""
        ...


@dataclass(eq=False)
class UpstreamJob(RemoteJob):
    """A request under way at an upstream, and what it took."""

    used: Used | None = field(default=None, init=False)


class Upstream(RemoteDrafts[UpstreamJob]):
    """Answers drafting requests by a model of another service; `model` is its name there."""

    def __init__(
        self,
        ranker: Ranker,
        *,
        url: str,
        model: str,
        key: str | None,
        timeout: float,
        max_waiting: int = 64,
    ) -> None:
        self.model = model
        self._ranker, self._refuses_n = ranker, False
        self._calls = UpstreamCalls(url, key, timeout)
        super().__init__(name="upstream", max_waiting=max_waiting)

    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> UpstreamJob:
        return UpstreamJob(request, (), on_event)

    async def _hang_up(self) -> None:
        await self._calls.close()

    async def _draft(self, job: UpstreamJob) -> DraftEvent:
        if job.request.is_seen and job.request.branches == 1:
            return await self._streamed(job)
        return await self._whole(job)

    async def _streamed(self, job: UpstreamJob) -> Drawn:
        ended = Written("", finished=True)
        async for piece in self._calls.stream(self._body(job.request, streams=True)):
            if piece.text:
                job.told.append(piece.text)
                job.on_event(Delta(0, piece.text))
            ended = piece.ended or ended
            job.used = piece.used or job.used
        written = [Written("".join(job.told), ended.finished)]
        return await self._drawn(job, written, [job.leaks(written[0].text)])

    async def _whole(self, job: UpstreamJob) -> Drawn:
        kept: list[tuple[Written, tuple[Leak, ...]]] = []
        while True:
            drawn = await self._several(job, job.request.branches - len(kept))
            judged = [(one, job.leaks(one.text)) for one in drawn]
            leaking = {leak.exchange_id for _, leaks in judged for leak in leaks}
            if not (leaking and job.can_redraw):
                break
            kept += [(one, leaks) for one, leaks in judged if not leaks]
            job.thrown_away += sum(bool(leaks) for _, leaks in judged)
            job.redraws += 1
            # The last time there are none at all: letters that are alike leak too.
            last = job.redraws == MOST_REDRAWS
            left = () if last else (m for m in job.request.memory if m.id not in leaking)
            job.request = replace(job.request, memory=tuple(left))
        texts, leaks = zip(*[*kept, *judged], strict=True)
        end = await self._drawn(job, texts, leaks)
        if job.request.tells:
            for choice in range(len(end.shown)):
                job.on_event(Delta(choice, end.text(choice)))
        return end

    async def _several(self, job: UpstreamJob, count: int) -> list[Written]:
        """Return so many texts: in one answer, or in one each where the upstream gives fewer."""
        body = self._body(job.request)
        texts: list[Written] = []
        if count == 1 or not self._refuses_n:
            try:
                texts = await self._one_answer(job, {**body, "n": count} if count > 1 else body)
            except UpstreamError as error:
                if count == 1 or error.code != REFUSED:
                    raise
        if missing := max(0, count - len(texts)):
            texts += await self._each_alone(job, body, missing, begun=len(texts))
            self._refuses_n = True
        return texts[:count]

    async def _each_alone(
        self, job: UpstreamJob, body: dict[str, Any], count: int, *, begun: int
    ) -> list[Written]:
        """Return so many texts of answers of their own, each with another seed if there is one."""
        bodies = [dict(body) for _ in range(count)]
        for number, own in enumerate(bodies, start=begun):
            if "seed" in own:
                own["seed"] += number
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one_answer(job, own)) for own in bodies]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result()[0] for task in tasks]

    async def _one_answer(self, job: UpstreamJob, body: dict[str, Any]) -> list[Written]:
        texts, used = await self._calls.whole(body)
        if used is not None:
            job.used = (job.used or Used()) + used
        return texts

    def _body(self, request: DraftRequest, *, streams: bool = False) -> dict[str, Any]:
        """Return what the upstream is asked: nothing of who asks."""
        told = dict(request.passed_on or {})
        if not streams:
            told.pop("stream_options", None)
        messages = [dict(turn) for turn in turns_of(request.whole_prompt)]
        return {"model": self.model, "messages": messages, **told}

    async def _drawn(
        self, job: UpstreamJob, texts: Sequence[Written], leaks: Sequence[tuple[Leak, ...]]
    ) -> Drawn:
        request = job.request
        samples = [Sample(one.text, (), None, one.finished) for one in texts]
        scores = None
        if request.version is not None and (request.scored or not request.streams):
            scores = await asyncio.wrap_future(self._ranker.score(request, samples))
        ranked = list(range(len(samples)))
        if scores is not None and not request.streams:
            unfinished = request.config.allow_unfinished
            ranked = best_first(samples, scores, allow_unfinished=unfinished)
        shown = ranked[: request.choices]
        end = self._of(job, samples, shown)
        return replace(end, scores=scores, leaks=tuple(leaks[number] for number in shown))

    def _told(self, job: UpstreamJob) -> Drawn:
        """Return what was told of a draft that has no end."""
        told = Sample("".join(job.told), (), None, finished=False)
        return replace(self._of(job, [told], [0]), cancelled=True)

    def _of(self, job: UpstreamJob, samples: Sequence[Sample], shown: Sequence[int]) -> Drawn:
        used = job.used or self._estimated(job, samples)
        return Drawn(
            candidates=tuple(samples),
            shown=tuple(shown),
            scores=None,
            prompt_tokens=used.prompt,
            cut=frozenset(n for n, number in enumerate(shown) if not samples[number].finished),
            thrown_away=job.thrown_away,
            seed=job.request.seed,
            memory=tuple(exchange.id for exchange in job.request.memory),
            upstream=self.model,
            counted=used.completion,
        )

    def _estimated(self, job: UpstreamJob, samples: Sequence[Sample]) -> Used:
        """Count by our own tokenizer where the upstream does not say."""
        turns: Sequence[Message] = turns_of(job.request.whole_prompt)
        count = self._ranker.count_tokens
        return Used(
            sum(count(turn["content"]) for turn in turns), sum(count(one.text) for one in samples)
        )

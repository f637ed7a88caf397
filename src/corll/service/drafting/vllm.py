"""Drafts that vLLM draws: our engine encodes, judges and ranks, another process computes.

A draft is told once it is whole, so that candidates that nobody can use are drawn anew unseen.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

from corll.draft import best_first
from corll.errors import AdapterError, ConfigError
from corll.guards import first_loop, is_disclaimer
from corll.model.token_pieces import TokenPieces
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.adapters_in_memory import WAS_ERASED
from corll.service.drafting.engine import Engine
from corll.service.drafting.fairness import Owner
from corll.service.drafting.jobs import job_of, without_leaking
from corll.service.drafting.remote import RemoteDrafts, RemoteJob
from corll.service.drafting.requests import (
    MOST_REDRAWS,
    Candidate,
    Delta,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    EngineBusyError,
    TokenLogprob,
    joined,
)
from corll.service.drafting.texts import first_stop, ids_within, text_of
from corll.service.drafting.told_tokens import told_token
from corll.service.drafting.vllm_calls import Drawing, RemotelyDrawn, Replicas
from corll.service.upstream import UpstreamError

_LOOKS_EVERY_S = 0.05
_SAME_BASE_NATS = 0.25
"""Two computations of one model differ by less a token; other models by more."""

_SAME_BASE_TEXT = "Dear Anna, thank you for your letter. The parcel is on its way, and comes soon."


class VllmEngine(Engine):
    """An engine whose drafts are drawn by replicas of vLLM. *Units*: `timeout` in seconds.

    The base stays here too: for ids, for R_π where several candidates are ranked, and for what an
    edit can teach.
    """

    def __init__(self, base: Policy, urls: Sequence[str], *, timeout: float, **own: Any) -> None:
        super().__init__(base, **own)
        replicas = Replicas(urls, timeout)
        most = own.get("max_waiting", 128)
        self._elsewhere = _VllmDrafts(self, base, replicas, timeout=timeout, max_waiting=most)

    @property
    def under_way(self) -> int:
        return super().under_way + self._elsewhere.under_way

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Let vLLM draw. *Raises*: EngineBusyError, InputError, PromptTooLongError."""
        return self._elsewhere.submit(request, on_event)

    def prepare(self, request: DraftRequest) -> None:
        """Leave it to vLLM to keep what prompts begin with."""

    def let_go(self, version_ids: Collection[str]) -> None:
        """Stop drafting by versions, wait for what is under way, and let all replicas forget them.

        *Raises*: EngineBusyError where the service is stopping.
        """
        self._elsewhere.let_go(version_ids)
        super().let_go(version_ids)

    def check_base(self) -> None:
        """Check that every replica has the base that is loaded here.

        *Raises*: ConfigError where one has another; UpstreamError where one does not answer.
        """
        self._elsewhere.check_base()

    def close(self, timeout: float | None = None) -> None:
        """Take no more requests, and end once those under way did."""
        self._elsewhere.close(timeout)
        super().close(timeout)


class _VllmDrafts(RemoteDrafts[RemoteJob]):
    """The requests that vLLM draws."""

    def __init__(
        self, own: Engine, base: Policy, replicas: Replicas, *, timeout: float, max_waiting: int
    ) -> None:
        self._own, self._base, self._codec = own, base, base.codec
        self._pieces = TokenPieces(base.codec.tokenizer)
        self._replicas, self._timeout = replicas, timeout
        self._erased: set[str] = set()
        self._secret = secrets.token_bytes()
        super().__init__(name="vllm", max_waiting=max_waiting)

    def let_go(self, version_ids: Collection[str]) -> None:
        """Route nothing to versions any more, wait, and unload them by name."""
        self._erased |= set(version_ids)
        with self._lock:
            if self._closing:
                raise EngineBusyError.stopping()
            going = asyncio.run_coroutine_threadsafe(self._let_go(version_ids), self._loop)
        going.result()

    async def _let_go(self, version_ids: Collection[str]) -> None:
        until = self._loop.time() + self._timeout
        while any(_name(job) in version_ids for job in list(self._jobs)):
            if self._loop.time() > until:
                break
            await asyncio.sleep(_LOOKS_EVERY_S)
        for version_id in version_ids:
            await self._replicas.unload(version_id)

    def check_base(self) -> None:
        """Compare what the replicas and the base here say of one text."""
        prompt = self._codec.encode_response("A letter: ").token_ids[:-1]
        response = self._codec.encode_response(_SAME_BASE_TEXT).token_ids[:-1]
        with self._base.as_reference():
            ours = float(self._base.score([prompt], [response])[0])
        asked = asyncio.run_coroutine_threadsafe(self._scores(prompt, response), self._loop)
        for replica, theirs in zip(self._replicas.each, asked.result(), strict=True):
            if not abs(theirs - ours) <= _SAME_BASE_NATS * len(response):
                raise ConfigError(
                    f"The engine {replica.url} has another base than {self._base.name}: of one "
                    f"text it says {theirs:.1f} nats, and the base here {ours:.1f}. Start it with "
                    "the same model, or give this service its model by --model."
                )

    async def _scores(self, prompt: tuple[int, ...], response: tuple[int, ...]) -> list[float]:
        scores = []
        for replica in self._replicas.each:
            try:
                scores.append(await replica.score(prompt, response))
            except UpstreamError as error:
                if error.status != 400:
                    raise
                scores.append(-math.inf)  # ids that its vocabulary lacks
        return scores

    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> RemoteJob:
        return job_of(RemoteJob, request, on_event, self._codec)

    async def _draft(self, job: RemoteJob) -> DraftEvent:
        while True:
            drawn = await self._replicas.draw(self._drawing(job))
            if _name(job) in self._erased:
                raise AdapterError(WAS_ERASED)
            candidates = [self._candidate(job, one) for one in drawn]
            usable = [one for one in candidates if not self._is_unusable(job, one)]
            again = job.request.guarded and job.redraws < MOST_REDRAWS
            if not again or len(usable) == len(candidates):
                break
            job.kept += usable
            job.thrown_away += len(candidates) - len(usable)
            job.redraws += 1
            without_leaking(job, self._codec)
        return await self._end_of(job, [*job.kept, *candidates], drawn)

    def _drawing(self, job: RemoteJob) -> Drawing:
        name, owner = _name(job), job.owner
        if name in self._erased:
            raise AdapterError(WAS_ERASED)
        return Drawing(
            name,
            job.prompt_ids,
            job.branches,
            job.max_new_tokens,
            job.seed % 2**62,
            job.sampling,
            self._codec.end_ids,
            stop=job.request.stop,
            # A version's cache is its own by its name; the base's would be shared by all users.
            salt=None if name is not None else self._salt_of(owner),
            top=job.request.top_logprobs,
        )

    def _salt_of(self, owner: Owner) -> str:
        """Return a salt of an owner's own, which tells nothing of them."""
        text = "\n".join(owner).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    def _candidate(self, job: RemoteJob, drawn: RemotelyDrawn) -> Candidate:
        decode, ids, finished = self._codec.decode, drawn.token_ids, drawn.finished
        loop = first_loop(ids, decode) if job.request.guarded else None
        if loop is not None:
            ids, finished = ids[:loop], False
        text = text_of(ids, job, decode)
        cut = first_stop(text, job.request.stop)
        if cut is not None:
            text, finished = text[:cut], False
            ids = ids_within(ids, text, job, decode) if text else ids[:1]
        sample = Sample(text, ids, None, finished)
        whole = sample if job.begun is None else joined(job.begun, sample)
        ended = finished or cut is not None
        told = () if job.request.top_logprobs is None else self._logprobs(job, drawn, ids)
        return Candidate(whole, text, ended, loop is not None, told, job.leaks(text))

    def _logprobs(
        self, job: RemoteJob, drawn: RemotelyDrawn, ids: tuple[int, ...]
    ) -> tuple[TokenLogprob, ...]:
        shown = [number for number, one in enumerate(ids) if one not in self._codec.end_ids]
        tops = [drawn.top[number] if number < len(drawn.top) else {} for number in shown]
        begins = job.begun is None
        return tuple(
            told_token(
                self._pieces,
                ids[number],
                drawn.logprobs[number],
                tuple(top.items()),
                first=begins and number == 0,
            )
            for number, top in zip(shown, tops, strict=True)
        )

    @staticmethod
    def _is_unusable(job: RemoteJob, candidate: Candidate) -> bool:
        job.leaking |= {leak.exchange_id for leak in candidate.leaks}
        disclaims = job.request.guarded and is_disclaimer(candidate.text)
        return candidate.looped or disclaims or bool(candidate.leaks)

    async def _end_of(
        self, job: RemoteJob, candidates: Sequence[Candidate], drawn: Sequence[RemotelyDrawn]
    ) -> Drawn:
        request, config = job.request, job.request.config
        scores, ranked = None, list(range(len(candidates)))
        if request.scored or not request.streams:
            scores = await self._scored(job, candidates)
        if scores is not None and not request.streams:
            unfinished = config.allow_unfinished
            samples = [one.sample for one in candidates]
            ranked = best_first(samples, scores, allow_unfinished=unfinished)
        shown = tuple(ranked[: request.choices])
        chosen = [candidates[number] for number in shown]
        if request.tells:
            for choice, one in enumerate(chosen):
                job.on_event(Delta(choice, one.text, one.logprobs))
        return Drawn(
            tuple(one.sample for one in candidates),
            shown,
            scores,
            job.prompt_tokens,
            tuple(one.logprobs for one in chosen),
            frozenset(choice for choice, one in enumerate(chosen) if not one.ended),
            beginning=job.beginning,
            looped=tuple(choice for choice, one in enumerate(chosen) if one.looped),
            thrown_away=job.thrown_away,
            seed=job.seed,
            memory=tuple(exchange.id for exchange in request.memory),
            leaks=tuple(one.leaks for one in chosen),
        )

    async def _scored(
        self, job: RemoteJob, candidates: Sequence[Candidate]
    ) -> tuple[float, ...] | None:
        """Return what `selection` maximises, by our own weights: R_π is 0 for π_0 itself."""
        request = job.request
        if request.version is None or request.version.is_reference:
            return (0.0,) * len(candidates)
        samples = [one.sample for one in candidates]
        return await asyncio.wrap_future(self._own.score(request, samples))

    def _told(self, job: RemoteJob) -> Drawn:
        """Return what was told of a draft that has no end: nothing, as it is told whole."""
        nothing = Sample("", (), None, finished=False)
        return Drawn((nothing,), (0,), None, job.prompt_tokens, cancelled=True, seed=job.seed)

    async def _hang_up(self) -> None:
        await self._replicas.close()


def _name(job: DraftJob) -> str | None:
    version = job.request.version
    return None if version is None else version.id

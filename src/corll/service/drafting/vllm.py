"""Drafts that vLLM draws: our engine encodes, follows and ranks, another process computes.

Its tokens come as a stream, and are read and told as those of drafts that are drawn here.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

from corll.errors import ConfigError
from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.fairness import Owner
from corll.service.drafting.following import (
    Follower,
    drawn_of,
    keeps_usable,
    shown_of,
    tell_chosen,
)
from corll.service.drafting.jobs import job_of, without_leaking
from corll.service.drafting.remote import RemoteDrafts
from corll.service.drafting.requests import (
    Candidate,
    DraftEvent,
    DraftJob,
    DraftRequest,
    Drawn,
    EngineBusyError,
    Failed,
    NobodyWaitsError,
    VersionGoneError,
)
from corll.service.drafting.vllm_calls import Drawing, Replicas
from corll.service.drafting.vllm_jobs import VllmJob
from corll.service.drafting.vllm_versions import RoutedVersions, StillDraft
from corll.service.upstream import UpstreamError

_LOOKS_EVERY_S = 0.05
_SAME_BASE_NATS = 0.25
"""Two computations of one model differ by less a token; other models by more."""

_SAME_BASE_TEXT = "Dear Anna, thank you for your letter. The parcel is on its way, and comes soon."


class VllmEngine(Engine):
    """An engine whose drafts are drawn by replicas of vLLM. *Units*: `timeout` in seconds.

    The base stays here too: for ids, for R_π where several candidates are ranked, and for what an
    edit can teach. `still_draft` asks the database which of some versions may draft.
    """

    def __init__(
        self,
        base: Policy,
        urls: Sequence[str],
        *,
        timeout: float,
        still_draft: StillDraft,
        **own: Any,
    ) -> None:
        super().__init__(base, **own)
        replicas = Replicas(urls, timeout)
        versions = RoutedVersions(replicas, still_draft)
        most = own.get("max_waiting", 128)
        self._elsewhere = _VllmDrafts(self, base, replicas, versions, timeout, max_waiting=most)

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


class _VllmDrafts(RemoteDrafts[VllmJob]):
    """The requests that vLLM draws."""

    def __init__(
        self,
        own: Engine,
        base: Policy,
        replicas: Replicas,
        versions: RoutedVersions,
        timeout: float,
        *,
        max_waiting: int,
    ) -> None:
        self._own, self._base, self._codec = own, base, base.codec
        self._follower = Follower(base.codec)
        self._replicas, self._versions, self._timeout = replicas, versions, timeout
        self._secret = secrets.token_bytes()
        super().__init__(name="vllm", max_waiting=max_waiting)
        forgetting = versions.keep_forgetting(self._in_use)
        asyncio.run_coroutine_threadsafe(forgetting, self._loop)

    def let_go(self, version_ids: Collection[str]) -> None:
        """Route nothing to versions any more, wait, and unload them by name."""
        self._versions.erase(version_ids)
        with self._lock:
            if self._closing:
                raise EngineBusyError.stopping()
            going = asyncio.run_coroutine_threadsafe(self._let_go(version_ids), self._loop)
        going.result()

    async def _let_go(self, version_ids: Collection[str]) -> None:
        until = self._loop.time() + self._timeout
        while self._in_use() & set(version_ids) and self._loop.time() < until:
            await asyncio.sleep(_LOOKS_EVERY_S)
        await self._versions.forget(version_ids)

    def _in_use(self) -> set[str | None]:
        return {job.name for job in list(self._jobs)}

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

    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> VllmJob:
        return job_of(VllmJob, request, on_event, self._codec)

    async def _draft(self, job: VllmJob) -> DraftEvent:
        prompt_tokens = job.prompt_tokens
        try:
            while not await self._draws(job):
                prompt_tokens = without_leaking(job, self._codec).prompt_tokens
            return await self._end_of(job, prompt_tokens)
        except asyncio.CancelledError:
            if not job.cancelled:
                raise
            return await self._given_up(job, prompt_tokens)

    async def _draws(self, job: VllmJob) -> bool:
        """Draw what is missing; say whether it can be used, so that nothing is drawn anew."""
        job.begin()
        self._versions.route(job.name)
        checked = not job.request.is_seen
        try:
            async with aclosing(self._replicas.pieces(self._drawing(job))) as pieces:
                async for piece in pieces:
                    if not checked:  # before a word of it is told
                        await self._versions.check(job.name)
                        checked = True
                    self._versions.check_not_erased(job.name)
                    job.take_in(piece, self._follower)
                    if job.is_over:
                        break
        except UpstreamError:
            # An engine that lacks a version is asked for one that went, or was never told of it.
            await self._versions.check(job.name)
            raise
        if job.rows[0].resumes:
            self._follower.resume(job.rows[0], job, job.rows[0].ids)
            return False
        await self._versions.check(job.name)
        job.drawn = job.candidates(self._follower)
        return not keeps_usable(job, job.rows, job.drawn)

    async def _end_of(self, job: VllmJob, prompt_tokens: int) -> Drawn:
        request, candidates = job.request, [*job.kept, *job.drawn]
        scores = None
        if request.scored or not request.streams:
            scores = await self._scored(job, candidates)
        shown = shown_of(job, candidates, scores)
        if request.tells and not request.streams:
            tell_chosen(job, candidates, shown)
        return drawn_of(job, candidates, shown, scores, prompt_tokens, cancelled=False)

    async def _given_up(self, job: VllmJob, prompt_tokens: int) -> DraftEvent:
        """Return what there was once nobody waited any more."""
        if job.seen is None and not any(row.ids for row in job.rows):
            return Failed(NobodyWaitsError())
        try:
            await self._versions.check(job.name)
        except VersionGoneError as error:
            return Failed(error)
        candidates = [*job.kept, *job.candidates(self._follower)]
        shown = shown_of(job, candidates, None)
        return drawn_of(job, candidates, shown, None, prompt_tokens, cancelled=True)

    def _drawing(self, job: VllmJob) -> Drawing:
        return Drawing(
            job.name,
            job.prompt_ids,
            job.branches,
            job.max_new_tokens,
            job.seed % 2**62,
            job.sampling,
            self._codec.end_ids,
            stop=job.request.stop,
            # A version's cache is its own by its name; the base's would be shared by all users.
            salt=None if job.name is not None else self._salt_of(job.owner),
            top=job.request.top_logprobs,
        )

    def _salt_of(self, owner: Owner) -> str:
        """Return a salt of an owner's own, which tells nothing of them."""
        text = "\n".join(owner).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    async def _scored(
        self, job: VllmJob, candidates: Sequence[Candidate]
    ) -> tuple[float, ...] | None:
        """Return what `selection` maximises, by our own weights: R_π is 0 for π_0 itself."""
        request = job.request
        is_base = request.version is None or request.version.is_reference
        if is_base and request.config.selection == "implicit_reward":
            return (0.0,) * len(candidates)
        samples = [one.sample for one in candidates]
        return await asyncio.wrap_future(self._own.score(request, samples))

    def _told(self, job: VllmJob) -> None:
        """Keep nothing of a draft that the end of the service cuts off: who asks again gets one."""

    async def _hang_up(self) -> None:
        await self._replicas.close()

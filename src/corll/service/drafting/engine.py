"""The drafting engine: one base model, the adapters of many users, a thread that draws.

Requests of one version that wait together share a decoding; decodings take turns, a token each, and
there are few of them at a time, since a token for several rows costs hardly more than for one: who
comes later waits for the next, with all others who wait. Nothing here waits for learning.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from corll.compute.kept_prefixes import KeptPrefixes
from corll.errors import CorllError, InputError
from corll.policy import Policy
from corll.records import Prompt, Sample
from corll.service.drafting.errands import Errand, Scoring, Trial
from corll.service.drafting.requests import (
    MOST_REDRAWS,
    SECONDS_A_DRAFT,
    DraftEvent,
    DraftJob,
    DraftRequest,
    EngineBusyError,
    Failed,
    VersionFolder,
)
from corll.service.drafting.shared_decoding import Session, longest_row

log = logging.getLogger(__name__)

KEPT_BYTES = 256 * 2**20
"""Some 9,000 tokens of a model of 1.5 billion parameters."""

_MOST_SESSIONS = 4
_MOST_PREPARED = 8
"""Beginnings that wait to be computed; the latest come first."""
_FEWEST_KEPT = 64
"""A beginning of fewer tokens is computed with the rest of its prompt."""


class AdaptersInMemory:
    """The adapters of the versions used last, each loaded once; those in use stay."""

    def __init__(self, base: Policy, capacity: int) -> None:
        self._base, self._capacity = base, capacity
        self._loaded: OrderedDict[str, Policy] = OrderedDict()

    def get(self, version: VersionFolder, in_use: set[str | None]) -> Policy:
        """Return the version's policy, loaded if need be. *Raises*: AdapterError."""
        policy = self._loaded.get(version.id)
        if policy is None:
            policy = self._base.with_adapter(version.folder, reference=version.reference)
            self._loaded[version.id] = policy
        self._loaded.move_to_end(version.id)
        idle = [name for name in self._loaded if name not in in_use and name != version.id]
        for name in idle[: max(0, len(self._loaded) - self._capacity)]:
            self._loaded.pop(name).unload()
        return policy

    def __len__(self) -> int:
        return len(self._loaded)


class _Beginning(NamedTuple):
    """What prompts of a version begin with."""

    ids: tuple[int, ...]
    version: VersionFolder | None


class Engine:
    """Answers drafting requests in a thread of its own. `base` may be used by nobody else.

    `kept_bytes` is room for keys and values of what stands before the last message of prompts. The
    memory of a request is left out, the earliest first, where it does not fit the context.
    `on_busy` is told when drawing begins and when it ends, so that learning can give way. The
    thread sets its number of `threads` before each token. `needs_memory` says of the learner what
    whoever judges an edit has to know.
    """

    def __init__(
        self,
        base: Policy,
        *,
        max_waiting: int = 64,
        max_branches: int = 32,
        max_adapters: int = 32,
        kept_bytes: int = KEPT_BYTES,
        on_busy: Callable[[bool], None] = lambda _: None,
        threads: Callable[[], object] = lambda: None,
        needs_memory: bool = False,
    ) -> None:
        self.model, self.fingerprint = base.name, base.base.fingerprint
        self.has_chat_template, self.needs_memory = base.codec.chat, needs_memory
        self._base, self._on_busy, self._settle_threads = base, on_busy, threads
        self._max_waiting, self._max_branches = max_waiting, max_branches
        self._adapters = AdaptersInMemory(base, max_adapters)
        self._kept = KeptPrefixes(kept_bytes)
        self._waiting: deque[DraftJob] = deque()
        self._errands: deque[Errand] = deque()
        self._preparing: deque[_Beginning] = deque(maxlen=_MOST_PREPARED)
        self._sessions: list[Session] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="drafting", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closing

    @property
    def under_way(self) -> int:
        return len(self._waiting) + sum(len(session.jobs) for session in list(self._sessions))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has as a turn of a conversation."""
        return self._base.codec.count_turn_tokens(text)

    def settled(self, prompt: Prompt, template_kwargs: Mapping[str, Any]) -> Prompt:
        """Return a prompt with all that its rendering depends on, as it is drafted for and kept."""
        return self._base.codec.settled(prompt, template_kwargs)

    def _begun(self, beginning: str) -> Sample | None:
        """Return the beginning of a response in the ids that learning scores it on."""
        if not beginning:
            return None
        codec = self._base.codec
        ids = codec.encode_response(beginning).token_ids[:-1]
        return Sample(codec.decode(ids), ids, None, finished=False)

    def check_edit(self, text: str) -> None:
        """Check that a text may be an edit. *Raises*: InputError where it holds a control token."""
        self._base.codec.check_response(text, "edit")

    def why_not_learnable(self, prompt: Prompt, drafted: Sample, text: str) -> str | None:
        """Return why an edit of a draft could not be learned from; None where it can."""
        codec = self._base.codec
        try:
            edit = codec.encode_edit(drafted, text)
            codec.check_fits(codec.encode_prompt(prompt), edit.token_ids)
        except InputError as error:
            return str(error)
        same = edit.token_ids == drafted.token_ids
        return "To the model the edit is the draft itself." if same else None

    def submit(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Put a request in the queue.

        *Raises*: EngineBusyError where that is full, or the service is stopping; InputError,
        PromptTooLongError for a prompt that cannot be drafted for, or not so many times.
        """
        job = self._job(request, on_event)
        request = job.request
        most = max(1, self._base.branches_at_once(longest_row([job])))
        if request.branches > most:
            raise InputError(
                f"{request.branches} candidates of {request.max_new_tokens} tokens do not fit into "
                f"the memory of this server; at this length it draws {most} at a time."
            )
        with self._changed:
            if self._closing or len(self._waiting) >= self._max_waiting:
                raise EngineBusyError.behind(len(self._waiting))
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        """Return a request with its ids, with no more memory and as long as the context allows."""
        codec, limit = self._base.codec, request.config.max_prompt_length
        beginning = self._begun(request.beginning)
        begun = () if beginning is None else beginning.token_ids
        prompt_ids = (*codec.encode_prompt(request.prompt, limit=limit), *begun)
        if request.shortens and codec.context_length is not None:
            room = max(1, codec.context_length - len(prompt_ids))
            request = replace(request, max_new_tokens=min(request.max_new_tokens, room))
        codec.check_room([prompt_ids], request.max_new_tokens)
        if request.memory:
            room = len(begun) + request.max_new_tokens
            memory, ids = codec.encode_behind(request.prompt, request.memory, room=room)
            request, prompt_ids = replace(request, memory=memory), (*ids, *begun)
        earlier = codec.earlier_tokens(request.whole_prompt, prompt_ids)
        if earlier < _FEWEST_KEPT:
            earlier = 0
        return DraftJob(request, prompt_ids, on_event, beginning, earlier)

    def try_adapter(self, folder: Path) -> None:
        """Load an adapter between two tokens, and let go of it.

        *Raises*: AdapterError where it does not fit the base; EngineBusyError where the service is
        stopping.
        """
        trial = Trial(folder)
        self._do(trial)
        trial.outcome.result()

    def score(
        self, request: DraftRequest, drawn: Sequence[Sample]
    ) -> Future[tuple[float, ...] | None]:
        """Score texts that others drew for a request between two tokens, as `Scoring` says.

        *Raises*: EngineBusyError where the service is stopping; AdapterError from the outcome.
        """
        scoring = Scoring(request, drawn)
        self._do(scoring)
        return scoring.outcome

    def _do(self, errand: Errand) -> None:
        with self._changed:
            if self._closing:
                raise EngineBusyError(SECONDS_A_DRAFT)
            self._errands.append(errand)
            self._changed.notify()

    def prepare(self, request: DraftRequest) -> None:
        """Compute what stands before the last message of such requests, while nobody waits.

        They begin at once then. *Raises*: InputError, PromptTooLongError for one that cannot be
        drafted for.
        """
        job = self._job(request, lambda _: None)
        beginning = _Beginning(job.prompt_ids[: job.earlier_tokens], request.version)
        with self._changed:
            if beginning.ids and beginning not in self._preparing:
                self._preparing.append(beginning)
                self._changed.notify()

    def close(self, timeout: float | None = None) -> None:
        """Take no more requests, finish those that were taken, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._sessions or self._errands):
                    if self._closing:
                        return
                    if self._preparing:
                        break
                    self._changed.wait()
            if not (self._waiting or self._sessions or self._errands):
                self._prepare_some()
                continue
            self._on_busy(True)
            while self._waiting or self._sessions or self._errands:
                while self._errands:
                    self._errands.popleft().run(self._base, self._policy_of)
                self._settle_threads()
                self._admit()
                self._sessions = [session for session in self._sessions if self._advance(session)]
            self._on_busy(False)

    def _prepare_some(self) -> None:
        """Compute a block of a beginning, so that a request waits no longer than for that."""
        beginning = self._preparing[-1]
        ids, version = beginning
        self._settle_threads()
        try:
            if version is None:
                with self._base.as_reference():
                    goes_on = self._base.prepare(self._kept, ids)
            else:
                goes_on = self._adapters.get(version, set()).prepare(self._kept, ids)
        except Exception as error:
            _report(error)
            goes_on = False
        with self._changed:
            if not goes_on and beginning in self._preparing:
                self._preparing.remove(beginning)

    def _admit(self) -> None:
        """Begin what is waiting, as far as there is room; at least one."""
        while self._waiting:
            if len(self._sessions) >= _MOST_SESSIONS:
                return
            with self._changed:
                first = self._waiting[0]
                if self._sessions and not self._fits([first]):
                    return
                alike = [first]
                for job in list(self._waiting)[1:]:
                    if _kind(job) == _kind(first) and self._fits([*alike, job]):
                        alike.append(job)
                for job in alike:
                    self._waiting.remove(job)
            self._begin(alike)

    def _fits(self, jobs: Sequence[DraftJob]) -> bool:
        """Say whether these, drawn together, find room and memory beside what is under way.

        In one decoding the longest prompt has room for the longest response.
        """
        context = self._base.codec.context_length
        if context is not None and longest_row(jobs) > context:
            return False
        under_way = sum(session.branches for session in self._sessions)
        branches = under_way + sum(job.branches for job in jobs)
        longest = max(longest_row(jobs), *(session.longest for session in self._sessions), 0)
        return branches <= min(self._max_branches, self._base.branches_at_once(longest))

    def _begin(self, jobs: list[DraftJob]) -> None:
        version = jobs[0].request.version
        try:
            policy = None if version is None else self._policy_of(version)
            self._sessions.append(Session(policy, self._base, jobs, self._kept))
        except Exception as error:
            _report(error)
            for job in jobs:
                job.on_event(Failed(error))

    def _policy_of(self, version: VersionFolder) -> Policy:
        return self._adapters.get(version, {session.version for session in self._sessions})

    def _advance(self, session: Session) -> bool:
        try:
            goes_on = session.advance()
        except Exception as error:
            _report(error)
            session.fail(Failed(error))
            goes_on = False
        again = [self._without_leaking(job) for job in session.to_redraw]
        with self._changed:
            self._waiting.extendleft(again)
        session.to_redraw.clear()
        return goes_on

    def _without_leaking(self, job: DraftJob) -> DraftJob:
        """Let a job be drawn anew without the exchanges of which facts were found in it.

        The last time that it may be drawn there are none at all: letters that are alike leak too.
        """
        if job.leaking:
            left = tuple(one for one in job.request.memory if one.id not in job.leaking)
            left = left if job.redraws < MOST_REDRAWS else ()
            anew = self._job(replace(job.request, memory=left), job.on_event)
            seen = () if job.seen is None else job.seen.token_ids
            job.request, job.prompt_ids = anew.request, (*anew.prompt_ids, *seen)
            job.earlier_tokens = anew.earlier_tokens
            job.leaking.clear()
        return job


def _kind(job: DraftJob) -> tuple[Any, ...]:
    """Return what two requests have in common that can be drawn in one decoding."""
    version = job.request.version
    return None if version is None else version.id, job.request.sampling, job.branches


def _report(error: Exception) -> None:
    if not isinstance(error, CorllError):
        log.exception("a draft failed")

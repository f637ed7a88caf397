"""The drafting engine: one base model, the adapters of many users, a thread that draws.

Requests that wait together share a decoding, each with the adapter of its version. There are few of
them at a time, since a token for several rows costs hardly more than for one: who comes later waits
for the next, with all others who wait. Where a pass cannot mix adapters, each version has decodings
of its own. Decodings take turns, a token each: the next token is for whoever had
least of the computing (`fairness.py`). Nothing here waits for learning.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from corll.compute.kept_prefixes import KeptPrefixes
from corll.errors import InputError
from corll.policy import Policy
from corll.records import Prompt, Sample
from corll.service.drafting.adapters_in_memory import AdaptersInMemory
from corll.service.drafting.admission import Line
from corll.service.drafting.errands import (
    Errand,
    Errands,
    LettingGo,
    Reading,
    Scoring,
    Trial,
    fail,
    report,
)
from corll.service.drafting.jobs import ids_of_text, job_of, without_leaking
from corll.service.drafting.pace import Pace
from corll.service.drafting.requests import (
    WAS_ERASED,
    Begun,
    DraftEvent,
    DraftJob,
    DraftRequest,
    EngineBusyError,
    Failed,
    NobodyWaitsError,
    TokenLogprob,
    VersionFolder,
    VersionGoneError,
)
from corll.service.drafting.shared_decoding import Session
from corll.service.drafting.turns import MOST_DECODINGS, Batch, Turns, longest_row

KEPT_BYTES = 256 * 2**20
"""Some 9,000 tokens of a model of 1.5 billion parameters."""

_MOST_PREPARED = 8
"""Beginnings that wait to be computed; the latest come first."""


class _Beginning(NamedTuple):
    """What prompts of a version begin with."""

    ids: tuple[int, ...]
    version: VersionFolder | None


class Engine:
    """Answers drafting requests in a thread of its own. `base` may be used by nobody else.

    At most `max_waiting` drafts wait, none longer than `longest_wait`, in seconds. `kept_bytes` is
    room for keys and values of what stands before the last message of prompts. The memory of a
    request is left out, the earliest first, where it does not fit the context. `on_busy` is told
    when drawing begins and when it ends, so that learning can give way. The thread sets its number
    of `threads` before each token. `needs_memory` says of the learner what whoever judges an edit
    has to know.
    """

    def __init__(
        self,
        base: Policy,
        *,
        max_waiting: int = 128,
        max_branches: int = 64,
        longest_wait: float = 30.0,
        max_adapters: int = 32,
        kept_bytes: int = KEPT_BYTES,
        on_busy: Callable[[bool], None] = lambda _: None,
        threads: Callable[[], object] = lambda: None,
        needs_memory: bool = False,
    ) -> None:
        self.model, self.fingerprint = base.name, base.base.fingerprint
        self.has_chat_template, self.needs_memory = base.codec.chat, needs_memory
        self._base, self._on_busy, self._settle_threads = base, on_busy, threads
        self._pace, within = Pace(), base.branches_at_once
        size = max_branches, base.codec.context_length, within, self._pace
        self._adapters = AdaptersInMemory(base, max_adapters)
        turns = Turns(*size, base.mixes, max(max_adapters, MOST_DECODINGS))
        self._line = Line(turns, places=max_waiting, longest_wait=longest_wait)
        self._changed = self._line.lock
        self._kept = KeptPrefixes(kept_bytes)
        self._errands = Errands()
        self._preparing: deque[_Beginning] = deque(maxlen=_MOST_PREPARED)
        self._sessions: list[Session] = []
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="drafting", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closing

    @property
    def under_way(self) -> int:
        return self.waiting + sum(len(session.jobs) for session in list(self._sessions))

    @property
    def waiting(self) -> int:
        """Requests that are not begun yet."""
        return len(self._line)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has as a turn of a conversation."""
        return self._base.codec.count_turn_tokens(text)

    def settled(self, prompt: Prompt, template_kwargs: Mapping[str, Any]) -> Prompt:
        """Return a prompt with all that its rendering depends on, as it is drafted for and kept."""
        return self._base.codec.settled(prompt, template_kwargs)

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

        *Raises*: EngineBusyError where it would wait too long, or the service is stopping;
        InputError, PromptTooLongError for a prompt that cannot be drafted for, or not so many
        times.
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
            if self._closing:
                raise EngineBusyError.stopping()
            self._line.join(job, self._under_way())
            self._changed.notify()
        return job

    def _job(self, request: DraftRequest, on_event: Callable[[DraftEvent], None]) -> DraftJob:
        return job_of(DraftJob, request, on_event, self._base.codec)

    def ids_of_text(self, text: str) -> tuple[tuple[int, ...], int]:
        """Return the ids of a text as it is continued, and how many of them stand before it."""
        return ids_of_text(self._base.codec, text)

    def read(
        self, token_ids: Sequence[int], version: VersionFolder | None, count: int, own: int = 0
    ) -> Future[tuple[TokenLogprob, ...]]:
        """Read ids between two tokens of drafts, as `Reading` says.

        *Raises*: EngineBusyError where too many wait, or the service is stopping; InputError,
        PromptTooLongError for what cannot be read.
        """
        self._base.codec.check_ids(token_ids)
        reading = Reading(tuple(token_ids), version, count, own)
        self._do(reading)
        return reading.outcome

    def has(self, version_id: str) -> bool:
        return version_id in self._adapters

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

    def let_go(self, version_ids: Collection[str]) -> None:
        """Forget what is kept of texts, and the weights of these versions, between two tokens.

        Drafts that such a version is drawing end, and it draws no more.
        *Raises*: EngineBusyError where the service is stopping, and so forgets everything.
        """
        errand = LettingGo(partial(self._let_go, frozenset(version_ids)))
        self._do(errand)
        errand.outcome.result()

    def _let_go(self, version_ids: frozenset[str]) -> None:
        self._kept.clear()
        with self._changed:
            self._preparing.clear()
        for session in self._sessions:
            session.fail_versions(version_ids, Failed(VersionGoneError(WAS_ERASED)))
        self._sessions = [session for session in self._sessions if session.goes_on]
        self._adapters.let_go(version_ids)

    def _do(self, errand: Errand) -> None:
        with self._changed:
            if self._closing:
                raise EngineBusyError.stopping()
            self._errands.add(errand)
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
                while not self._has_work:
                    if self._closing:
                        return
                    if self._preparing:
                        break
                    self._changed.wait()
            if not self._has_work:
                self._prepare_some()
                continue
            self._on_busy(True)
            while self._has_work:
                self._errands.run(self._base, self._policy_of)
                self._settle_threads()
                self._end_cancelled()
                self._admit()
                self._refuse_overdue()
                self._advance_one()
            self._on_busy(False)

    @property
    def _has_work(self) -> bool:
        return bool(len(self._line) or self._sessions or self._errands)

    def _under_way(self) -> list[Batch]:
        return [session.as_batch(self._pace) for session in list(self._sessions)]

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
                goes_on = self._policy_of(version).prepare(self._kept, ids)
        except Exception as error:
            report(error)
            goes_on = False
        with self._changed:
            if not goes_on and beginning in self._preparing:
                self._preparing.remove(beginning)

    def _end_cancelled(self) -> None:
        """End what nobody waits for any more."""
        for session in self._sessions:
            self._guarded(session, session.end_cancelled)
        self._sessions = [session for session in self._sessions if session.goes_on]
        with self._changed:
            gone = self._line.take_cancelled()
        for job in gone:
            job.on_event(Failed(NobodyWaitsError()))

    def _refuse_overdue(self) -> None:
        """Refuse what has waited too long, and could not be begun now either."""
        with self._changed:
            late = self._line.take_overdue(self._under_way())
        for job, error in late:
            job.on_event(Failed(error))

    def _admit(self) -> None:
        """Begin what is waiting, as far as there is room; at least one."""
        while True:
            with self._changed:
                jobs = self._line.next(self._under_way())
                waits = {job: self._line.waited(job) for job in jobs}
            if not jobs:
                return
            self._begin(jobs, waits)

    def _begin(self, jobs: Sequence[DraftJob], waits: Mapping[DraftJob, float]) -> None:
        """Begin jobs together, but for those whose version cannot be had."""
        drawers = self._adapters.drawers(jobs, self._in_use)
        if not drawers:
            return
        jobs = [drawer.job for drawer in drawers]
        try:
            session = Session(drawers, self._base, self._kept)
        except Exception as error:
            fail(jobs, error)
            return
        self._sessions = [*self._sessions, session]
        self._pace.read_prompts(sum(len(job.prompt_ids) for job in jobs), session.begun_in_s)
        with self._changed:
            self._line.charge(session.as_batch(self._pace), session.begun_in_s)
        for job in jobs:
            if not job.redraws:
                job.on_event(Begun(waits[job]))

    @property
    def _in_use(self) -> frozenset[str]:
        """The ids of the versions that are drawing."""
        return frozenset().union(*(session.versions for session in self._sessions))

    def _policy_of(self, version: VersionFolder) -> Policy:
        return self._adapters.get(version, self._in_use)

    def _advance_one(self) -> None:
        """Draw a token in the decoding whose turn it is; it is the last of its owner's then."""
        if not self._sessions:
            return
        batches = self._under_way()
        number = self._line.turn_of(batches)
        session, start = self._sessions[number], time.perf_counter()
        self._guarded(session, partial(session.advance, self._pace))
        others = [*self._sessions[:number], *self._sessions[number + 1 :]]
        self._sessions = [*others, session] if session.goes_on else others
        again = [without_leaking(job, self._base.codec) for job in session.to_redraw]
        session.to_redraw.clear()
        with self._changed:
            self._line.charge(batches[number], time.perf_counter() - start)
            self._line.join_again(again, self._under_way())

    def _guarded(self, session: Session, act: Callable[[], object]) -> None:
        """Do something with a decoding, of which the jobs fail where that does."""
        try:
            act()
        except Exception as error:
            report(error)
            session.fail(Failed(error))

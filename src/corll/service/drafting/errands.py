"""What the drafting thread does between two tokens: it tries adapters, scores and reads texts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from corll.draft import scores_of
from corll.errors import AdapterError, CorllError, InputError
from corll.model.token_pieces import TokenPieces
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.requests import (
    DraftJob,
    DraftRequest,
    EngineBusyError,
    Failed,
    TokenLogprob,
    VersionFolder,
)
from corll.service.drafting.told_tokens import told_token

log = logging.getLogger(__name__)

_MOST_READINGS, _SECONDS_TO_READ = 32, 5

PolicyOf = Callable[[VersionFolder], Policy]
"""The policy of a version, loaded if need be."""


def report(error: Exception) -> None:
    """Report an error to the log, unless somebody is told of it as expected."""
    if not isinstance(error, CorllError):
        log.error("a draft failed", exc_info=error)


def fail(jobs: Sequence[DraftJob], error: Exception) -> None:
    """Tell whoever waits for these jobs why there is no draft."""
    report(error)
    for job in jobs:
        job.on_event(Failed(error))


class Errand(Protocol):
    """Something that takes the model for a while."""

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Do it; whoever waits is told the outcome, errors too."""
        ...


@dataclass
class Trial:
    """An adapter to be looked at, and what came of it."""

    folder: Path
    outcome: Future[None] = field(default_factory=Future)

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Load the adapter and let go of it."""
        try:
            policy = base.with_adapter(self.folder)
            try:
                weights = policy.trainable_parameters().values()
                if not all(bool(weight.isfinite().all()) for weight in weights):
                    raise AdapterError(f"The adapter in {self.folder} is not of finite numbers.")
            finally:
                policy.unload()
        except Exception as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)


@dataclass
class LettingGo:
    """Something to let go of, and whether that was done."""

    act: Callable[[], None]
    outcome: Future[None] = field(default_factory=Future)

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Let go of it."""
        try:
            self.act()
        except Exception as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)


@contextmanager
def _weights(version: VersionFolder | None, base: Policy, policy_of: PolicyOf) -> Iterator[Policy]:
    """Yield the policy of a version, or π_0."""
    if version is None:
        with base.as_reference():
            yield base
    else:
        yield policy_of(version)


@dataclass
class Scoring:
    """Texts that others drew for a request, to be scored by the version that it names, or by π_0.

    `drawn` may have no ids. The outcome is what `selection` maximises, a number a text; None where
    the model cannot read the prompt or one of the texts, since they are too long or hold a control
    token.
    """

    request: DraftRequest
    drawn: Sequence[Sample]
    outcome: Future[tuple[float, ...] | None] = field(default_factory=Future)

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Score the texts, behind as much of the request's memory as there is room for."""
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            self.outcome.set_result(self._scores(base, policy_of))
        except InputError as error:
            log.info("drafts of an upstream are not ranked: %s", error)
            self.outcome.set_result(None)
        except Exception as error:
            self.outcome.set_exception(error)

    def _scores(self, base: Policy, policy_of: PolicyOf) -> tuple[float, ...]:
        request, codec = self.request, base.codec
        # In the ids that learning would score them on.
        samples = [codec.encode_edit(one, one.text) for one in self.drawn]
        longest = max(samples, key=lambda sample: len(sample.token_ids)).token_ids
        codec.check_fits(codec.encode_prompt(request.prompt), longest)
        memory = codec.memory_within(request.prompt, request.memory, room=len(longest))
        prompt = codec.behind(request.prompt, memory)
        with _weights(request.version, base, policy_of) as policy:
            return tuple(scores_of(policy, [prompt], [samples], request.config)[0])


@dataclass
class Reading:
    """Ids to be read, by a version or by π_0.

    The outcome is what is told of each of them but the `own` first ones: its log-probability after
    those before it, None for the very first, and the `count` likeliest in its place. *Units*: nats.
    """

    token_ids: tuple[int, ...]
    version: VersionFolder | None
    count: int
    own: int = 0
    outcome: Future[tuple[TokenLogprob, ...]] = field(default_factory=Future)

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Read them in one pass."""
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            with _weights(self.version, base, policy_of) as policy:
                self.outcome.set_result(self._read(policy))
        except Exception as error:
            self.outcome.set_exception(error)

    def _read(self, policy: Policy) -> tuple[TokenLogprob, ...]:
        pieces, ids = TokenPieces(policy.codec.tokenizer), self.token_ids
        told = [told_token(pieces, ids[0], None, first=True)]
        if len(ids) > 1:
            own, top, top_ids = policy.read(ids, self.count)
            rows = zip(ids[1:], own.tolist(), top.tolist(), top_ids.tolist(), strict=True)
            for place, (token_id, logprob, numbers, others) in enumerate(rows, start=1):
                likeliest = tuple(zip(others, numbers, strict=True))
                first = place == self.own
                told.append(told_token(pieces, token_id, logprob, likeliest, first=first))
        return tuple(told[self.own :])


class Errands:
    """Errands that wait, in order. Readings take a while: no more than one between two tokens."""

    def __init__(self) -> None:
        self._waiting: deque[Errand] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, errand: Errand) -> None:
        """Let one wait. *Raises*: EngineBusyError where too many readings do already."""
        if isinstance(errand, Reading):
            readings = sum(isinstance(one, Reading) for one in list(self._waiting))
            if readings >= _MOST_READINGS:
                raise EngineBusyError(_SECONDS_TO_READ, "Too many prompts wait to be read")
        self._waiting.append(errand)

    def run(self, base: Policy, policy_of: PolicyOf) -> None:
        """Run what waits now."""
        has_read = False
        for _ in range(len(self._waiting)):
            errand = self._waiting.popleft()
            if isinstance(errand, Reading) and has_read:
                self._waiting.append(errand)
                continue
            errand.run(base, policy_of)
            has_read = has_read or isinstance(errand, Reading)

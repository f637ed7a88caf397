"""What the drafting thread does between two tokens: it tries an adapter, or scores given texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from corll.draft import scores_of
from corll.errors import AdapterError, InputError
from corll.policy import Policy
from corll.records import Sample
from corll.service.drafting.requests import DraftRequest, VersionFolder

log = logging.getLogger(__name__)

PolicyOf = Callable[[VersionFolder], Policy]
"""The policy of a version, loaded if need be."""


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
class Scoring:
    """Texts that others drew for a request, to be scored by the version that it names.

    `drawn` have no ids. The outcome is what `selection` maximises, a number a text; None where the
    version's model cannot read the prompt or one of the texts, since they are too long or hold a
    control token.
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
        assert request.version is not None
        # In the ids that learning would score them on.
        samples = [codec.encode_edit(one, one.text) for one in self.drawn]
        longest = max(samples, key=lambda sample: len(sample.token_ids)).token_ids
        codec.check_fits(codec.encode_prompt(request.prompt), longest)
        memory = codec.memory_within(request.prompt, request.memory, room=len(longest))
        prompt = codec.behind(request.prompt, memory)
        policy = policy_of(request.version)
        return tuple(scores_of(policy, [prompt], [samples], request.config)[0])

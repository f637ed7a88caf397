"""An adapter that learns from one writer as the service teaches one: edit, step, examination.

A version that is rejected doesn't serve: the next step starts from the version before it, and the
edits that it had learned are set aside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from corll.config import CoactiveConfig, LoraConfig
from corll.errors import DeviceMemoryError, InputError, TrainingError
from corll.learner import CoactiveLearner
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Draft, Preference, Prompt, StepResult
from corll.service.learning.checks import Examined, OfReferences, reasons_against
from corll.service.learning.starting_points import LOOKED_BACK
from corll.service.settings import ServiceSettings
from corll.step import PreferenceOptimizer


@dataclass(frozen=True, slots=True)
class Taught:
    """What came of an edit. `made` is the number of the version that it completed, if it did."""

    seconds: float
    made: int | None = None
    rejected: Sequence[str] = ()
    set_aside: str | None = None
    examination_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of a line."""
        return {
            "step_s": round(self.seconds, 2),
            "examination_s": round(self.examination_seconds, 2),
            "made": self.made,
            "rejected": list(self.rejected),
            "set_aside": self.set_aside,
            "metrics": {name: float(f"{value:.4g}") for name, value in self.metrics.items()},
        }


class Pupil:
    """A new adapter on a base, and the learner that teaches it; closed, it frees the adapter.

    `veto` drafts examine each version, beside the service's other checks; with None every version
    serves. `recall` returns what may stand before a prompt, for a learner that needs to know.
    `of_references` keeps what is known of the base between pupils.
    """

    def __init__(
        self,
        base: Policy,
        config: CoactiveConfig,
        lora: LoraConfig,
        *,
        veto: int | None,
        of_references: OfReferences,
        recall: Callable[[Prompt], Sequence[Exchange]] | None = None,
    ) -> None:
        self.base, self.veto, self.of_references = base, veto, of_references
        self.policy = base.with_adapter(lora=lora)
        self.learner = CoactiveLearner(self.policy, config)
        self.learner.recall = recall
        self.serving = 0
        """The number of the version that drafts; 0 is π_0."""
        self.versions = 0
        self._parent: Policy | None = None
        self._folder = TemporaryDirectory(prefix="learn-check-")
        self._kept = Path(self._folder.name)
        if veto is not None:
            self.policy.save(self._kept)

    def __enter__(self) -> Pupil:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.policy.unload()
        if self._parent is not None:
            self._parent.unload()
        self._folder.cleanup()

    def take(self, draft: Draft, sent: str) -> Taught:
        """Learn from what was sent in place of a draft; step and examine once N are in."""
        start = time.perf_counter()
        before = list(self.learner.buffer.past)
        try:
            step = self.learner.learn(draft, sent).step
        except (TrainingError, DeviceMemoryError) as error:
            waiting = list(self.learner.buffer)
            self.learner.buffer.retire(waiting)
            self._forget(len(waiting))
            return Taught(time.perf_counter() - start, set_aside=str(error))
        except InputError as error:
            return Taught(time.perf_counter() - start, set_aside=str(error))
        learned = time.perf_counter()
        if step is None:
            return Taught(learned - start)
        self.versions += 1
        reasons = self._examined(step, before)
        end = time.perf_counter()
        return Taught(
            end - start,
            self.versions,
            reasons,
            examination_seconds=end - learned,
            metrics=dict(step.metrics),
        )

    def _examined(self, step: StepResult, before: Sequence[Preference]) -> list[str]:
        """Return the reasons against the version that a step made; let it serve where none is."""
        if self.veto is None:
            self.serving = self.versions
            return []
        batch = step.learned[: self.learner.config.preferences_per_step]
        reasons = reasons_against(
            Examined.by_settings(
                ServiceSettings(),
                self.policy,
                batch,
                looked_at=self.veto,
                past=before[-LOOKED_BACK:],
                parent=self._parent,
                sampling=self.learner.config.sampling,
                of_references=self.of_references,
            )
        )
        if reasons:
            self._step_back(len(batch))
        else:
            self._keep()
        return reasons

    def _keep(self) -> None:
        """Let the version serve, and keep it as the parent of the next."""
        self.serving = self.versions
        self.policy.save(self._kept)
        self.learner.optimizer.save(self._kept)
        if self._parent is None:
            self._parent = self.base.with_adapter(self._kept)
        else:
            self._parent.restore(self._kept)

    def _step_back(self, learned: int) -> None:
        """Go on from the version that serves, without what the rejected one had learned."""
        self._forget(learned)
        self.policy.restore(self._kept)
        steps = self.learner.steps_taken - 1
        self.learner.optimizer = PreferenceOptimizer(self.learner.policy, self.learner.config)
        if self.serving:
            self.learner.optimizer.restore(self._kept, steps_taken=steps)

    def _forget(self, count: int) -> None:
        """Take the latest that were learned out of what is replayed."""
        past = self.learner.buffer.past
        for _ in range(min(count, len(past))):
            past.pop()

"""Steps on preferences of the store: read, checked, and taken one after the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from corll.buffer import REPLAY_MEMORY, draw
from corll.compute.free_processors import GivingThreads
from corll.durable_points import reached
from corll.errors import CorllError, DeviceMemoryError, InputError, TrainingError
from corll.memory.masking import Mask
from corll.records import Preference, StepResult
from corll.service.learning.lesson import Lesson
from corll.service.learning.plans import StepPlan
from corll.service.learning.reading import PreferenceReader
from corll.service.learning.step_spans import about_step
from corll.service.store.preferences import PreferenceRow
from corll.service.tracing import NO_TRACING, STEP, Tracing
from corll.step import PreferenceOptimizer

SetAside = Callable[[Sequence[PreferenceRow], CorllError], None]
"""Hears which preferences cannot be learned from, and why."""


class Steps:
    """Takes steps, each with as many threads from its beginning to its end.

    `threads` are those that are free when a step begins, unless its plan says how many.
    """

    def __init__(
        self,
        reader: PreferenceReader,
        threads: GivingThreads,
        set_aside: SetAside,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._reader, self._threads, self._set_aside = reader, threads, set_aside
        self._tracing = tracing

    def take(
        self,
        optimizer: PreferenceOptimizer,
        batches: Sequence[Sequence[PreferenceRow]],
        before: Sequence[str],
        plans: Sequence[StepPlan],
    ) -> Lesson:
        """Take a step on each batch, which replays some of what was learned `before`."""
        past: deque[str | Preference] = deque(before, maxlen=REPLAY_MEMORY)
        lesson, began, config = Lesson(), time.monotonic(), optimizer.config
        reads_memory = config.learn_with_memory or optimizer.learner.needs_memory
        for batch, plan in zip(batches, plans, strict=True):
            rate = config.learning_rate * plan.share
            optimizer.config = config.with_settings(learning_rate=rate)
            if plan.max_tokens is not None:
                optimizer.max_tokens = plan.max_tokens
            mask = self._reader.mask_of(batch[0].user_id)
            with self._threads.held(plan.threads) as threads:
                rows, result = self._step(optimizer, batch, past, mask)
            if result is not None:
                past.extend(result.learned[: len(rows)])
                done = StepPlan(threads, optimizer.max_tokens, plan.share)
                lesson.add(rows, result, done, reads_memory=reads_memory, mask=mask)
                reached("step done")
        optimizer.config = config
        lesson.seconds = time.monotonic() - began
        return lesson

    def _step(
        self,
        optimizer: PreferenceOptimizer,
        batch: Sequence[PreferenceRow],
        past: Sequence[str | Preference],
        mask: Mask,
    ) -> tuple[list[PreferenceRow], StepResult | None]:
        """Step on those that can be learned from, and say which; set the others aside."""
        usable: list[tuple[PreferenceRow, Preference]] = []
        for row, found in zip(
            batch, self._reader.to_preferences(batch, optimizer.check, mask), strict=True
        ):
            if isinstance(found, InputError):
                self._set_aside([row], found)
            else:
                usable.append((row, found))
        if not usable:
            return [], None
        rows = [row for row, _ in usable]
        replayed = self._replayed(past, optimizer)
        try:
            with self._tracing.span(STEP, about_step(rows, replayed)) as span:
                result = optimizer.step([*(found for _, found in usable), *replayed])
                span.note({"corll.step.number": optimizer.steps_taken})
            return rows, result
        except (TrainingError, DeviceMemoryError) as error:
            self._set_aside(rows, error)
            return [], None

    def _replayed(
        self, past: Sequence[str | Preference], optimizer: PreferenceOptimizer
    ) -> list[Preference]:
        """Draw what a step replays of the past, of which only that is read and encoded."""
        config = optimizer.config
        drawn = draw(past, config.replay_per_step, seed=config.replay_seed(optimizer.steps_taken))
        read = self._reader.find([one for one in drawn if isinstance(one, str)], optimizer.check)
        found = (read.get(one) if isinstance(one, str) else one for one in drawn)
        return [one for one in found if one is not None]

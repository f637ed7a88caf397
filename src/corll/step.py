"""Step 4 of Algorithm 1: an Adam step on N preferences, for whoever has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from corll.config import CoactiveConfig
from corll.errors import AdapterError, InputError, TrainingError
from corll.gradient import BatchGradient, Lesson, accumulate_gradients
from corll.learners import Item, learner_of
from corll.learners.pairs import PairLearner
from corll.model import file_names
from corll.policy import Policy
from corll.records import Preference, StepResult


class PreferenceOptimizer:
    """Adam over what a policy learns with, a step for each batch of preferences.

    `config` gives the learner, the learning rate and its schedule, and the memory that a step may
    use. `give_way` is called before each pass, and before each few tokens that are drawn, for a
    learner that shares its processor.
    `steps_taken` counts the steps, those before a saved state was taken up included.
    """

    def __init__(
        self,
        policy: Policy,
        config: CoactiveConfig,
        *,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.policy, self.config, self.give_way = policy, config, give_way
        self.steps_taken = 0
        self._parameters = policy.trainable_parameters()
        self._adam = torch.optim.Adam(
            self._parameters.values(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
        )
        self.learner = learner_of(config)
        self._budget = policy.within(config.memory_limit_gb).token_budget()

    def step(self, preferences: Sequence[Preference]) -> StepResult:
        """Take one Adam step on these preferences.

        *Raises*: InputError for a preference that cannot be used, TrainingError where loss or
        gradient are not finite, DeviceMemoryError; the adapter is then as it was.
        """
        if not preferences:
            raise InputError("A step needs at least one preference.")
        gradient = self._gradient(self._encoded(preferences))
        return self._taken(preferences, gradient, self._checked(gradient))

    def _checked(self, gradient: BatchGradient) -> dict[str, float]:
        """Clip the gradient and return the step's numbers. *Raises*: TrainingError."""
        metrics = {name: float(value) for name, value in gradient.metrics.items()}
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self.config.max_grad_norm)
        metrics["grad_norm"] = float(norm)
        metrics["learning_rate"] = self.config.learning_rate_at(self.steps_taken + 1)
        if not all(map(isfinite, metrics.values())):
            self._adam.zero_grad()
            raise TrainingError(
                f"Step {self.steps_taken + 1} gave numbers that are not finite ({metrics}); the "
                "adapter is as it was. Lower the learning rate, or use dtype='float32'."
            )
        return metrics

    def _taken(
        self,
        preferences: Sequence[Preference],
        gradient: BatchGradient,
        metrics: dict[str, float],
    ) -> StepResult:
        for group in self._adam.param_groups:
            group["lr"] = metrics["learning_rate"]
        self._adam.step()
        self._adam.zero_grad()
        self.steps_taken += 1
        learned = tuple(preferences)
        if gradient.references:
            scored = zip(preferences, gradient.references, strict=True)
            learned = tuple(preference.with_reference(found) for preference, found in scored)
        return StepResult(self.steps_taken, metrics, learned)

    @property
    def max_tokens(self) -> int:
        """How many tokens are worked at together at most: fewer once memory has run out."""
        return self._budget.max_tokens

    @max_tokens.setter
    def max_tokens(self, tokens: int) -> None:
        self._budget.max_tokens = tokens

    def can_teach(self, preference: Preference) -> bool:
        """Say whether a preference has what the learner needs: a memory, for some."""
        return bool(preference.memory) or not self.learner.needs_memory

    def check(self, preference: Preference) -> None:
        """Check a preference. *Raises*: InputError where a step could not learn from it."""
        self.learner.check(self.policy, preference)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the optimiser's state beside the weights that it belongs to."""
        save_file(self._state(), Path(folder) / file_names.OPTIMIZER)

    def restore(self, folder: str | os.PathLike[str], *, steps_taken: int) -> None:
        """Take up the state that `save` wrote after so many steps. *Raises*: AdapterError."""
        path = Path(folder) / file_names.OPTIMIZER
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise AdapterError(
                f"The optimiser's state in {path} cannot be read: {error}"
            ) from error
        for entry, value in stored.items():
            key, name = entry.split("/", 1)
            parameter = self._parameters[name]
            device = "cpu" if key == "step" else parameter.device
            self._adam.state[parameter][key] = value.to(device)
        self.steps_taken = steps_taken

    def _state(self) -> dict[str, torch.Tensor]:
        return {
            f"{key}/{name}": value.detach().cpu().contiguous()
            for name, parameter in self._parameters.items()
            for key, value in self._adam.state[parameter].items()
        }

    def _encoded(self, preferences: Sequence[Preference]) -> Sequence[Item]:
        # Some learners draw texts, which takes long.
        return self.learner.encode(
            self.policy, preferences, seed=self._seed(), before=self.give_way
        )

    def _gradient(self, items: Sequence[Item]) -> BatchGradient:
        def accumulate(max_tokens: int) -> BatchGradient:
            with self._dropout_stream():
                return self.learner.accumulate(self.policy, items, max_tokens, before=self.give_way)

        return self._budget.attempt([item.rows for item in items], accumulate)

    @contextmanager
    def _dropout_stream(self) -> Iterator[None]:
        """Let dropout draw from a stream of the step's own; the caller's stream stays as it is."""
        if self.policy.lora.lora_dropout == 0:
            yield
            return
        with torch.random.fork_rng():
            torch.manual_seed(self._seed())
            yield

    def _seed(self) -> int:
        """Return a seed of the step's own, of 32 bits: torch's generator ignores further ones."""
        mixed = np.random.SeedSequence([self.config.seed, self.steps_taken]).generate_state(1)
        return int(mixed[0])

    def _lesson(self, items: Sequence[Any]) -> Lesson | None:
        """Return what it learns in passes that it shares with others; None where it cannot."""
        learner = self.learner
        shares = self.policy.mixes and self.policy.lora.lora_dropout == 0
        if not (shares and isinstance(learner, PairLearner)):
            return None
        return learner.lesson(self.policy, items)

    def _forget_gradient(self) -> None:
        self._adam.zero_grad()


def step_together(
    batches: Sequence[tuple[PreferenceOptimizer, Sequence[Preference]]],
) -> list[StepResult]:
    """Take an Adam step of several policies on one base, each on its own preferences.

    They share the passes: the base is computed once for the rows of all, in micro-batches that fit
    the smallest of their memory limits, and each row has its own policy's adapter. Each result is
    that of `step`, up to rounding. Who cannot share a pass takes a step alone: policies that do not
    mix (`Policy.mixes`) or have dropout, and learners with a gradient of their own.

    *Raises*: as `step`; all adapters are then as they were.
    """
    optimizers = [optimizer for optimizer, _ in batches]
    if len({(id(o.policy.adapters), o.policy.adapter) for o in optimizers}) < len(optimizers):
        raise InputError("A policy can take one step at a time: give its preferences in one batch.")
    if not all(preferences for _, preferences in batches):
        raise InputError("A step needs at least one preference.")
    encoded = [optimizer._encoded(preferences) for optimizer, preferences in batches]
    try:
        gradients = _gradients(optimizers, encoded)
        pairs = list(zip(optimizers, gradients, strict=True))
        metrics = [optimizer._checked(gradient) for optimizer, gradient in pairs]
    except Exception:
        for optimizer in optimizers:
            optimizer._forget_gradient()
        raise
    return [
        optimizer._taken(preferences, gradient, found)
        for (optimizer, preferences), gradient, found in zip(
            batches, gradients, metrics, strict=True
        )
    ]


def _gradients(
    optimizers: Sequence[PreferenceOptimizer], encoded: Sequence[Sequence[Item]]
) -> list[BatchGradient]:
    """Return the gradient of each, of those of one base together where they can."""
    found: dict[int, BatchGradient] = {}
    together: dict[int, list[tuple[int, Lesson]]] = {}
    for number, (optimizer, items) in enumerate(zip(optimizers, encoded, strict=True)):
        lesson = optimizer._lesson(items)
        if lesson is None:
            found[number] = optimizer._gradient(items)
        else:
            together.setdefault(id(optimizer.policy.adapters), []).append((number, lesson))
    for group in together.values():
        sharing = [optimizers[number] for number, _ in group]
        lessons = [lesson for _, lesson in group]
        results = _shared_gradients(sharing, lessons)
        found.update(zip((number for number, _ in group), results, strict=True))
    return [found[number] for number in range(len(optimizers))]


def _shared_gradients(
    optimizers: Sequence[PreferenceOptimizer], lessons: Sequence[Lesson]
) -> list[BatchGradient]:
    def give_way() -> None:
        for optimizer in optimizers:
            optimizer.give_way()

    def accumulate(max_tokens: int) -> list[BatchGradient]:
        return accumulate_gradients(lessons, max_tokens, before=give_way)

    smallest = min(optimizers, key=lambda optimizer: optimizer.max_tokens)
    rows = [pair.rows for lesson in lessons for pair in lesson.pairs]
    return smallest._budget.attempt(rows, accumulate)

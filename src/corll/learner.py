"""The coactive learner: drafts, edits, and step 4 of Algorithm 1, an Adam step on N preferences."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from corll.buffer import PreferenceBuffer
from corll.config import CoactiveConfig
from corll.draft import make_drafts
from corll.errors import AdapterError, InputError, TrainingError
from corll.feedback import clean_edit, is_acceptance
from corll.gradient import (
    BatchGradient,
    EncodedPair,
    accumulate_gradient,
    encode_pair,
    with_less_memory,
)
from corll.model import file_names
from corll.model.memory import tokens_within
from corll.policy import Policy
from corll.records import (
    Acceptance,
    Draft,
    Outcome,
    Preference,
    Prompt,
    Response,
    text_of,
)

_REFERENCE_FOLDER = "reference"
_REPLAY_MEMORY = 512
"""Preferences that replay draws from: the latest, so that a change of taste is learned."""


class CoactiveLearner:
    """Learns from the edits of one user; `draft`, then `learn` from what they made of it.

    `last_metrics` are those of the latest step, `last_learned` its preferences, now with their
    reference log-probabilities, so that whoever stores them need not compute these again.
    `give_way` is called before each micro-batch, for a learner that shares its processor.
    """

    def __init__(
        self,
        policy: Policy,
        config: CoactiveConfig | None = None,
        *,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.policy = policy
        self.give_way = give_way
        self.config = config or CoactiveConfig()
        self.buffer = PreferenceBuffer(
            self.config.preferences_per_step,
            memory=_REPLAY_MEMORY if self.config.replay_per_step else 0,
        )
        self.drafts_made = 0
        self.rounds_played = 0
        self.steps_taken = 0
        self.last_metrics: dict[str, float] | None = None
        self.last_learned: tuple[Preference, ...] = ()
        self._parameters = policy.trainable_parameters()
        self._optimizer = torch.optim.Adam(
            self._parameters.values(),
            lr=self.config.learning_rate,
            betas=(self.config.adam_beta1, self.config.adam_beta2),
        )
        policy.memory_limit_gb = self.config.memory_limit_gb
        self._max_tokens = tokens_within(self.config.memory_limit_gb, policy.base.model)

    def draft(self, prompt: Prompt) -> Draft:
        """A draft to show to the user (line 5)."""
        return self.draft_many([prompt])[0]

    def draft_many(self, prompts: Sequence[Prompt]) -> list[Draft]:
        """Drafts for several prompts at once, from the policy as it is now (footnote 1)."""
        first = self.config.seed * 2**32 + self.drafts_made
        seeds = range(first, first + len(prompts))
        drafts = make_drafts(self.policy, prompts, self.config, seeds=seeds)
        self.drafts_made += len(drafts)
        return drafts

    def learn(self, draft: Draft, edited: Response) -> Outcome:
        """Takes what the user made of a draft; steps once N preferences are in (lines 7 and 8).

        A text keeps the draft's ids as far as it keeps its text; a Sample, of a user who is a
        policy, is taken with its own ids. Returns a Preference, or an Acceptance where the text is
        the draft's own: counted, but nothing to learn from. *Raises*: InputError for an edit that
        cannot be used; then nothing has changed.
        """
        outcome = self.outcome_of(draft, edited)
        self.rounds_played += 1
        if isinstance(outcome, Acceptance):
            return outcome
        self.buffer.add(outcome)
        if (batch := self.buffer.next_batch()) is not None:
            self.learn_batch(batch)
        return outcome

    def outcome_of(self, draft: Draft, edited: Response) -> Outcome:
        """What `learn` would take the edit for; nothing is learned or counted.

        *Raises*: InputError for a text that is empty, too long, or has control characters.
        """
        if is_acceptance(draft, text_of(edited)):
            return Acceptance(draft)
        if isinstance(edited, str):
            edit = self.policy.codec.encode_edit(draft.sample, clean_edit(edited))
        else:
            edit = edited
        preference = Preference(draft.prompt, chosen=edit, rejected=draft.sample)
        encode_pair(self.policy, preference)
        return preference

    def skip(self, draft: Draft) -> None:
        """Counts a draft to which the user gave no feedback."""
        self.rounds_played += 1

    def pass_over(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """Counts drafts that were made before, so that the next ones get seeds of their own."""
        self.drafts_made += len(drafts)
        return drafts

    def flush(self) -> dict[str, float] | None:
        """A step on the preferences that wait, though fewer than N; None if there are none."""
        waiting = list(self.buffer)
        if not waiting:
            return None
        return self.learn_batch(waiting)

    def learn_batch(self, batch: Sequence[Preference]) -> dict[str, float]:
        """A step on these and on as many of the past as the configuration asks for; as `step`."""
        replayed = self.buffer.recall(
            self.config.replay_per_step, seed=f"{self.config.seed}/{self.steps_taken}"
        )
        metrics = self.step([*batch, *replayed])
        self.buffer.retire(self.last_learned[: len(batch)])
        return metrics

    def step(self, preferences: Sequence[Preference]) -> dict[str, float]:
        """One Adam step on these preferences, now; returns its metrics under TRL's names.

        *Raises*: InputError for a preference that cannot be used, TrainingError where loss or
        gradient are not finite, DeviceMemoryError; the adapter is then as it was.
        """
        if not preferences:
            raise InputError("A step needs at least one preference.")
        pairs = [encode_pair(self.policy, preference) for preference in preferences]
        gradient = self._gradient(pairs)
        metrics = {name: float(value) for name, value in gradient.metrics.items()}
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self.config.max_grad_norm)
        metrics["grad_norm"] = float(norm)
        metrics["learning_rate"] = self.config.learning_rate_at(self.steps_taken + 1)
        if not all(map(_is_finite, metrics.values())):
            self._optimizer.zero_grad()
            raise TrainingError(
                f"Step {self.steps_taken + 1} gave numbers that are not finite ({metrics}); the "
                "adapter is as it was. Lower the learning rate, or use dtype='float32'."
            )
        for group in self._optimizer.param_groups:
            group["lr"] = metrics["learning_rate"]
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps_taken += 1
        self.last_metrics = metrics
        scored = zip(preferences, gradient.references, strict=True)
        self.last_learned = tuple(preference.with_reference(r) for preference, r in scored)
        return metrics

    def _gradient(self, pairs: Sequence[EncodedPair]) -> BatchGradient:
        while True:
            try:
                with self._dropout_stream():
                    return accumulate_gradient(
                        self.policy, pairs, self.config, self._max_tokens, before=self.give_way
                    )
            except (RuntimeError, MemoryError) as error:
                self._max_tokens = with_less_memory(error, self._max_tokens, pairs)

    @contextmanager
    def _dropout_stream(self) -> Iterator[None]:
        """Dropout draws from a stream of the step's own; those of the caller stay as they are."""
        if self.policy.lora.lora_dropout == 0:
            yield
            return
        # Mixed into 32 bits, since torch's generator on the CPU ignores the others.
        mixed = np.random.SeedSequence([self.config.seed, self.steps_taken]).generate_state(1)
        with torch.random.fork_rng():
            torch.manual_seed(int(mixed[0]))
            yield

    def save(self, folder: str | os.PathLike[str], *, with_preferences: bool = True) -> None:
        """Writes the adapter as a PEFT folder, and beside it all that going on exactly needs.

        `with_preferences=False` leaves out the texts that wait or may be replayed, for a caller who
        keeps them elsewhere.
        """
        target = Path(folder)
        self.policy.save(target)
        if self.policy.reference_name != "base":
            self.policy.save_reference(target / _REFERENCE_FOLDER)
        save_file(self._optimizer_state(), target / file_names.OPTIMIZER)
        kept = (self.buffer, self.buffer.past) if with_preferences else ((), ())
        waiting, past = ([asdict(preference) for preference in part] for part in kept)
        state = {
            "base_model": self.policy.name,
            "dtype": str(self.policy.dtype).removeprefix("torch."),
            "chat_template": self.policy.codec.chat,
            "reference": self.policy.reference_name,
            "config": self.config.model_dump(),
            "drafts_made": self.drafts_made,
            "rounds_played": self.rounds_played,
            "steps_taken": self.steps_taken,
            "waiting": waiting,
            "past": past,
        }
        (target / file_names.LEARNER).write_text(json.dumps(state, indent=1) + "\n")

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        device: str | None = None,
        policy: Policy | None = None,
    ) -> CoactiveLearner:
        """The learner exactly as `save` left it, in the same dtype unless another is asked for.

        Its base model is loaded by name, unless a `policy` on that base and with the same π_0 is
        given, whose adapter is then overwritten. *Raises*: AdapterError where the folder holds no
        learner, or one of another base or π_0.
        """
        source = Path(folder)
        state = _read_state(source)
        given = policy is not None
        if policy is None:
            policy = Policy.load(
                state["base_model"],
                dtype=dtype or state["dtype"],
                device=device,
                adapter=source,
                reference=None if state["reference"] == "base" else source / _REFERENCE_FOLDER,
                chat_template=state["chat_template"],
            )
        if policy.reference_name != state["reference"]:
            raise AdapterError(
                f"The learner in {source} is held to the reference {state['reference']!r}, the "
                f"policy to {policy.reference_name!r}. Load the policy with the same reference."
            )
        if given:
            policy.restore(source)
        learner = cls(policy, CoactiveConfig(**state["config"]))
        learner.restore_optimizer(source)
        learner.drafts_made = state["drafts_made"]
        learner.rounds_played = state["rounds_played"]
        learner.steps_taken = state["steps_taken"]
        for fields in state["waiting"]:
            learner.buffer.add(Preference.from_dict(fields))
        learner.buffer.past.extend(map(Preference.from_dict, state["past"]))
        return learner

    def _optimizer_state(self) -> dict[str, torch.Tensor]:
        return {
            f"{key}/{name}": value.detach().cpu().contiguous()
            for name, parameter in self._parameters.items()
            for key, value in self._optimizer.state[parameter].items()
        }

    def restore_optimizer(self, folder: str | os.PathLike[str]) -> None:
        """Takes up the optimiser's state that `save` wrote. *Raises*: AdapterError."""
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
            self._optimizer.state[parameter][key] = value.to(device)


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / file_names.LEARNER).read_text())
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{folder} holds no learner that could go on ({file_names.LEARNER}: {error}). An "
            "adapter alone is loaded by Policy.load(base, adapter=folder)."
        ) from error
    return state

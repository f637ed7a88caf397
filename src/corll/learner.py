"""The coactive learner: drafts, what their user made of them, and a step once N are in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from corll.buffer import REPLAY_MEMORY, PreferenceBuffer
from corll.config import CoactiveConfig
from corll.draft import make_drafts
from corll.errors import AdapterError, ConfigError
from corll.feedback import is_acceptance
from corll.memory.exchanges import Exchange
from corll.model import file_names
from corll.policy import Policy
from corll.records import (
    Acceptance,
    Draft,
    Learned,
    Outcome,
    Preference,
    Prompt,
    Response,
    StepResult,
    text_of,
)
from corll.step import PreferenceOptimizer
from corll.text import clean_edit

_REFERENCE_FOLDER = "reference"


class CoactiveLearner:
    """Learns from the edits of one user; `draft`, then `learn` from what they made of it.

    `policy` works within the memory limit of `config`; the caller's own policy keeps its limit.
    `give_way` is called before each pass of a step, for a learner that shares its processor.
    """

    def __init__(
        self,
        policy: Policy,
        config: CoactiveConfig | None = None,
        *,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config or CoactiveConfig()
        self.policy = policy.within(self.config.memory_limit_gb)
        self.optimizer = PreferenceOptimizer(self.policy, self.config, give_way=give_way)
        self.buffer = PreferenceBuffer(
            self.config.preferences_per_step,
            memory=REPLAY_MEMORY if self.config.replay_per_step else 0,
        )
        self.drafts_made = 0
        self.rounds_played = 0
        self.recall: Callable[[Prompt], Sequence[Exchange]] | None = None
        """Returns what stands before a prompt while it is drafted for; None: nothing does."""

    @property
    def steps_taken(self) -> int:
        """The number of Adam steps so far."""
        return self.optimizer.steps_taken

    def draft(self, prompt: Prompt) -> Draft:
        """Return a draft to show to the user (line 5)."""
        return self.draft_many([prompt])[0]

    def draft_many(self, prompts: Sequence[Prompt]) -> list[Draft]:
        """Draft for several prompts at once, from the policy as it is now (footnote 1)."""
        first = self.config.seed * 2**32 + self.drafts_made
        seeds = range(first, first + len(prompts))
        recalled = None if self.recall is None else [self.recall(prompt) for prompt in prompts]
        drafts = make_drafts(self.policy, prompts, self.config, seeds=seeds, memories=recalled)
        self.drafts_made += len(drafts)
        return drafts

    def learn(self, draft: Draft, edited: Response) -> Learned:
        """Take what the user made of a draft; step once N preferences are in (lines 7 and 8).

        A text keeps the draft's ids as far as it keeps its text; a Sample, of a user who is a
        policy, is taken with its own ids. The outcome is a Preference, or an Acceptance where the
        text is the draft's own: counted, but nothing to learn from, as is a preference without a
        memory where the configured learner needs one. *Raises*: InputError for an edit that cannot
        be used; then nothing has changed.
        """
        outcome = self.outcome_of(draft, edited)
        self.rounds_played += 1
        if isinstance(outcome, Acceptance) or not self.optimizer.can_teach(outcome):
            return Learned(outcome)
        self.buffer.add(outcome)
        batch = self.buffer.next_batch()
        return Learned(outcome, None if batch is None else self.learn_batch(batch))

    def outcome_of(self, draft: Draft, edited: Response) -> Outcome:
        """Return what `learn` would take the edit for; nothing is learned or counted.

        *Raises*: InputError for a text that is empty, too long, or holds half of a character.
        """
        if is_acceptance(draft, text_of(edited)):
            return Acceptance(draft)
        if isinstance(edited, str):
            text = clean_edit(edited, draft.text)
            edit = self.policy.codec.encode_edit(draft.sample, text)
        else:
            edit = edited
        preference = Preference(
            draft.prompt, chosen=edit, rejected=draft.sample, memory=draft.memory
        )
        if self.optimizer.can_teach(preference):
            self.optimizer.check(preference)
        elif self.recall is None:
            raise ConfigError(
                f"The learner {self.config.learner!r} learns from the memory that a draft was "
                "drawn with, and nothing recalls one: set the learner's recall, or choose another "
                "learner."
            )
        return preference

    def skip(self, draft: Draft) -> None:
        """Count a draft to which the user gave no feedback."""
        self.rounds_played += 1

    def pass_over(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """Count drafts that were made before, so that the next ones get seeds of their own."""
        self.drafts_made += len(drafts)
        return drafts

    def flush(self) -> StepResult | None:
        """Step on the preferences that wait, though fewer than N; None if there are none."""
        waiting = list(self.buffer)
        return self.learn_batch(waiting) if waiting else None

    def learn_batch(self, batch: Sequence[Preference]) -> StepResult:
        """Step on these and on as many of the past as the configuration asks for; as `step`."""
        seed = self.config.replay_seed(self.steps_taken)
        replayed = self.buffer.recall(self.config.replay_per_step, seed=seed)
        result = self.step([*batch, *replayed])
        self.buffer.retire(result.learned[: len(batch)])
        return result

    def step(self, preferences: Sequence[Preference]) -> StepResult:
        """Take one Adam step on these preferences; as `PreferenceOptimizer.step`."""
        return self.optimizer.step(preferences)

    def save(self, folder: str | os.PathLike[str], *, with_preferences: bool = True) -> None:
        """Write the adapter as a PEFT folder, and beside it all that going on exactly needs.

        `with_preferences=False` leaves out the texts that wait or may be replayed, for a caller who
        keeps them elsewhere.
        """
        target = Path(folder)
        self.policy.save(target)
        if self.policy.reference_name != "base":
            self.policy.save_reference(target / _REFERENCE_FOLDER)
        self.optimizer.save(target)
        kept = (self.buffer, self.buffer.past) if with_preferences else ((), ())
        waiting, past = ([preference.to_dict() for preference in part] for part in kept)
        state = {
            "base_model": self.policy.name,
            "dtype": str(self.policy.dtype).removeprefix("torch."),
            "chat_template": self.policy.codec.chat,
            "enable_thinking": self.policy.codec.enable_thinking,
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
        """Return the learner as `save` left it, in the same dtype unless another is asked for.

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
                # Templates think by default, as learners of before 0.2 had them.
                enable_thinking=state.get("enable_thinking", True),
            )
        if policy.reference_name != state["reference"]:
            raise AdapterError(
                f"The learner in {source} is held to the reference {state['reference']!r}, the "
                f"policy to {policy.reference_name!r}. Load the policy with the same reference."
            )
        if given:
            policy.restore(source)
        learner = cls(policy, CoactiveConfig(**state["config"]))
        learner.optimizer.restore(source, steps_taken=state["steps_taken"])
        learner.drafts_made = state["drafts_made"]
        learner.rounds_played = state["rounds_played"]
        for fields in state["waiting"]:
            learner.buffer.add(Preference.from_dict(fields))
        learner.buffer.past.extend(map(Preference.from_dict, state["past"]))
        return learner


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / file_names.LEARNER).read_text())
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{folder} holds no learner that could go on ({file_names.LEARNER}: {error}). An "
            "adapter alone is loaded by Policy.load(base, adapter=folder)."
        ) from error
    return state

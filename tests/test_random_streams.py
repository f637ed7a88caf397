"""Each random stream follows its seed: drafts, replay and dropout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from corll.config import CoactiveConfig, LoraConfig
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Preference
from tiny_models import perturb_adapter, weights

CONFIG = CoactiveConfig(
    num_candidates=1,
    max_completion_length=6,
    preferences_per_step=1,
    learning_rate=1e-3,
    replay_per_step=0,
)
PAST = [Preference(f"Note {n}.", f" Dear Anna, note {n}.", " Hello.") for n in range(8)]


class TestDrafts:
    def test_a_learners_drafts_are_numbered_from_its_seed_on(self, policy: Policy) -> None:
        """No two learners share a stream, since none makes 2³² drafts."""
        learner = CoactiveLearner(policy, CONFIG.with_settings(seed=3))
        seeds = [draft.seed for draft in learner.draft_many(["Hello."] * 3)]
        seeds.append(learner.draft("Hello.").seed)
        assert seeds == [3 * 2**32 + n for n in range(4)]

    def test_drafts_that_were_passed_over_have_had_their_seeds(self, policy: Policy) -> None:
        learner, other = (CoactiveLearner(policy, CONFIG) for _ in range(2))
        made = learner.draft_many(["Hello."] * 2)
        other.pass_over(made)
        assert other.draft("Hello.") == learner.draft("Hello.")

    def test_the_callers_generator_has_no_say(self, policy: Policy) -> None:
        drafts = []
        for state in (1, 2):
            torch.manual_seed(state)
            drafts.append(CoactiveLearner(policy, CONFIG).draft("Hello."))
        assert drafts[0] == drafts[1]


class TestReplay:
    @staticmethod
    def replayed(policy: Policy, *, seed: int) -> list[str]:
        """List the prompts that are replayed in six steps, of a memory that stays the same."""
        learner = CoactiveLearner(policy, CONFIG.with_settings(seed=seed, replay_per_step=1))
        learner.buffer.past.extend(PAST)
        found = []
        for _ in range(6):
            _, past = learner.learn_batch(PAST[:1]).learned
            found.append(str(past.prompt))
            # What is remembered stays the same, so that the stream alone decides.
            learner.buffer.past.pop()
        return found

    def test_it_follows_the_seed_and_the_step(self, policy: Policy) -> None:
        first = self.replayed(policy, seed=0)
        assert self.replayed(policy, seed=0) == first
        assert self.replayed(policy, seed=1) != first
        assert len(set(first)) > 1


class TestDropout:
    @pytest.fixture
    def change(self, tiny_model_folder: Path) -> Callable[..., dict[str, Tensor]]:
        """Return a function that makes a step from the same weights each time."""

        def of(*, seed: int, steps_before: int = 0) -> dict[str, Tensor]:
            lora = LoraConfig(lora_dropout=0.3)
            policy = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
            perturb_adapter(policy)
            learner = CoactiveLearner(policy, CONFIG.with_settings(seed=seed))
            learner.optimizer.steps_taken = steps_before
            learner.step(PAST[:2])
            return weights(policy)

        return of

    def test_it_follows_the_seed_and_the_step(
        self, change: Callable[..., dict[str, Tensor]]
    ) -> None:
        first = change(seed=0)
        torch.testing.assert_close(change(seed=0), first, rtol=0, atol=0)
        for others in (change(seed=1), change(seed=0, steps_before=5)):
            assert any(not torch.equal(value, first[name]) for name, value in others.items())

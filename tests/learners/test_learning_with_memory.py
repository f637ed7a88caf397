"""Learning with the memory in the prompt: as if the prompt had held it, and off by default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from corll.config import CoactiveConfig
from corll.errors import InputError
from corll.gradient import encode_pair
from corll.learner import CoactiveLearner
from corll.memory.exchanges import with_memory
from corll.policy import Policy
from corll.records import Preference, Verbatim
from corll.step import PreferenceOptimizer
from distillations import PARCEL, REMEMBERED, TEA
from tiny_models import perturb_adapter, weights

PLAIN = CoactiveConfig(learning_rate=1e-2, warmup_steps=0)
WITH = PLAIN.with_settings(learn_with_memory=True)
IN_THE_PROMPT = [
    replace(one, prompt=with_memory(one.prompt, one.memory), memory=()) for one in REMEMBERED
]
FORGOTTEN = [replace(one, memory=()) for one in REMEMBERED]


@pytest.mark.parametrize(
    ("config", "same"), [(WITH, IN_THE_PROMPT), (PLAIN, FORGOTTEN)], ids=["with", "without"]
)
def test_a_step_scores_with_the_memory_where_it_is_to(
    tiny_model_folder: Path, config: CoactiveConfig, same: list[Preference]
) -> None:
    """To the bit what a step gives whose prompts hold the memory, or know nothing of it."""
    steps = []
    for preferences, settings in ((REMEMBERED, config), (same, PLAIN)):
        policy = Policy.load(tiny_model_folder, dtype="float32")
        perturb_adapter(policy)
        result = PreferenceOptimizer(policy, settings).step(preferences)
        steps.append((result.metrics, [one.reference for one in result.learned], weights(policy)))
    (metrics, references, after), (expected, expected_references, expected_after) = steps
    assert metrics == expected
    assert references == expected_references
    torch.testing.assert_close(after, expected_after, rtol=0, atol=0)


def test_with_and_without_are_not_the_same(policy: Policy) -> None:
    (one,) = REMEMBERED[:1]
    short, long = encode_pair(policy, one), encode_pair(policy, one, remembering=True)
    assert len(short.prompt_ids) < len(long.prompt_ids)
    assert (short.chosen_ids, short.rejected_ids) == (long.chosen_ids, long.rejected_ids)


@pytest.mark.parametrize(("spare", "held"), [(0, 2), (-1, 1)])
def test_what_has_no_room_is_left_out_the_earliest_first(
    policy: Policy, spare: int, held: int
) -> None:
    one = replace(REMEMBERED[0], memory=(PARCEL, TEA))
    whole = encode_pair(policy, one, remembering=True)
    longest = max(len(whole.chosen_ids), len(whole.rejected_ids))
    room = len(whole.prompt_ids) + longest + spare
    policy.codec = replace(policy.codec, context_length=room)
    expected = replace(one, memory=one.memory[-held:])
    found = encode_pair(policy, one, remembering=True)
    assert found.rows == encode_pair(policy, expected, remembering=True).rows
    assert (found.rows == whole.rows) == (held == 2)


def test_a_text_that_is_continued_has_no_memory(policy: Policy) -> None:
    verbatim = replace(REMEMBERED[0], prompt=Verbatim("Dear Anna"))
    with pytest.raises(InputError, match="no memory can stand before it"):
        encode_pair(policy, verbatim, remembering=True)
    assert encode_pair(policy, verbatim).prompt_ids


@pytest.mark.parametrize("config", [PLAIN, WITH])
def test_a_loop_hands_on_what_a_draft_was_drawn_with(
    policy: Policy, config: CoactiveConfig
) -> None:
    learner = CoactiveLearner(policy, config.with_settings(max_completion_length=8))
    learner.recall = lambda prompt: (TEA,) if prompt == "Write to Anna." else ()
    for prompt, memory in (("Write to Anna.", (TEA,)), ("Write to Ben.", ())):
        draft = learner.draft(prompt)
        outcome = learner.outcome_of(draft, " Dear Anna, thank you.")
        assert isinstance(outcome, Preference)
        assert (draft.prompt, draft.memory, outcome.memory) == (prompt, memory, memory)

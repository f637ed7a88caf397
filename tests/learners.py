"""Settings and preferences of tests of the learner, and what it consists of."""

from __future__ import annotations

from typing import Any

import torch

from corll.config import CoactiveConfig
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Draft, Preference
from tiny_models import weights

QUICK = CoactiveConfig(
    num_candidates=1,
    preferences_per_step=2,
    max_completion_length=8,
    learning_rate=1e-2,
    warmup_steps=0,
    replay_per_step=0,
    sft_weight=0.3,
    keep_weight=0.0,
)
PREFERENCES = [
    Preference("Write to Anna.", " Dear Anna, thank you.", " Hello there!"),
    Preference("The kettle.", " We'll send another one on Friday.", " We'll not send it."),
    Preference("Tuesday?", " Could we move it to Thursday?", " No."),
]


def a_draft(policy: Policy, text: str = " Dear Anna, hello.") -> Draft:
    return Draft("Write to Anna.", (policy.codec.encode_response(text),))


def state_of(learner: CoactiveLearner) -> dict[str, Any]:
    """All that learning may change, to be compared bit for bit."""
    return {
        "weights": weights(learner.policy),
        "optimizer": learner.optimizer._state(),
        "buffer": list(learner.buffer),
        "past": list(learner.buffer.past),
        "rounds": learner.rounds_played,
        "steps": learner.steps_taken,
        "drafts": learner.drafts_made,
    }


def assert_same_state(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for tensors in ("weights", "optimizer"):
        torch.testing.assert_close(found[tensors], expected[tensors], rtol=0, atol=0)
    counted = ("buffer", "past", "rounds", "steps", "drafts")
    assert {name: found[name] for name in counted} == {name: expected[name] for name in counted}

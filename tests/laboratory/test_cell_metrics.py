"""The measures of an evaluation, on numbers worked by hand."""

from __future__ import annotations

import pytest

from corll.config import SamplingConfig
from corll.laboratory.cell_metrics import evaluate_policy, share_to_expert, summarise_answers
from corll.policy import Policy
from corll.simulation.expert_users import Answer
from corll.simulation.experts import Expert
from tiny_models import perturb_adapter

SAMPLING = SamplingConfig()
PROMPTS = ["Write to Anna.", "The kettle.", "Tuesday?"]
ANSWERS = [
    # draft, best, edit
    Answer(0.0, 2.0, 1.0, edited_characters=5, share_changed=0.5, edit_length=4, surprisal=2.0),
    Answer(1.0, 2.0, 2.0, edited_characters=9, share_changed=1.0, edit_length=6, surprisal=3.0),
    # nothing was better: the best is given anyway, which points the wrong way
    Answer(1.0, 0.5, 0.5, edited_characters=7, share_changed=0.9, edit_length=5, surprisal=4.0),
    Answer(3.0, 2.5),  # dropped
    Answer(1.0, 1.5, accepted=True),
]


def test_feedback_worked_by_hand() -> None:
    found = summarise_answers(ANSWERS)
    assert found["mislabelled"] == pytest.approx(1 / 3)
    assert found["gain"] == pytest.approx((1.0 + 1.0 - 0.5) / 3)
    # better than the draft: 2 − 0, 2 − 1 and 1.5 − 1, of which 1 + 1 was realised
    assert found["estimated_alpha"] == pytest.approx(2 / 3.5)
    assert found["possible_gain"] == pytest.approx(3.5)
    assert found["left_out"] == pytest.approx(2 / 5)
    assert found["regret_estimate"] == pytest.approx((2 + 1 - 0.5 - 0.5 + 0.5) / 5)
    assert (found["accepted"], found["dropped"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert found["edit_length"] == pytest.approx(5)
    assert found["edit_surprisal"] == pytest.approx(3)
    assert found["share_changed"] == pytest.approx(0.8)


def test_comparisons_have_no_alpha() -> None:
    found = summarise_answers([Answer(0.0, None, 1.0), Answer(0.5)])
    assert (found["estimated_alpha"], found["left_out"], found["regret_estimate"]) == (None,) * 3
    assert (found["mislabelled"], found["gain"], found["dropped"]) == (0.0, 1.0, 0.5)


def test_before_any_feedback_nothing_is_defined() -> None:
    assert set(summarise_answers([]).values()) == {None}


def test_share_of_the_way() -> None:
    assert share_to_expert(-0.1, start=-0.2, goal=0.2) == pytest.approx(0.25)
    assert share_to_expert(0.3, start=0.2, goal=0.2) is None


def test_an_untaught_policy_is_its_reference(policy: Policy) -> None:
    expert_policy = policy.with_adapter()
    perturb_adapter(expert_policy)
    expert = Expert(expert_policy, beta=0.1)
    how = {
        "num_candidates": 3,
        "max_new_tokens": 6,
        "sampling": SAMPLING,
        "beta": 0.1,
        "seed": 5,
    }
    before, shown = evaluate_policy(policy, expert, PROMPTS, **how)
    assert before["kl"] == 0.0
    # All R_π are 0, so the best by R_π is the first sample.
    assert before["reward_argmax"] == before["reward"]
    samples = [row[0] for row in policy.sample(PROMPTS, 1, 6, list(range(5, 8)))]
    rewards = expert.rewards(PROMPTS, samples)
    assert before["reward"] == pytest.approx(float(rewards.mean()), abs=1e-6)
    assert [(one["prompt"], one["response"]) for one in shown] == [
        (prompt, sample.text) for prompt, sample in zip(PROMPTS, samples, strict=True)
    ]
    assert [one["reward"] for one in shown] == pytest.approx(rewards.tolist(), abs=1e-6)
    perturb_adapter(policy, seed=3)
    after, _ = evaluate_policy(policy, expert, PROMPTS, **how)
    samples = [row[0] for row in policy.sample(PROMPTS, 1, 6, list(range(5, 8)))]
    own = policy.implicit_rewards(PROMPTS, samples, beta=1.0)
    assert after["kl"] == pytest.approx(float(own.mean()), rel=1e-4)
    assert after["length"] == pytest.approx(sum(len(s.token_ids) for s in samples) / 3)


def test_an_expert_as_policy_gets_the_expert_s_reward(policy: Policy) -> None:
    """R* of π*'s own samples is β KL(π*‖π_0), which `kl` measures of them."""
    perturb_adapter(policy)
    found, _ = evaluate_policy(
        policy,
        Expert(policy, beta=0.1),
        PROMPTS,
        num_candidates=2,
        max_new_tokens=6,
        sampling=SAMPLING,
        beta=0.1,
        seed=0,
    )
    assert found["reward"] == pytest.approx(0.1 * found["kl"], rel=1e-4)
    assert found["reward_argmax"] >= found["reward"]

"""The measures of an evaluation, on numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any, ClassVar

import pytest

from corll.config import SamplingConfig
from corll.laboratory.cell_metrics import evaluate_policy, share_to_expert, summarise_answers
from corll.memory.exchanges import Exchange
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


class TestBehindMemories:
    """Samples of π(· | x, m), in turns or as documents; R* and the reference of `kl` are of x."""

    HOW: ClassVar[dict[str, Any]] = {
        "max_new_tokens": 6,
        "sampling": SAMPLING,
        "beta": 0.1,
        "seed": 5,
    }
    TEA = (Exchange("Tea?", " Gladly.", "round-1"), Exchange("Cake?", " No.", "round-2"))

    def test_what_is_measured_of_what(self, any_policy: Policy) -> None:
        expert_policy = any_policy.with_adapter()
        perturb_adapter(expert_policy)
        perturb_adapter(any_policy, seed=3)
        expert = Expert(expert_policy, beta=0.1)
        memories = [self.TEA, (), self.TEA[1:]]
        found, shown = evaluate_policy(
            any_policy, expert, PROMPTS, num_candidates=2, memories=memories, **self.HOW
        )
        whole = [any_policy.codec.behind(p, m) for p, m in zip(PROMPTS, memories, strict=True)]
        rows = any_policy.sample(whole, 2, 6, [5, 6, 7])
        drawn = [row[0] for row in rows]
        assert [one["response"] for one in shown] == [sample.text for sample in drawn]
        assert [one["memory"] for one in shown] == [["round-1", "round-2"], [], ["round-2"]]
        assert found["reward"] == pytest.approx(float(expert.rewards(PROMPTS, drawn).mean()))
        ours = any_policy.logprobs(whole, drawn)
        apart = ours - any_policy.reference_logprobs(PROMPTS, drawn)
        assert found["kl"] == pytest.approx(float(apart.mean()), rel=1e-4)
        same = ours - any_policy.reference_logprobs(whole, drawn)
        assert found["kl_given_memory"] == pytest.approx(float(same.mean()), rel=1e-4)
        both = [sample for row in rows for sample in row]
        ranked = any_policy.implicit_rewards([p for p in whole for _ in range(2)], both)
        best = [row[n] for row, n in zip(rows, ranked.view(3, 2).argmax(1).tolist(), strict=True)]
        of_best = float(expert.rewards(PROMPTS, best).mean())
        assert found["reward_argmax"] == pytest.approx(of_best, abs=1e-6)
        alone, _ = evaluate_policy(any_policy, expert, PROMPTS, num_candidates=1, **self.HOW)
        assert found["reward_alone"] == pytest.approx(alone["reward"], abs=1e-6)
        assert found["kl_alone"] == pytest.approx(alone["kl"], rel=1e-4)
        assert found["memory_texts"] == 1.0
        lengths = [
            [len(any_policy.codec.encode_prompt(prompt)) for prompt in prompts]
            for prompts in (whole, PROMPTS)
        ]
        assert found["memory_tokens"] == pytest.approx(fmean(lengths[0]) - fmean(lengths[1]))

    def test_an_empty_memory_is_none(self, policy: Policy) -> None:
        perturb_adapter(policy)
        expert = Expert(policy, beta=0.1)
        plain, shown = evaluate_policy(policy, expert, PROMPTS, num_candidates=2, **self.HOW)
        empty, _ = evaluate_policy(
            policy, expert, PROMPTS, num_candidates=2, memories=[()] * 3, **self.HOW
        )
        assert {name: empty[name] for name in plain} == plain
        assert empty["kl_given_memory"] == plain["kl"]
        assert empty["reward_alone"] == pytest.approx(plain["reward"], abs=1e-6)
        assert (empty["memory_texts"], empty["memory_tokens"]) == (0, 0)
        assert all("memory" not in one for one in shown)

    @pytest.mark.parametrize(("missing", "left"), [(0, 2), (1, 1)])
    def test_what_the_context_has_no_room_for_is_left_out_and_counted(
        self, policy: Policy, missing: int, left: int
    ) -> None:
        """Of each memory, beside the longest response."""
        lengths = [len(policy.codec.encode_prompt(policy.codec.behind(p, self.TEA))) for p in "ab"]
        policy.codec = replace(policy.codec, context_length=max(lengths) + 6 - missing)
        found, _ = evaluate_policy(
            policy,
            Expert(policy),
            ["a", "b"],
            num_candidates=1,
            memories=[self.TEA, self.TEA],
            **self.HOW,
        )
        assert found["memory_texts"] == left

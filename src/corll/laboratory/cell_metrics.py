"""The metrics of an evaluation: of the policy on held-out prompts, and of the latest feedback.

The reward is R*, the expert's implicit reward, which the learner never sees. `reward` is of one
sample a prompt; `reward_argmax` is of the best of k by R_π, with the same k in every arm. Better
play and better learning are different things, and claims use `reward`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from corll.config import SamplingConfig
from corll.edits import distinct_2
from corll.laboratory.divergence import divergence
from corll.policy import Policy
from corll.records import Prompt
from corll.simulation.axes import estimated_alpha
from corll.simulation.expert_users import Answer
from corll.simulation.experts import Expert


class PolicyEvaluation(NamedTuple):
    """The means of an evaluation, and the responses that they were measured on, one a prompt."""

    measured: dict[str, float]
    samples: list[dict[str, Any]]


def evaluate_policy(
    policy: Policy,
    expert: Expert,
    prompts: Sequence[Prompt],
    *,
    num_candidates: int,
    max_new_tokens: int,
    sampling: SamplingConfig,
    beta: float,
    seed: int,
) -> PolicyEvaluation:
    """Measure the policy's samples for held-out prompts. *Units*: each `kl` in nats a response.

    `kl` is the mean of log π − log π_0 over the policy's own samples, an estimate of KL(π‖π_0) up
    to the sampler's truncation. `kl_full` and `kl_drawn` are exact at each token of these samples,
    over the whole vocabulary and among the tokens that the sampler can draw (`Divergence`).
    `length` is in tokens; `distinct_2` is the share of distinct bigrams of a text.
    """
    seeds = range(seed, seed + len(prompts))
    rows = policy.sample(prompts, num_candidates, max_new_tokens, list(seeds), sampling=sampling)
    repeated = [prompt for prompt in prompts for _ in range(num_candidates)]
    samples = [sample for row in rows for sample in row]
    rewards = expert.rewards(repeated, samples).view(-1, num_candidates)
    implicit = policy.implicit_rewards(repeated, samples, beta=beta).view(-1, num_candidates)
    best = implicit.argmax(-1, keepdim=True)
    first = [row[0] for row in rows]
    apart = divergence(policy, prompts, first, top_k=sampling.top_k)
    measured = {
        "reward": float(rewards[:, 0].mean()),
        "reward_argmax": float(rewards.gather(1, best).mean()),
        "kl": float(implicit[:, 0].mean()) / beta,
        "kl_full": float(apart.full.mean()),
        "kl_drawn": float(apart.drawn.mean()),
        "length": fmean(len(sample.token_ids) for sample in first),
        "finished": fmean(sample.finished for sample in first),
        "distinct_2": fmean(distinct_2(sample.text) for sample in first),
    }
    shown = [
        {"prompt": prompt, "response": sample.text, "reward": reward}
        for prompt, sample, reward in zip(prompts, first, rewards[:, 0].tolist(), strict=True)
    ]
    return PolicyEvaluation(measured, shown)


def summarise_answers(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Summarise the feedback of some rounds; a value is None where nothing defines it.

    `estimated_alpha` is α̂ = Σ gain / Σ (best − draft) over the rounds where a candidate was better
    than the draft; `left_out` is the share of the other rounds. The best is the best of the
    simulated user's candidates, which is below y*. So α̂ is too high, and `regret_estimate`, the
    mean of best − draft, is too low (paper, 4.4). `possible_gain` is the divisor of α̂, with which
    several summaries can be taken together.
    """
    preferences = [a for a in answers if a.edit_reward is not None]
    gains = [_gain(a) for a in preferences]
    judged = [a for a in answers if a.best_reward is not None]
    regrets = [_regret(a) for a in judged]
    realised = [0.0 if a.edit_reward is None else _gain(a) for a in judged]
    alpha, left_out = estimated_alpha(realised, regrets)
    return {
        "mislabelled": _mean([gain < 0 for gain in gains]),
        "gain": _mean(gains),
        "estimated_alpha": None if math.isnan(alpha) else alpha,
        "left_out": None if math.isnan(left_out) else left_out,
        "possible_gain": sum(max(0.0, regret) for regret in regrets) if regrets else None,
        "regret_estimate": _mean(regrets),
        "accepted": _mean([a.accepted for a in answers]),
        "dropped": _mean([a.edit_reward is None and not a.accepted for a in answers]),
        "edit_length": _mean([a.edit_length for a in preferences]),
        "edit_surprisal": _mean([a.surprisal for a in preferences]),
        "share_changed": _mean([a.share_changed for a in preferences]),
    }


def share_to_expert(reward: float, *, start: float, goal: float) -> float | None:
    """Return the share of the distance from π_0's reward to the expert's; None where that is 0."""
    return None if goal == start else (reward - start) / (goal - start)


def _gain(answer: Answer) -> float:
    assert answer.edit_reward is not None
    return answer.edit_reward - answer.draft_reward


def _regret(answer: Answer) -> float:
    assert answer.best_reward is not None
    return answer.best_reward - answer.draft_reward


def _mean(values: Sequence[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None

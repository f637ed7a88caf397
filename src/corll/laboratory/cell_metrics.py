"""The metrics of an evaluation: of the policy on held-out prompts, and of the latest feedback.

The reward is R*, the expert's implicit reward, which the learner never sees. `reward` is of one
sample a prompt; `reward_argmax` is of the best of k by R_π, with the same k in every arm. Better
play and better learning are different things, and claims use `reward`.

Some arms have a memory m before a prompt x, chosen for each held-out prompt from what was sent so
far. Then the samples are of π(· | x, m), as the drafts of such an arm are, and so is log π in every
metric. What a metric compares it with is conditioned as follows.

    reward             R*(x, y), of x alone: neither the expert nor its π_0 knows of a memory
    reward_argmax      the best by R_π = β log π(y|x, m)/π_0(y|x, m), by which drafts are ranked
    kl, kl_full,       π(· | x, m) from π_0(· | x): how far weights and memory together have gone
      kl_drawn         from where R* is counted. The paper's KL to π_0 is of x alone, as its R* is;
                       so arms with a memory and without lie on one axis, and a memory alone has a
                       KL though nothing was learned.
    kl_given_memory    π(· | x, m) from π_0(· | x, m): what the weights alone do behind the memory
    reward_alone,      of one sample of π(· | x), and of π(· | x) from π_0(· | x): what the weights
      kl_alone         hold without a memory, which is what `distil` learns
    kl_to_expert,      π̃(· | x, m) from π*(· | x) and from π_0(· | x), where π̃ is the sampler: what
      kl_sampler       drafts are drawn from, with temperature, top-k and top-p
    objective          J of π̃(· | x, m), with R* and π_0 of x alone

As long as nothing was sent m is empty, and all of them are those of an arm without a memory.

The paper maximises J = E[R*] − β KL(π‖π_0) (B.3), which R* alone does not bound: who goes farthest
along log π*/π_0 has the most. R* is made of π* over the same π_0, and J takes R*'s own β. So
J = −β KL(π̃‖π*) for any sampler π̃, and 0 is the most that there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from torch import Tensor

from corll.config import SamplingConfig
from corll.edits import distinct_2
from corll.laboratory.divergence import Divergence, divergence
from corll.losses import implicit_reward
from corll.memory.exchanges import Exchange
from corll.model.tokens import TokenCodec
from corll.policy import Policy
from corll.records import Prompt, Sample
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
    memories: Sequence[Sequence[Exchange]] | None = None,
) -> PolicyEvaluation:
    """Measure the policy's samples for held-out prompts. *Units*: each `kl` in nats a response.

    `kl` is the mean of log π − log π_0 over the policy's own samples, an estimate of KL(π‖π_0) up
    to the sampler's truncation. The others are exact at each token of all candidates
    (`Divergence`): `kl_full` over the whole vocabulary, `kl_drawn` among the tokens that the
    sampler can draw, `kl_sampler` and `kl_to_expert` of the sampler from all of π_0 and of π*.
    `objective` is J of the sampler, in R*'s units. Those `…_per_token` are ratios of means over
    texts. `length` is in tokens; `distinct_2` is the share of distinct bigrams of a text.

    `memories` stand before the prompts, one for each, as far as the context has room beside the
    longest response; the top of this module says what is then measured of what. `memory_texts` and
    `memory_tokens` are the means of what stood before a prompt.
    """
    seeds = list(range(seed, seed + len(prompts)))
    held, whole = _behind(policy.codec, prompts, memories, room=max_new_tokens)
    rows = policy.sample(whole, num_candidates, max_new_tokens, seeds, sampling=sampling)
    alone = None if not any(held) else prompts
    apart = divergence(
        policy, whole, rows, sampling=sampling, expert=expert.policy, reference_prompts=alone
    )
    rewards = _rewards(policy, expert, prompts, rows, apart)
    ours, theirs = apart.logprobs, apart.reference_logprobs
    kl = _of_first(ours - theirs, num_candidates)
    if alone is not None:
        samples = [sample for row in rows for sample in row]
        theirs = policy.reference_logprobs(_repeated(whole, num_candidates), samples)
    implicit = implicit_reward(ours, theirs, beta).view(-1, num_candidates)
    best = implicit.argmax(-1, keepdim=True)
    first = [row[0] for row in rows]
    measured = {
        "reward": float(rewards[:, 0].mean()),
        "reward_argmax": float(rewards.gather(1, best).mean()),
        **_objective(policy, expert, rows, rewards, apart),
        "kl": kl,
        "kl_full": float(apart.full.mean()),
        "kl_drawn": float(apart.drawn.mean()),
        **_written(first),
    }
    if memories is not None:
        measured["kl_given_memory"] = _of_first(ours - theirs, num_candidates)
        measured |= _measured_alone(policy, expert, prompts, max_new_tokens, seeds, sampling)
        measured["memory_texts"] = fmean(map(len, held))
        tokens = [_tokens_of(policy.codec, asked) for asked in (whole, prompts)]
        measured["memory_tokens"] = tokens[0] - tokens[1]
    shown = _shown(prompts, first, rewards[:, 0])
    if memories is not None:
        shown = [line | _named(memory) for line, memory in zip(shown, held, strict=True)]
    return PolicyEvaluation(measured, shown)


def kl_of_sampler(
    expert: Expert,
    prompts: Sequence[Prompt],
    *,
    num_samples: int,
    max_new_tokens: int,
    sampling: SamplingConfig,
    seed: int,
) -> float:
    """Return KL(π̃*‖π*): how far the expert's own sampler is from it. *Units*: nats a response.

    It is what the best policy has to pay for the sampler's truncation and temperature.
    """
    policy, seeds = expert.policy, [seed] * len(prompts)
    rows = policy.sample(prompts, num_samples, max_new_tokens, seeds, sampling=sampling)
    apart = divergence(policy, prompts, rows, sampling=sampling, expert=policy)
    return float(apart.to_expert.mean())


def _rewards(
    policy: Policy,
    expert: Expert,
    prompts: Sequence[Prompt],
    rows: Sequence[Sequence[Sample]],
    apart: Divergence,
) -> Tensor:
    """Return R* of the samples, from the passes of `apart` where these have it. *Shapes*: P × K."""
    if _share_reference(policy, expert):
        both = apart.expert_logprobs, apart.reference_logprobs
        return implicit_reward(*both, expert.beta).view(len(rows), -1)
    repeated = _repeated(prompts, len(rows[0]))
    return expert.rewards(repeated, [s for row in rows for s in row]).view(len(rows), -1)


def _objective(
    policy: Policy,
    expert: Expert,
    rows: Sequence[Sequence[Sample]],
    rewards: Tensor,
    apart: Divergence,
) -> dict[str, float]:
    """Return J of the sampler, and the divergences that it is made of, a text and a token."""
    to_expert, sampler = float(apart.to_expert.mean()), float(apart.sampler.mean())
    if _share_reference(policy, expert):
        objective = -expert.beta * to_expert
    else:
        # R* counts from another π_0 than the policy's, so J is what its definition says.
        objective = float(rewards.mean()) - expert.beta * sampler
    found = {"objective": objective, "kl_to_expert": to_expert, "kl_sampler": sampler}
    length = fmean(len(sample.token_ids) for row in rows for sample in row)
    return found | {f"{name}_per_token": value / length for name, value in found.items()}


def _share_reference(policy: Policy, expert: Expert) -> bool:
    """Say whether R* counts from the policy's own π_0."""
    theirs = expert.policy
    return policy.base is theirs.base and policy.reference_name == theirs.reference_name


def _behind(
    codec: TokenCodec,
    prompts: Sequence[Prompt],
    memories: Sequence[Sequence[Exchange]] | None,
    *,
    room: int,
) -> tuple[list[tuple[Exchange, ...]], list[Prompt]]:
    """Return what of each memory has room, and the prompts behind it."""
    if memories is None:
        return [()] * len(prompts), list(prompts)
    pairs = list(zip(prompts, memories, strict=True))
    held = [codec.memory_within(prompt, memory, room=room) for prompt, memory in pairs]
    return held, [codec.behind(prompt, kept) for (prompt, _), kept in zip(pairs, held, strict=True)]


def _measured_alone(
    policy: Policy,
    expert: Expert,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    seeds: Sequence[int],
    sampling: SamplingConfig,
) -> dict[str, float]:
    """Measure one sample a prompt without a memory."""
    rows = policy.sample(prompts, 1, max_new_tokens, seeds, sampling=sampling)
    samples = [row[0] for row in rows]
    ours, theirs = policy.both_logprobs(prompts, samples)
    rewards = expert.rewards(prompts, samples)
    return {"reward_alone": float(rewards.mean()), "kl_alone": float((ours - theirs).mean())}


def _written(samples: Sequence[Sample]) -> dict[str, float]:
    """Return what samples are like as texts."""
    return {
        "length": fmean(len(sample.token_ids) for sample in samples),
        "finished": fmean(sample.finished for sample in samples),
        "distinct_2": fmean(distinct_2(sample.text) for sample in samples),
    }


def _of_first(values: Tensor, num_candidates: int) -> float:
    """Return the mean over the first candidates. *Shapes*: P × K."""
    return float(values.view(-1, num_candidates)[:, 0].mean())


def _shown(
    prompts: Sequence[Prompt], samples: Sequence[Sample], rewards: Tensor
) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "response": sample.text, "reward": reward}
        for prompt, sample, reward in zip(prompts, samples, rewards.tolist(), strict=True)
    ]


def _named(memory: Sequence[Exchange]) -> dict[str, Any]:
    return {"memory": [exchange.id for exchange in memory]}


def _repeated(prompts: Sequence[Prompt], times: int) -> list[Prompt]:
    return [prompt for prompt in prompts for _ in range(times)]


def _tokens_of(codec: TokenCodec, prompts: Sequence[Prompt]) -> float:
    return fmean(len(codec.encode_prompt(prompt)) for prompt in prompts)


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

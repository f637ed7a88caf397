"""Step 1 of Algorithm 1: k samples of the policy, of which the best is shown (line 5; B.5)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate

import torch
from torch import Tensor

from corll.config import CoactiveConfig, Selection
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Draft, Prompt, Sample


def make_drafts(
    policy: Policy,
    prompts: Sequence[Prompt],
    config: CoactiveConfig,
    *,
    seeds: Sequence[int],
    memories: Sequence[Sequence[Exchange]] | None = None,
) -> list[Draft]:
    """Draw a draft for each prompt: of k samples, the first with the highest score by `selection`.

    Samples that ended are preferred to those that were cut, unless `allow_unfinished`. The paper
    names three different quantities to maximise (R_π in line 5, log π in 3.2, h in Algorithm 2);
    R_π is the default. Candidates are ranked by scores from the same kind of pass, not by the
    log-probabilities that sampling happened to compute.

    `memories` stand before the prompts, one for each (`TokenCodec.behind`); where the context has
    no room, their earliest exchanges are left out. Such a draft is of π(· | x, memory), and so are
    its scores; its prompt is x alone, and its memory what stood there.
    """
    held = _memories_that_fit(policy, prompts, memories, config)
    offline = config.drafts_from == "reference"
    with policy.as_reference() if offline else nullcontext():
        rows = policy.sample(
            prompts,
            num_samples=config.num_candidates,
            max_new_tokens=config.max_completion_length,
            seed=seeds,
            sampling=config.sampling,
            max_prompt_length=config.max_prompt_length,
            memories=None if memories is None else held,
        )
    if config.num_candidates == 1 or config.selection == "first":
        return [
            Draft(prompt, tuple(row), seed=seed, memory=memory)
            for prompt, row, seed, memory in zip(prompts, rows, seeds, held, strict=True)
        ]
    behind = policy.codec.behind
    whole = [behind(prompt, memory) for prompt, memory in zip(prompts, held, strict=True)]
    scores = scores_of(policy, whole, rows, config)
    return [
        Draft(
            prompt,
            tuple(row),
            choice=best_first(row, values, allow_unfinished=config.allow_unfinished)[0],
            scores=tuple(values),
            seed=seed,
            memory=memory,
        )
        for prompt, row, values, seed, memory in zip(
            prompts, rows, scores, seeds, held, strict=True
        )
    ]


def _memories_that_fit(
    policy: Policy,
    prompts: Sequence[Prompt],
    memories: Sequence[Sequence[Exchange]] | None,
    config: CoactiveConfig,
) -> list[tuple[Exchange, ...]]:
    """Return what of each memory has room. *Raises*: PromptTooLongError for a prompt alone."""
    if memories is None:
        return [()] * len(prompts)
    codec, room = policy.codec, config.max_completion_length
    for prompt in prompts:
        codec.encode_prompt(prompt, limit=config.max_prompt_length)
    return [
        codec.memory_within(prompt, memory, room=room)
        for prompt, memory in zip(prompts, memories, strict=True)
    ]


def within_context(
    policy: Policy, prompts: Sequence[Prompt], config: CoactiveConfig
) -> CoactiveConfig:
    """Return the configuration with responses no longer than the context leaves after any prompt.

    *Raises*: InputError, PromptTooLongError where it leaves none.
    """
    if policy.codec.context_length is None or not prompts:
        return config
    longest = max(len(policy.codec.encode_prompt(prompt)) for prompt in prompts)
    room = policy.codec.context_length - longest
    if room >= config.max_completion_length:
        return config
    return config.with_settings(max_completion_length=room)


def scores_of(
    policy: Policy,
    prompts: Sequence[Prompt],
    rows: Sequence[Sequence[Sample]],
    config: CoactiveConfig,
) -> list[list[float]]:
    """Score P rows of K candidates by what `selection` maximises. *Shapes*: P × K."""
    scores = _score(policy, prompts, rows, config).tolist()
    ends = list(accumulate(map(len, rows)))
    return [scores[end - len(row) : end] for row, end in zip(rows, ends, strict=True)]


def _score(
    policy: Policy,
    prompts: Sequence[Prompt],
    rows: Sequence[Sequence[Sample]],
    config: CoactiveConfig,
) -> Tensor:
    """Score the samples of all rows at once. *Shapes*: P rows of K samples → P · K."""
    samples = [sample for row in rows for sample in row]
    repeated = [prompt for prompt, row in zip(prompts, rows, strict=True) for _ in row]
    selection: Selection = config.selection
    if selection == "implicit_reward":
        return policy.implicit_rewards(repeated, samples, beta=config.beta)
    scores = policy.logprobs(repeated, samples)
    if selection == "mean_logprob":
        scores = scores / torch.tensor([len(sample.token_ids) for sample in samples])
    return scores


def best_first(
    row: Sequence[Sample], scores: Sequence[float], *, allow_unfinished: bool = False
) -> list[int]:
    """Sort the candidates by their scores, those that ended before those that were cut.

    Ties (all of step 0) stay in the order in which they were drawn.
    """

    def rank(n: int) -> tuple[bool, float]:
        return allow_unfinished or row[n].finished, scores[n]

    return sorted(range(len(row)), key=rank, reverse=True)

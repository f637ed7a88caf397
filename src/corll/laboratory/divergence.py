"""The divergence of a policy from its reference, exact at each token of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from corll.compute.packing import Tree
from corll.compute.scoring import full_logprobs
from corll.policy import Policy
from corll.records import Prompt, Sample

_FLOATS_AT_ONCE = 1 << 25
"""Log-probabilities held at once of each side, 128 MB in float32."""


class Divergence(NamedTuple):
    """The divergence along each of B responses, summed over its tokens. *Shapes*: B each. *Units*:
    nats.

    `full` is Σ_t KL(π(·|x, y<t) ‖ π_0(·|x, y<t)) over the whole vocabulary. `drawn` is the same
    among the tokens that the sampler can draw there, with both sides renormalised: probability that
    moves between these and the others, which are never drawn, does not count.
    """

    full: Tensor
    drawn: Tensor


@torch.no_grad()
def divergence(
    policy: Policy,
    prompts: Sequence[Prompt],
    samples: Sequence[Sample],
    *,
    top_k: int,
    reference_prompts: Sequence[Prompt] | None = None,
) -> Divergence:
    """Measure how far a policy is from its reference, along samples of its own.

    The samples were drawn from the `top_k` likeliest tokens (0: from all). The mean over samples
    estimates KL(π‖π_0), as the mean of log π/π_0 does, but it is never negative, and it is exact at
    each token. `reference_prompts` stand before the samples under π_0, where these are others.
    *Raises*: InputError for a prompt that cannot be rendered.
    """
    with policy.active() as network:

        def trees_behind(asked: Sequence[Prompt]) -> list[Tree]:
            return [
                network.trees(policy.codec.encode_prompt(prompt), [sample.token_ids])[0]
                for prompt, sample in zip(asked, samples, strict=True)
            ]

        own_trees = trees_behind(prompts)
        others = own_trees if reference_prompts is None else trees_behind(reference_prompts)
        width = policy.base.model.config.get_text_config().vocab_size
        full, drawn = [], []
        for some in _batches(own_trees, others, _FLOATS_AT_ONCE // width):
            ours = full_logprobs(network, [tree for tree, _ in some])
            with policy.as_reference():
                theirs = full_logprobs(network, [tree for _, tree in some])
            for own, reference in zip(ours, theirs, strict=True):
                full.append(_kl(own, reference))
                likeliest = own.topk(min(top_k or width, own.shape[-1])).indices
                sides = (side.gather(-1, likeliest).log_softmax(-1) for side in (own, reference))
                drawn.append(_kl(*sides))
    return Divergence(torch.stack(full).cpu(), torch.stack(drawn).cpu())


def _kl(ours: Tensor, theirs: Tensor) -> Tensor:
    """Sum the KL over positions. *Shapes*: T × V, T × V → a number."""
    return (ours.exp() * (ours - theirs)).sum()


def _batches(
    own: Sequence[Tree], others: Sequence[Tree], positions: int
) -> Iterator[list[tuple[Tree, Tree]]]:
    """Yield pairs of trees in order: of at most so many positions a side, or one larger pair."""
    batch: list[tuple[Tree, Tree]] = []
    held = 0
    for pair in zip(own, others, strict=True):
        longer = max(map(len, pair))
        if batch and held + longer > positions:
            yield batch
            batch, held = [], 0
        batch.append(pair)
        held += longer
    if batch:
        yield batch

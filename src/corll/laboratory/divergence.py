"""The divergence of a policy from its reference and from an expert, exact at each token of samples.

π̃ is the sampler of a policy: what `Policy.sample` draws from, its logits after temperature, top-k
and top-p. Texts are drawn from π̃, so the mean over samples of Σ_t KL(π̃(·|x, y<t) ‖ q(·|x, y<t))
estimates KL(π̃‖q) for any q, which is whole: nothing is truncated of π_0 and π*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from corll.compute.decoding import Drawable, drawable
from corll.compute.network import Network
from corll.compute.packing import Ids, Tree
from corll.compute.scoring import full_logits
from corll.config import SamplingConfig
from corll.policy import Policy
from corll.records import Prompt, Sample

_FLOATS_AT_ONCE = 1 << 25
"""Log-probabilities held at once of each side, 128 MB in float32."""


class Divergence(NamedTuple):
    """The divergence along each of P × K responses, summed over its tokens. *Shapes*: P × K each.
    *Units*: nats.

    `full` is Σ_t KL(π(·|x, y<t) ‖ π_0(·|x, y<t)) over the whole vocabulary. `drawn` is the same
    among the tokens that the sampler can draw there, with both sides renormalised: probability that
    moves between these and the others, which are never drawn, does not count. `sampler` is
    Σ_t KL(π̃ ‖ π_0), and `to_expert` Σ_t KL(π̃ ‖ π*), of the sampler.

    `logprobs`, `reference_logprobs` and `expert_logprobs` are log π(y|x), log π_0(y|x) and
    log π*(y|x) of the responses, from the same passes.
    """

    full: Tensor
    drawn: Tensor
    sampler: Tensor
    to_expert: Tensor
    logprobs: Tensor
    reference_logprobs: Tensor
    expert_logprobs: Tensor


@torch.no_grad()
def divergence(
    policy: Policy,
    prompts: Sequence[Prompt],
    rows: Sequence[Sequence[Sample]],
    *,
    sampling: SamplingConfig,
    expert: Policy,
    reference_prompts: Sequence[Prompt] | None = None,
) -> Divergence:
    """Measure how far a policy is from its reference and from an expert, along its own samples.

    `rows` are the samples, K for each prompt, drawn by `sampling`. The mean of `full` estimates
    KL(π‖π_0), as the mean of log π/π_0 does, but it is never negative, and it is exact at each
    token. `reference_prompts` stand before the samples under π_0 and π*, where these are others.
    *Raises*: InputError for a prompt that cannot be rendered.
    """
    others = prompts if reference_prompts is None else reference_prompts
    ids = [[sample.token_ids for sample in row] for row in rows]
    own = _trees(policy, prompts, ids)
    reference = own if reference_prompts is None else _trees(policy, others, ids)
    of_expert = _trees(expert, others, ids)
    sides = zip(own, reference, of_expert, strict=True)
    sizes = [max(sum(map(len, trees)) for trees in each) for each in sides]
    width = policy.base.model.config.get_text_config().vocab_size
    found = []
    for batch in _batches(sizes, _FLOATS_AT_ONCE // width):
        with policy.active() as network:
            ours = _logits(network, own[batch])
            with policy.as_reference():
                theirs = _logits(network, reference[batch])
            likeliest = drawable(ours, sampling, network.backend)
        with expert.active() as network:
            best = _logits(network, of_expert[batch])
        responses = [response for row in ids[batch] for response in row]
        token_ids = torch.tensor([i for one in responses for i in one], device=ours.device)
        each = _at_each_token((ours, theirs, best), likeliest, token_ids)
        lengths = [len(response) for response in responses]
        found.append([_sums(values, lengths) for values in each])
    return Divergence(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def _at_each_token(
    logits: tuple[Tensor, Tensor, Tensor], likeliest: Drawable, token_ids: Tensor
) -> Divergence:
    """Return the terms of each token. *Shapes*: π's, π_0's and π*'s logits N × V → N each."""
    own, reference, expert = (side.float().log_softmax(-1) for side in logits)
    weights = likeliest.weights / likeliest.weights.sum(-1, keepdim=True)
    # Tokens beyond top-p are in neither distribution.
    ours, theirs = (
        side.gather(-1, likeliest.token_ids).masked_fill(weights == 0, -math.inf)
        for side in (own, reference)
    )
    among = ours.log_softmax(-1)
    return Divergence(
        full=_kl(own.exp(), own, reference),
        drawn=_kl(among.exp(), among, theirs.log_softmax(-1)),
        sampler=_kl(weights, weights.log(), theirs),
        to_expert=_kl(weights, weights.log(), expert.gather(-1, likeliest.token_ids)),
        logprobs=_of_tokens(own, token_ids),
        reference_logprobs=_of_tokens(reference, token_ids),
        expert_logprobs=_of_tokens(expert, token_ids),
    )


def _of_tokens(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    return logprobs.gather(-1, token_ids[:, None]).squeeze(-1)


def _kl(weights: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
    """Sum the KL over tokens, where those of weight 0 add nothing. *Shapes*: N × C, three → N."""
    return (weights * torch.where(weights > 0, ours - theirs, 0.0)).sum(-1)


def _sums(values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Sum over each response. *Shapes*: N for R responses → R."""
    return torch.stack([one.sum() for one in torch.split(values, list(lengths))])


def _trees(
    policy: Policy, prompts: Sequence[Prompt], ids: Sequence[Sequence[Ids]]
) -> list[list[Tree]]:
    """Return the rows of each prompt's responses."""
    with policy.active() as network:
        return [
            network.trees(policy.codec.encode_prompt(prompt), row, share=policy.shares_prefixes)
            for prompt, row in zip(prompts, ids, strict=True)
        ]


def _logits(network: Network, rows: Sequence[Sequence[Tree]]) -> Tensor:
    return full_logits(network, [tree for row in rows for tree in row])


def _batches(sizes: Sequence[int], positions: int) -> Iterator[slice]:
    """Yield prompts in order: of at most so many positions together, or one larger one."""
    start, held = 0, 0
    for n, size in enumerate(sizes):
        if n > start and held + size > positions:
            yield slice(start, n)
            start, held = n, 0
        held += size
    if sizes:
        yield slice(start, len(sizes))

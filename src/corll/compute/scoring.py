"""Log-probabilities of packed responses: logits only where they are needed, in chunks.

The logits of a batch, rows × tokens × vocabulary, are by far its largest tensor, and they are
never built: each chunk of positions is projected, reduced to one number a token, and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from corll.compute.backend import Backend, OutputLayer
from corll.compute.network import Network
from corll.compute.packing import Tree, TreeBatch

LOGITS_PER_CHUNK = 1 << 23
"""Logits held at once, 32 MB in float32."""


def token_logprobs(
    network: Network,
    trees: Sequence[Tree],
    *,
    shared_grad: bool = True,
    adapters: Sequence[str | None] | None = None,
) -> list[Tensor]:
    """Return log π of each token of every response of the trees, in order.

    *Shapes*: R of T each, float32. *Units*: nats, of the full distribution. Without `shared_grad`
    the terms that all responses of a tree share carry no gradient: right for a loss of margins,
    where they cancel. `adapters` name one for each tree, on a network that mixes them; otherwise
    all have the active one.
    """
    batch = network.collated(trees, shared_grad=shared_grad, adapters=adapters)
    compute = _from_hidden_states if network.head_is_linear else _from_model_logits
    logprobs = compute(network, batch)
    return [logprobs[path] for path in batch.paths]


@torch.no_grad()
def full_logits(network: Network, trees: Sequence[Tree]) -> Tensor:
    """Return the logits of the whole vocabulary at each token of every response of the trees.

    *Shapes*: N × V for N tokens in all, those of the first response first. All of them are held:
    give few trees.
    """
    batch = network.collated(trees)
    wanted = batch.targets.predictors[torch.cat(batch.paths)]
    if network.head_is_linear:
        return network.head(network.hidden_states(batch)[wanted])
    return network.model_logits(batch)[wanted]


@torch.no_grad()
def logprobs_beside(
    network: Network, trees: Sequence[Tree], beside: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Return log π of each token of every response, and of tokens that could stand in its place.

    *Shapes*: R of (T, T × E) each, float32, for E ids `beside`. *Units*: nats.
    """
    batch = network.collated(trees)
    predictors, token_ids = batch.targets.predictors, batch.targets.token_ids
    states = network.hidden_states(batch) if network.head_is_linear else network.model_logits(batch)
    others = torch.tensor(list(beside), dtype=torch.long, device=states.device)
    size = max(1, LOGITS_PER_CHUNK // network.model.config.get_text_config().vocab_size)
    own, of_others = [], []
    for start in range(0, len(token_ids), size):
        chunk = slice(start, start + size)
        wanted = states[predictors[chunk]]
        logits = (network.head(wanted) if network.head_is_linear else wanted).float()
        log_z = logits.logsumexp(-1, keepdim=True)
        own.append((logits.gather(-1, token_ids[chunk, None]) - log_z).squeeze(-1))
        of_others.append(logits[:, others] - log_z)
    tokens, alternatives = torch.cat(own), torch.cat(of_others)
    return [(tokens[path], alternatives[path]) for path in batch.paths]


@torch.no_grad()
def token_alternatives(
    network: Network, trees: Sequence[Tree], count: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return log π of each token of every response, and of the `count` likeliest in its place.

    A token that is among these has the same number there.
    *Shapes*: R of (T, T × count, ids T × count), float32. *Units*: nats.
    """
    batch = network.collated(trees)
    predictors, token_ids = batch.targets.predictors, batch.targets.token_ids
    states = network.hidden_states(batch) if network.head_is_linear else network.model_logits(batch)
    size = max(1, LOGITS_PER_CHUNK // network.model.config.get_text_config().vocab_size)
    found = []
    for start in range(0, len(token_ids), size):
        chunk = slice(start, start + size)
        wanted = states[predictors[chunk]]
        logits = (network.head(wanted) if network.head_is_linear else wanted).float()
        logprobs = logits - logits.logsumexp(-1, keepdim=True)
        top, top_ids = logprobs.topk(min(count, logprobs.shape[-1]), -1)
        found.append((logprobs.gather(-1, token_ids[chunk, None]).squeeze(-1), top, top_ids))
    own, likeliest, ids = (torch.cat(parts) for parts in zip(*found, strict=True))
    return [(own[path], likeliest[path], ids[path]) for path in batch.paths]


def linear_token_logprobs(
    network: Network, hidden: Tensor, token_ids: Tensor, needs_grad: Tensor | None = None
) -> Tensor:
    """Return log softmax(head(h))[token], chunk by chunk, in float32.

    Only the terms that `needs_grad` names carry a gradient, by default all.
    *Shapes*: `hidden` M × D, `token_ids` M, `needs_grad` M, boolean → M.
    """
    learned = torch.ones_like(token_ids, dtype=torch.bool) if needs_grad is None else needs_grad
    if network.frozen_head is None:
        # The output layer itself learns: plain autograd, which keeps the logits.
        logits = network.head(hidden)
        logprobs = logits.float().log_softmax(-1).gather(-1, token_ids[:, None]).squeeze(-1)
        return torch.where(learned, logprobs, logprobs.detach())
    parts = hidden, network.frozen_head, network.backend, token_ids, learned
    result: Tensor = _LinearTokenLogprobs.apply(*parts)  # type: ignore[no-untyped-call]
    return result


class _LinearTokenLogprobs(torch.autograd.Function):
    """Computes the gradient together with the value, while a chunk's logits are at hand.

    ∂ log p[t] / ∂h = W[t] − Σ_v p[v] W[v]; backward only scales it, so neither logits nor
    probabilities are kept, and the logits are computed once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: OutputLayer,
        backend: Backend,
        token_ids: Tensor,
        learned: Tensor,
    ) -> Tensor:
        size = max(1, LOGITS_PER_CHUNK // len(head.weight))
        # One piece of memory for all chunks: fresh pages cost as much as the product.
        memory = hidden.new_empty(min(size, len(hidden)), len(head.weight))
        logprobs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), size):
            chunk = slice(start, start + size)
            targets = token_ids[chunk]
            logits = head(hidden[chunk], into=memory[: len(targets)])
            log_z = backend.log_normalizers(logits)
            logprobs[chunk] = logits.gather(-1, targets[:, None]).squeeze(-1).float() - log_z
            if grad is not None:
                own = learned[chunk].nonzero().squeeze(-1)
                minus_p = backend.minus_probabilities(logits, log_z, own)
                # 1 - p of the target from its logarithm: rounded p would lose it where p is near 1.
                one_minus_p = torch.expm1(logprobs[chunk][own]).neg_().to(minus_p.dtype)
                minus_p[torch.arange(len(own), device=own.device), targets[own]] = one_minus_p
                grad[start + own] = torch.mm(minus_p, head.weight)
        if grad is not None:
            ctx.save_for_backward(grad)
        return logprobs

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_output[:, None].to(grad.dtype), None, None, None, None


def _from_hidden_states(network: Network, batch: TreeBatch) -> Tensor:
    targets = batch.targets
    wanted = network.hidden_states(batch)[targets.predictors]
    return linear_token_logprobs(network, wanted, targets.token_ids, targets.needs_grad)


def _from_model_logits(network: Network, batch: TreeBatch) -> Tensor:
    targets = batch.targets
    wanted = network.model_logits(batch)[targets.predictors].float().log_softmax(-1)
    result = wanted.gather(-1, targets.token_ids[:, None]).squeeze(-1)
    return torch.where(targets.needs_grad, result, result.detach())

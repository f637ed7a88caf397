"""Divergences of a student from its teacher along packed responses, over the whole vocabulary.

Both are one model behind different prompts, so they share an output layer that does not learn. Then
of the teacher its hidden states are kept, D numbers a token and not V: a chunk of positions is
projected for both, reduced to one number a token, and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from corll.compute.backend import Backend, OutputLayer
from corll.compute.network import Network
from corll.compute.packing import Tree, TreeBatch
from corll.compute.scoring import LOGITS_PER_CHUNK


def reverse_kl(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return KL(student ‖ teacher) = Σ p_s (log p_s − log p_t) of each row, in float32.

    *Shapes*: M × V, M × V → M. *Units*: nats.
    """
    logprobs = logits.float().log_softmax(-1)
    return (logprobs.exp() * (logprobs - teacher_logits.float().log_softmax(-1))).sum(-1)


@torch.no_grad()
def prediction_states(network: Network, trees: Sequence[Tree]) -> list[Tensor]:
    """Return the hidden state that each token of every response is predicted from, in order.

    Where logits are not those of a frozen output layer alone, they are returned instead.
    *Shapes*: R of T × D each, or T × V.
    """
    batch = network.collated(trees)
    states = _states(network, batch)
    return [states[path] for path in batch.paths]


def token_divergences(
    network: Network, trees: Sequence[Tree], teachers: Sequence[Tensor]
) -> list[Tensor]:
    """Return KL(student ‖ teacher) at each token of every response of the trees, in order.

    `teachers` are the `prediction_states` of the same responses, behind whatever prompts; they
    carry no gradient. *Shapes*: R of T each, float32. *Units*: nats.
    """
    batch = network.collated(trees)
    student = _states(network, batch)
    teacher = torch.empty_like(student, requires_grad=False)
    for path, states in zip(batch.paths, teachers, strict=True):
        teacher[path] = states
    if _is_projected(network):
        parts = student, teacher, network.frozen_head, network.backend
        divergences = _LinearDivergences.apply(*parts)  # type: ignore[no-untyped-call]
    else:
        divergences = reverse_kl(student, teacher)
    return [divergences[path] for path in batch.paths]


class _LinearDivergences(torch.autograd.Function):
    """Computes the gradient together with the value, while a chunk's logits are at hand.

    With r = log p_s − log p_t and D = Σ_v p_s[v] r[v]: ∂D/∂h = Σ_v p_s[v] (r[v] − D) W[v].
    """

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, head: OutputLayer, backend: Backend
    ) -> Tensor:
        size = max(1, LOGITS_PER_CHUNK // (2 * len(head.weight)))
        few = min(size, len(student))
        own, others = student.new_empty(2, few, len(head.weight)).unbind()
        divergences = torch.empty(len(student), dtype=torch.float32, device=student.device)
        grad = torch.zeros_like(student) if ctx.needs_input_grad[0] else None
        for start in range(0, len(student), size):
            chunk = slice(start, start + size)
            count = len(student[chunk])
            logprobs = _logprobs(head(student[chunk], into=own[:count]), backend)
            ratios = logprobs - _logprobs(head(teacher[chunk], into=others[:count]), backend)
            p = logprobs.exp_()
            divergences[chunk] = (p * ratios).sum(-1)
            if grad is not None:
                by_logit = ratios.sub_(divergences[chunk, None]).mul_(p)
                grad[chunk] = torch.mm(by_logit.to(head.weight.dtype), head.weight)
        if grad is not None:
            ctx.save_for_backward(grad)
        return divergences

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_output[:, None].to(grad.dtype), None, None, None


def _logprobs(logits: Tensor, backend: Backend) -> Tensor:
    """Return log-probabilities in float32, in memory of their own. *Shapes*: M × V → M × V."""
    return logits.float() - backend.log_normalizers(logits)[:, None]


def _is_projected(network: Network) -> bool:
    """Say whether logits are one frozen product of hidden states, whoever's they are."""
    return network.head_is_linear and network.frozen_head is not None


def _states(network: Network, batch: TreeBatch) -> Tensor:
    wanted = batch.targets.predictors
    if not network.head_is_linear:
        return network.model_logits(batch)[wanted]
    hidden = network.hidden_states(batch)[wanted]
    return hidden if _is_projected(network) else network.head(hidden)

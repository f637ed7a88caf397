"""Log-probabilities of packed responses: logits only where they are needed, in chunks.

The logits of a batch, rows × tokens × vocabulary, are by far its largest tensor, and they are
never built: each chunk of positions is projected, reduced to one number a token, and dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from corll.packing import Ids, Tree, TreeBatch, build_tree, collate

log = logging.getLogger(__name__)

_LOGITS_PER_CHUNK = 1 << 23
"""Logits held at once, 32 MB in float32."""


@dataclass(frozen=True)
class Network:
    """A causal language model, and what its architecture lets us do.

    `takes_trees`: its attention takes a 4-D mask and explicit positions; otherwise each response
    gets a plain row. `head_is_linear`: its logits are its output layer applied to its last hidden
    states and nothing else; otherwise they are taken from the model as it computes them.
    """

    model: Any
    takes_trees: bool
    head_is_linear: bool

    @classmethod
    def examine(cls, model: Any) -> Network:
        """Finds out what a model's architecture allows, by trying it on a small tree."""
        plain = cls(model, takes_trees=False, head_is_linear=False)
        prompt, responses = (1, 2, 3), ((4, 5, 6), (4, 5, 7, 8), (9, 4))
        expected = plain._try(prompt, responses)
        assert expected is not None
        head_is_linear = _close(expected, cls(model, False, True)._try(prompt, responses))
        packed = cls(model, takes_trees=True, head_is_linear=head_is_linear)
        takes_trees = not _has_short_window(model.config) and _close(
            expected, packed._try(prompt, responses)
        )
        if not takes_trees:
            log.warning(
                "%s does not take a tree-shaped attention mask; each response gets a plain row.",
                type(model).__name__,
            )
        return cls(model, takes_trees, head_is_linear)

    def _try(self, prompt: Ids, responses: Sequence[Ids]) -> Tensor | None:
        trees = self.trees(prompt, responses)
        try:
            with torch.no_grad():
                return response_logprobs(self, trees)
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
            if not self.takes_trees and not self.head_is_linear:
                raise
            return None

    def trees(self, prompt: Ids, responses: Sequence[Ids], *, share: bool = True) -> list[Tree]:
        """One shared row for the responses of a prompt, or a plain row for each."""
        if share and self.takes_trees:
            return [build_tree(prompt, responses)]
        return [build_tree(prompt, [response]) for response in responses]


def response_logprobs(
    network: Network, trees: Sequence[Tree], *, shared_grad: bool = True
) -> Tensor:
    """log π(y|x) of every response of the trees, in order.

    *Shapes*: R, float32. *Units*: nats, summed over the response's ids, of the full distribution.
    """
    tokens = token_logprobs(network, trees, shared_grad=shared_grad)
    return torch.stack([response.sum() for response in tokens])


def token_logprobs(
    network: Network, trees: Sequence[Tree], *, shared_grad: bool = True
) -> list[Tensor]:
    """log π of each token of every response of the trees, in order.

    *Shapes*: R of T each, float32. *Units*: nats, of the full distribution. Without `shared_grad`
    the terms that all responses of a tree share carry no gradient: right for a loss of margins,
    where they cancel.
    """
    model = network.model
    batch = collate(trees, dtype=model.dtype, device=model.device, shared_grad=shared_grad)
    compute = _from_hidden_states if network.head_is_linear else _from_model_logits
    logprobs = compute(network, batch)
    return [logprobs[path] for path in batch.paths]


def linear_token_logprobs(hidden: Tensor, head: Any, token_ids: Tensor) -> Tensor:
    """log softmax(head(h))[token], chunk by chunk, in float32.

    *Shapes*: `hidden` M × D, `token_ids` M → M.
    """
    bias = getattr(head, "bias", None)
    if head.weight.requires_grad or type(head) is not torch.nn.Linear:
        # The output layer itself learns: plain autograd, which keeps the logits.
        logits: Tensor = head(hidden)
        return logits.float().log_softmax(-1).gather(-1, token_ids[:, None]).squeeze(-1)
    result: Tensor = _LinearTokenLogprobs.apply(hidden, head.weight, bias, token_ids)  # type: ignore[no-untyped-call]
    return result


class _LinearTokenLogprobs(torch.autograd.Function):
    """Computes the gradient together with the value, while a chunk's logits are at hand.

    ∂ log p[t] / ∂h = W[t] − Σ_v p[v] W[v]; backward only scales it, so neither logits nor
    probabilities are kept, and the logits are computed once.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, token_ids: Tensor
    ) -> Tensor:
        size = max(1, _LOGITS_PER_CHUNK // weight.shape[0])
        logprobs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        keeps_grad = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if keeps_grad else None
        for start in range(0, len(hidden), size):
            chunk = slice(start, start + size)
            targets = token_ids[chunk, None]
            logits = torch.nn.functional.linear(hidden[chunk], weight, bias).float()
            log_z = logits.logsumexp(-1, keepdim=True)
            logprobs[chunk] = (logits.gather(-1, targets) - log_z).squeeze(-1)
            if grad is not None:
                minus_p = logits.sub_(log_z).exp_().neg_()
                ones = torch.ones_like(targets, dtype=torch.float32)
                grad[chunk] = minus_p.scatter_add_(-1, targets, ones).to(weight.dtype) @ weight
        if grad is not None:
            ctx.save_for_backward(grad)
        return logprobs

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_output[:, None].to(grad.dtype), None, None, None


def _from_hidden_states(network: Network, batch: TreeBatch) -> Tensor:
    model, targets = network.model, batch.targets
    backbone = getattr(model, model.base_model_prefix)
    hidden = backbone(**_inputs(network, batch), use_cache=False).last_hidden_state
    head = model.get_output_embeddings()
    wanted = hidden[targets.rows, targets.columns]
    if bool(targets.needs_grad.all()):
        return linear_token_logprobs(wanted, head, targets.token_ids)
    learned = targets.needs_grad
    result = torch.zeros(len(wanted), dtype=torch.float32, device=wanted.device)
    with torch.no_grad():
        fixed = ~learned
        result[fixed] = linear_token_logprobs(wanted[fixed], head, targets.token_ids[fixed])
    where = learned.nonzero().squeeze(-1)
    return result.index_add(
        0, where, linear_token_logprobs(wanted[learned], head, targets.token_ids[learned])
    )


def _from_model_logits(network: Network, batch: TreeBatch) -> Tensor:
    targets = batch.targets
    logits = network.model(**_inputs(network, batch), use_cache=False).logits
    wanted = logits[targets.rows, targets.columns].float().log_softmax(-1)
    result = wanted.gather(-1, targets.token_ids[:, None]).squeeze(-1)
    return torch.where(targets.needs_grad, result, result.detach())


def _inputs(network: Network, batch: TreeBatch) -> dict[str, Tensor]:
    if network.takes_trees:
        return {
            "input_ids": batch.token_ids,
            "position_ids": batch.positions,
            "attention_mask": batch.mask,
        }
    # Plain rows padded on the right need no mask: causality hides the padding.
    return {"input_ids": batch.token_ids}


def _has_short_window(config: Any) -> bool:
    """Whether attention reaches less far than the context; the masks of trees know no windows."""
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    longest = getattr(text, "max_position_embeddings", None)
    return window is not None and (longest is None or window < longest)


def _close(expected: Tensor, found: Tensor | None) -> bool:
    """Whether a shortcut gives what the plain computation gives, up to the dtype's rounding."""
    if found is None:
        return False
    return torch.allclose(expected, found, rtol=0.02, atol=0.05)

"""Log-probabilities of packed responses: logits only where they are needed, in chunks.

The logits of a batch, rows × tokens × vocabulary, are by far its largest tensor, and they are
never built: each chunk of positions is projected, reduced to one number a token, and dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from corll.compute.cpu.frozen_linear import FrozenLinear, may_prepack
from corll.compute.cpu.fused_layers import is_fused
from corll.compute.cpu.kernels import kernels_for
from corll.compute.cpu.side_by_side import sides_of
from corll.compute.packing import (
    Ids,
    Tree,
    TreeBatch,
    balanced_batches,
    batches_by_length,
    build_tree,
    collate,
)

log = logging.getLogger(__name__)

_LOGITS_PER_CHUNK = 1 << 23
"""Logits held at once, 32 MB in float32."""

_FLOATS_IN_CACHE = 1 << 19
"""2 MB in float32."""


@dataclass(frozen=True)
class Network:
    """A causal language model, and what its architecture lets us do.

    `takes_trees`: its attention takes a 4-D mask and explicit positions; otherwise each response
    gets a plain row. `head_is_linear`: its logits are its output layer applied to its last hidden
    states and nothing else; otherwise they are taken from the model as it computes them.
    `flattens_rows`: its layers take rows one after another, without padding.
    """

    model: Any
    takes_trees: bool
    head_is_linear: bool
    flattens_rows: bool = False

    @classmethod
    def examine(cls, model: Any) -> Network:
        """Finds out what a model's architecture allows, by trying it on a small tree."""
        plain = cls(model, takes_trees=False, head_is_linear=False)
        # From the whole vocabulary: of the first ids, often special ones, bf16 makes mostly noise.
        size = model.config.get_text_config().vocab_size
        ids = [number * size // 10 for number in range(10)]
        prompt = (ids[1], ids[2], ids[3])
        responses = ((ids[4], ids[5], ids[6]), (ids[4], ids[5], ids[7], ids[8]), (ids[9], ids[4]))
        expected = plain._try(prompt, responses)
        assert expected is not None
        head_is_linear = _close(expected, cls(model, False, True)._try(prompt, responses))
        # A GPU attends to padded rows in one kernel; a CPU had better not compute the padding.
        flat = is_fused(model) and model.device.type == "cpu"
        packed = cls(model, True, head_is_linear, flat)
        takes_trees = not _has_short_window(model.config) and _close(
            expected, packed._try(prompt, responses)
        )
        if not takes_trees:
            log.warning(
                "%s does not take a tree-shaped attention mask; each response gets a plain row.",
                type(model).__name__,
            )
        return packed if takes_trees else cls(model, False, head_is_linear)

    def next_logits(self, *, into: Tensor | None = None, **inputs: Any) -> Tensor:
        """The logits that follow the last token of each row. *Shapes*: N × V.

        They may lie in the memory of `into`, N × V too.
        """
        if not self.head_is_linear:
            logits: Tensor = self.model(**inputs, logits_to_keep=1).logits[:, -1]
            return logits
        hidden = self.backbone(**inputs).last_hidden_state[:, -1]
        # Laid out in one piece: for a strided view torch would copy the weight for each row.
        hidden = hidden.contiguous()
        if isinstance(self.head, FrozenLinear):
            return self.head(hidden, decoding=True, into=into)
        return self.head(hidden)

    @property
    def backbone(self) -> Any:
        """The model without its output layer."""
        return getattr(self.model, self.model.base_model_prefix)

    @cached_property
    def head(self) -> Callable[[Tensor], Tensor]:
        """The output layer: a `FrozenLinear`, unless it learns or is another kind of module."""
        head: Any = self.model.get_output_embeddings()
        if type(head) is not torch.nn.Linear or head.weight.requires_grad:
            return cast(Callable[[Tensor], Tensor], head)
        return FrozenLinear(head.weight.data, head.bias, prepacks=may_prepack(self.model))

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

    def batches(
        self, items: Sequence[Sequence[Tree]], max_tokens: int, *, most_sides: int | None = None
    ) -> tuple[list[list[int]], int]:
        """Indices of the items, each of some rows, of each pass, and how many go side by side.

        At any time at most `max_tokens` are worked at, unless an item alone is larger.
        """
        if not self.flattens_rows:
            sizes = [(len(trees), max(map(len, trees))) for trees in items]
            return list(batches_by_length(sizes, max_tokens)), 1
        tokens = [sum(map(len, trees)) for trees in items]
        sides = min(sides_of(self.model.device), max(1, max_tokens // max(tokens, default=1)))
        sides = min(sides, most_sides or sides)
        return balanced_batches(tokens, max_tokens // sides, sides=sides), sides


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
    batch = collate(
        trees,
        dtype=model.dtype,
        device=model.device,
        shared_grad=shared_grad,
        flat=network.flattens_rows,
    )
    compute = _from_hidden_states if network.head_is_linear else _from_model_logits
    logprobs = compute(network, batch)
    return [logprobs[path] for path in batch.paths]


@torch.no_grad()
def full_logprobs(network: Network, trees: Sequence[Tree]) -> list[Tensor]:
    """log π of the whole vocabulary at each token of every response of the trees, in order.

    *Shapes*: R of T × V each, float32. *Units*: nats. All of them are held: give few trees.
    """
    model = network.model
    batch = collate(
        trees,
        dtype=model.dtype,
        device=model.device,
        shared_grad=True,
        flat=network.flattens_rows,
    )
    wanted = batch.targets.predictors
    if network.head_is_linear:
        logits = network.head(_hidden_states(network, batch)[wanted])
    else:
        logits = _model_logits(network, batch)[wanted]
    logprobs = logits.float().log_softmax(-1)
    return [logprobs[path] for path in batch.paths]


def linear_token_logprobs(
    hidden: Tensor, head: Any, token_ids: Tensor, needs_grad: Tensor | None = None
) -> Tensor:
    """log softmax(head(h))[token], chunk by chunk, in float32.

    Only the terms that `needs_grad` names carry a gradient, by default all.
    *Shapes*: `hidden` M × D, `token_ids` M, `needs_grad` M, boolean → M.
    """
    learned = torch.ones_like(token_ids, dtype=torch.bool) if needs_grad is None else needs_grad
    if type(head) is torch.nn.Linear and not head.weight.requires_grad:
        head = FrozenLinear(head.weight.data, head.bias, prepacks=False)
    if not isinstance(head, FrozenLinear):
        # The output layer itself learns: plain autograd, which keeps the logits.
        logprobs = head(hidden).float().log_softmax(-1).gather(-1, token_ids[:, None]).squeeze(-1)
        return torch.where(learned, logprobs, logprobs.detach())
    result: Tensor = _LinearTokenLogprobs.apply(hidden, head, token_ids, learned)  # type: ignore[no-untyped-call]
    return result


class _LinearTokenLogprobs(torch.autograd.Function):
    """Computes the gradient together with the value, while a chunk's logits are at hand.

    ∂ log p[t] / ∂h = W[t] − Σ_v p[v] W[v]; backward only scales it, so neither logits nor
    probabilities are kept, and the logits are computed once.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: FrozenLinear, token_ids: Tensor, learned: Tensor
    ) -> Tensor:
        size = max(1, _LOGITS_PER_CHUNK // len(head.weight))
        # One piece of memory for all chunks: fresh pages cost as much as the product.
        memory = hidden.new_empty(min(size, len(hidden)), len(head.weight))
        logprobs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), size):
            chunk = slice(start, start + size)
            targets = token_ids[chunk]
            logits = head(hidden[chunk], into=memory[: len(targets)])
            log_z = log_normalizers(logits)
            logprobs[chunk] = logits.gather(-1, targets[:, None]).squeeze(-1).float() - log_z
            if grad is not None:
                own = learned[chunk].nonzero().squeeze(-1)
                minus_p = _minus_probabilities(logits, log_z, own)
                # 1 - p of the target from its logarithm: rounded p would lose it where p is near 1.
                one_minus_p = torch.expm1(logprobs[chunk][own]).neg_().to(minus_p.dtype)
                minus_p[torch.arange(len(own), device=own.device), targets[own]] = one_minus_p
                grad[start + own] = torch.mm(minus_p, head.weight)
        if grad is not None:
            ctx.save_for_backward(grad)
        return logprobs

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_output[:, None].to(grad.dtype), None, None, None


def log_normalizers(logits: Tensor) -> Tensor:
    """log Σ exp in float32. *Shapes*: M × V → M."""
    if (kernels := kernels_for(logits)) is not None:
        return kernels.log_normalizers(logits)
    few = torch.split(logits, rows_in_cache(logits))
    return torch.cat([rows.float().logsumexp(-1) for rows in few])


def _minus_probabilities(logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
    """-exp(logits - log_z) of the rows `chosen`, computed in float32 and rounded once.

    *Shapes*: M × V, M, N → N × V.
    """
    if (kernels := kernels_for(logits)) is not None:
        return kernels.minus_probabilities(logits, log_z, chosen)
    out = logits[chosen]
    size = rows_in_cache(logits)
    for rows, log_zs in zip(torch.split(out, size), torch.split(log_z[chosen], size), strict=True):
        rows.copy_(rows.float().sub_(log_zs[:, None]).exp_().neg_())
    return out


def rows_in_cache(logits: Tensor) -> int:
    """How many rows of a matrix, in float32, the CPU's cache holds; on a GPU all, at least 1."""
    rows, width = logits.shape
    return max(1, _FLOATS_IN_CACHE // width if logits.device.type == "cpu" else rows)


def _from_hidden_states(network: Network, batch: TreeBatch) -> Tensor:
    targets = batch.targets
    wanted = _hidden_states(network, batch)[targets.predictors]
    return linear_token_logprobs(wanted, network.head, targets.token_ids, targets.needs_grad)


def _from_model_logits(network: Network, batch: TreeBatch) -> Tensor:
    targets = batch.targets
    wanted = _model_logits(network, batch)[targets.predictors].float().log_softmax(-1)
    result = wanted.gather(-1, targets.token_ids[:, None]).squeeze(-1)
    return torch.where(targets.needs_grad, result, result.detach())


def _hidden_states(network: Network, batch: TreeBatch) -> Tensor:
    """The last ones, which the output layer reads. *Shapes*: rows × tokens, D."""
    hidden: Tensor = network.backbone(**_inputs(network, batch), use_cache=False).last_hidden_state
    return hidden.flatten(0, 1)


def _model_logits(network: Network, batch: TreeBatch) -> Tensor:
    """*Shapes*: rows × tokens, V."""
    logits: Tensor = network.model(**_inputs(network, batch), use_cache=False).logits
    return logits.flatten(0, 1)


def _inputs(network: Network, batch: TreeBatch) -> dict[str, Any]:
    inputs: dict[str, Any] = {"input_ids": batch.token_ids}
    if network.takes_trees:
        inputs["position_ids"] = batch.positions
        inputs["attention_mask"] = batch.mask
    if batch.rows is not None:
        inputs["rows"] = batch.rows
        # A mask of four dimensions is taken as it is; here the rows hold the real ones.
        inputs["attention_mask"] = batch.rows.spans[0].blocks[0].mask[None, None]
    # Plain rows padded on the right need no mask: causality hides the padding.
    return inputs


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

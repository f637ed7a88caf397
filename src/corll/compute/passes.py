"""Forward and backward passes over many items, in micro-batches that fit the memory limit.

An item is the rows of one prompt: a preference, or a text to score. What is computed of an item
does not depend on the micro-batch that it is in, up to rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from corll.compute.network import Network
from corll.compute.packing import Tree, padded_tokens
from corll.compute.scoring import token_logprobs
from corll.errors import DeviceMemoryError

log = logging.getLogger(__name__)

Rows: TypeAlias = Sequence[Tree]
"""The rows of one item."""

Scores: TypeAlias = Sequence[Sequence[Tensor]]
"""Of some items, the log-probabilities of each response, token by token."""

Loss: TypeAlias = Callable[[Sequence[int], Scores], tuple[Tensor, dict[str, Tensor]]]
"""Of the numbers of some items, and their responses' log-probabilities token by token, the mean
loss and its metrics."""

Result = TypeVar("Result")


class Passes:
    """Passes over the same items, cut into the same micro-batches, so that their numbers compare.

    `max_tokens` are worked at together at most, `most_sides` micro-batches at the same time.
    `before` is called ahead of each pass, in the thread that computes it.
    """

    def __init__(
        self,
        network: Network,
        items: Sequence[Rows],
        max_tokens: int,
        *,
        most_sides: int | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.network, self.items, self._before = network, items, before
        self.batches, self._sides = network.batches(items, max_tokens, most_sides=most_sides)

    def forward(
        self, *, only: Collection[int] | None = None, shared_grad: bool = True
    ) -> dict[int, list[Tensor]]:
        """Return the log-probabilities of each item's responses, token by token, by its number.

        `only` names the items that are wanted. *Shapes*: responses of T each. *Units*: nats.
        """
        batches = [[n for n in batch if only is None or n in only] for batch in self.batches]

        def score(numbers: Sequence[int]) -> list[list[Tensor]]:
            return self._scored(numbers, shared_grad=shared_grad) if numbers else []

        with torch.no_grad():
            found = list(self._side_by_side(score, batches))
        return {
            n: scores
            for batch, batch_scores in zip(batches, found, strict=True)
            for n, scores in zip(batch, batch_scores, strict=True)
        }

    def forward_backward(
        self,
        loss_of: Loss,
        parameters: Sequence[torch.nn.Parameter],
        *,
        shared_grad: bool = True,
    ) -> dict[str, Tensor]:
        """Leave the gradient of the mean loss over all items on the parameters; return its metrics.

        Metrics are averages over the items. Without `shared_grad` the terms that all responses of
        a row share carry no gradient: right for a loss in which they cancel.
        """
        for parameter in parameters:
            parameter.grad = None

        def learn(numbers: Sequence[int]) -> tuple[dict[str, Tensor], Sequence[Tensor | None]]:
            loss, metrics = loss_of(numbers, self._scored(numbers, shared_grad=shared_grad))
            share = len(numbers) / len(self.items)
            gradients = torch.autograd.grad(loss * share, parameters, allow_unused=True)
            return {name: share * value for name, value in metrics.items()}, gradients

        totals: dict[str, Tensor] = {}
        for metrics, gradients in self._side_by_side(learn, self.batches):
            _add_gradients(parameters, gradients)
            for name, value in metrics.items():
                totals[name] = totals.get(name, torch.zeros_like(value)) + value
        return totals

    def _scored(self, numbers: Sequence[int], *, shared_grad: bool) -> list[list[Tensor]]:
        self._before()
        trees = [tree for n in numbers for tree in self.items[n]]
        responses = iter(token_logprobs(self.network, trees, shared_grad=shared_grad))
        counts = [sum(len(tree.paths) for tree in self.items[n]) for n in numbers]
        return [[next(responses) for _ in range(count)] for count in counts]

    def _side_by_side(
        self, work: Callable[[Sequence[int]], Result], batches: Sequence[Sequence[int]]
    ) -> Iterator[Result]:
        return self.network.backend.side_by_side(work, batches, sides=self._sides)


class TokenBudget:
    """How many tokens are worked at together: fewer once the device has run out of memory."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens

    def attempt(self, items: Sequence[Rows], work: Callable[[int], Result]) -> Result:
        """Do some work on items within the budget, halving that as often as memory runs out.

        *Raises*: DeviceMemoryError where micro-batches are single items already.
        """
        while True:
            try:
                return work(self.max_tokens)
            except (RuntimeError, MemoryError) as error:
                self._halve(error, items)

    def _halve(self, error: Exception, items: Sequence[Rows]) -> None:
        if not _is_out_of_memory(error):
            raise error
        sizes = [padded_tokens(rows) for rows in items]
        largest = max(sizes)
        if self.max_tokens <= largest:
            raise DeviceMemoryError(
                f"A single preference of {largest} tokens does not fit into memory. Use shorter "
                "prompts or responses, a smaller model, or dtype='bfloat16'."
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.max_tokens = max(largest, min(self.max_tokens, sum(sizes)) // 2)
        log.warning("Out of memory: micro-batches are now of %d tokens at most.", self.max_tokens)


def _add_gradients(
    parameters: Sequence[torch.nn.Parameter], gradients: Sequence[Tensor | None]
) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
        elif gradient is not None:
            parameter.grad += gradient


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )

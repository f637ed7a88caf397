"""Forward and backward passes over many items, in micro-batches that fit the memory limit.

An item is the rows of one prompt: a preference, or a text to score. What is computed of an item
does not depend on the micro-batch that it is in, up to rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from corll.compute.distilling import prediction_states, token_divergences
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
loss and its metrics. Where a pass is towards a teacher, divergences stand for log-probabilities."""

Adapters: TypeAlias = "Sequence[str | None] | None"
"""An adapter for each item, where None is the base alone; or None where all have the active one."""

Score: TypeAlias = Callable[[Sequence[int], Sequence[Tree]], Sequence[Tensor]]
"""Of the numbers of some items, and their rows, a tensor for each response, token by token."""

Result = TypeVar("Result")


class Share(NamedTuple):
    """Items that are learned from by themselves: their numbers, their loss, and what it teaches."""

    numbers: Sequence[int]
    loss_of: Loss
    parameters: Sequence[torch.nn.Parameter]


class Passes:
    """Passes over the same items, cut into the same micro-batches, so that their numbers compare.

    `max_tokens` are worked at together at most, `most_sides` micro-batches at the same time.
    `before` is called ahead of each pass, in the thread that computes it. `in_order` keeps items of
    a micro-batch in the order of their numbers, so that those of an adapter are next to each other.
    """

    def __init__(
        self,
        network: Network,
        items: Sequence[Rows],
        max_tokens: int,
        *,
        most_sides: int | None = None,
        before: Callable[[], None] = lambda: None,
        in_order: bool = False,
    ) -> None:
        self.network, self.items, self._before = network, items, before
        self.batches, self._sides = network.batches(items, max_tokens, most_sides=most_sides)
        if in_order:
            self.batches = [sorted(batch) for batch in self.batches]

    def forward(
        self,
        *,
        only: Collection[int] | None = None,
        shared_grad: bool = True,
        adapters: Adapters = None,
    ) -> dict[int, list[Tensor]]:
        """Return the log-probabilities of each item's responses, token by token, by its number.

        `only` names the items that are wanted. *Shapes*: responses of T each. *Units*: nats.
        """
        batches = [[n for n in batch if only is None or n in only] for batch in self.batches]

        return self._all_scored(self._logprobs(adapters, shared_grad=shared_grad), batches)

    def prediction_states(self) -> dict[int, list[Tensor]]:
        """Return what each token of each item's responses is predicted from, by its number.

        A pass towards them compares with what this model predicts now. *Shapes*: responses of
        T × D each, or T × V where logits are not those of a frozen output layer alone.
        """

        def states(_: Sequence[int], trees: Sequence[Tree]) -> list[Tensor]:
            return prediction_states(self.network, trees)

        return self._all_scored(states, self.batches)

    def forward_backward(
        self,
        loss_of: Loss,
        parameters: Sequence[torch.nn.Parameter],
        *,
        shared_grad: bool = True,
        towards: Mapping[int, Sequence[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Leave the gradient of the mean loss over all items on the parameters; return its metrics.

        Metrics are averages over the items. Without `shared_grad` the terms that all responses of
        a row share carry no gradient: right for a loss in which they cancel. `towards` are the
        prediction states of a teacher for the same responses; the loss is then given the
        divergences from it.
        """
        score = self._logprobs(None, shared_grad=shared_grad)
        if towards is not None:
            score = self._divergences(towards)
        (totals,) = self._learn(score, [Share(range(len(self.items)), loss_of, parameters)])
        return totals

    def forward_backward_of(
        self, shares: Sequence[Share], adapters: Adapters, *, shared_grad: bool = True
    ) -> list[dict[str, Tensor]]:
        """Leave the gradient of the mean loss of each share on its parameters; return its metrics.

        Each item is in one share, whose parameters are those of its adapter. Metrics are averages
        over the items of a share.
        """
        return self._learn(self._logprobs(adapters, shared_grad=shared_grad), shares)

    def _learn(self, score: Score, shares: Sequence[Share]) -> list[dict[str, Tensor]]:
        share_of = {n: at for at, share in enumerate(shares) for n in share.numbers}
        for share in shares:
            for parameter in share.parameters:
                parameter.grad = None

        def learn(numbers: Sequence[int]) -> list[_Learned]:
            scores = dict(zip(numbers, self._scored(numbers, score), strict=True))
            weighted, metrics = [], []
            owners = list(dict.fromkeys(share_of[n] for n in numbers))
            for at in owners:
                own = [n for n in numbers if share_of[n] == at]
                loss, found = shares[at].loss_of(own, [scores[n] for n in own])
                weight = len(own) / len(shares[at].numbers)
                weighted.append(loss * weight)
                metrics.append({name: weight * value for name, value in found.items()})
            parameters = [p for at in owners for p in shares[at].parameters]
            gradients = iter(
                torch.autograd.grad(reduce(add, weighted), parameters, allow_unused=True)
            )
            own_gradients = [[next(gradients) for _ in shares[at].parameters] for at in owners]
            return [_Learned(*parts) for parts in zip(owners, metrics, own_gradients, strict=True)]

        totals: list[dict[str, Tensor]] = [{} for _ in shares]
        for learned in self._side_by_side(learn, self.batches):
            for at, metrics, gradients in learned:
                _add_gradients(shares[at].parameters, gradients)
                total = totals[at]
                for name, value in metrics.items():
                    total[name] = total.get(name, torch.zeros_like(value)) + value
        return totals

    def _logprobs(self, adapters: Adapters, *, shared_grad: bool) -> Score:
        def score(numbers: Sequence[int], trees: Sequence[Tree]) -> list[Tensor]:
            own = None
            if adapters is not None:
                own = [adapters[n] for n in numbers for _ in self.items[n]]
            return token_logprobs(self.network, trees, shared_grad=shared_grad, adapters=own)

        return score

    def _divergences(self, towards: Mapping[int, Sequence[Tensor]]) -> Score:
        def score(numbers: Sequence[int], trees: Sequence[Tree]) -> list[Tensor]:
            teachers = [states for n in numbers for states in towards[n]]
            return token_divergences(self.network, trees, teachers)

        return score

    def _all_scored(
        self, score: Score, batches: Sequence[Sequence[int]]
    ) -> dict[int, list[Tensor]]:
        def scored(numbers: Sequence[int]) -> list[list[Tensor]]:
            return self._scored(numbers, score) if numbers else []

        with torch.no_grad():
            found = list(self._side_by_side(scored, batches))
        return {
            n: scores
            for batch, batch_scores in zip(batches, found, strict=True)
            for n, scores in zip(batch, batch_scores, strict=True)
        }

    def _scored(self, numbers: Sequence[int], score: Score) -> list[list[Tensor]]:
        self._before()
        trees = [tree for n in numbers for tree in self.items[n]]
        responses = iter(score(numbers, trees))
        counts = [sum(len(tree.paths) for tree in self.items[n]) for n in numbers]
        return [[next(responses) for _ in range(count)] for count in counts]

    def _side_by_side(
        self, work: Callable[[Sequence[int]], Result], batches: Sequence[Sequence[int]]
    ) -> Iterator[Result]:
        return self.network.backend.side_by_side(work, batches, sides=self._sides)


class _Learned(NamedTuple):
    """What a micro-batch gave one share, by its place."""

    share: int
    metrics: dict[str, Tensor]
    gradients: Sequence[Tensor | None]


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

"""What the algorithm asks of whatever draws and scores: ids in, branches or log-probabilities out.

`Policy` is both. Another engine, of which only drafts are wanted, is a `Sampler` and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from corll.compute.decoding import Branch
from corll.compute.packing import Ids
from corll.config import SamplingConfig


class Sampler(Protocol):
    """Draws what may follow on rows of ids."""

    def continuations(
        self,
        beginnings: Sequence[Ids],
        num_samples: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        *,
        sampling: SamplingConfig,
    ) -> list[list[Branch]]:
        """Return `num_samples` branches for each beginning, each with a random stream of its own.

        A branch's `logprob` is of the full distribution, whatever the sampler.
        """
        ...


class Scorer(Protocol):
    """Scores responses to prompts."""

    def score(self, prompts: Sequence[Ids], responses: Sequence[Ids]) -> Tensor:
        """Return log π(y|x) of each pair of prompt and response.

        *Shapes*: B rows, B rows → B, float32. *Units*: nats, summed, of the full distribution.
        """
        ...

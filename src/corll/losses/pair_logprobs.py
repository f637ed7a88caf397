"""Log-probabilities of pairs under the policy and its reference: what every loss is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from corll.errors import ConfigError
from corll.losses.token_comparison import TokenComparison


def implicit_reward(logprobs: Tensor, reference_logprobs: Tensor, beta: float) -> Tensor:
    """Return R_π(x, y) = β (log π(y|x) − log π_0(y|x)), up to β log Z(x).

    That term depends on x alone, so it cancels between responses to one prompt.
    """
    return beta * (logprobs - reference_logprobs)


@dataclass(frozen=True)
class PairTokens:
    """Log-probabilities of one pair, token by token. *Shapes*: T of each side. *Units*: nats."""

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    comparison: TokenComparison


@dataclass(frozen=True)
class PairLogprobs:
    """Log-probabilities of B pairs, summed over each response; token by token where `tokens` are.

    *Shapes*: all B. *Units*: nats; lengths in tokens, with the end token where there is one.
    """

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_lengths: Tensor | None = None
    rejected_lengths: Tensor | None = None
    tokens: Sequence[PairTokens] | None = None

    @classmethod
    def of_tokens(cls, tokens: Sequence[PairTokens]) -> PairLogprobs:
        """Sum what is given token by token."""
        chosen, rejected = [pair.chosen for pair in tokens], [pair.rejected for pair in tokens]
        return cls(
            _sums(chosen),
            _sums(rejected),
            _sums([pair.reference_chosen for pair in tokens]),
            _sums([pair.reference_rejected for pair in tokens]),
            _lengths(chosen),
            _lengths(rejected),
            tokens,
        )

    def rewards(self, beta: float) -> tuple[Tensor, Tensor]:
        """Return R_π of the chosen and of the rejected responses. *Shapes*: B, B."""
        return (
            implicit_reward(self.chosen, self.reference_chosen, beta),
            implicit_reward(self.rejected, self.reference_rejected, beta),
        )

    def margins(self, beta: float) -> Tensor:
        """Return δ = R_π(x, chosen) − R_π(x, rejected). *Shapes*: B."""
        chosen, rejected = self.rewards(beta)
        return chosen - rejected

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Return both sides' lengths. *Raises*: ConfigError where they were not given."""
        if self.chosen_lengths is None or self.rejected_lengths is None:
            missing = "chosen" if self.chosen_lengths is None else "rejected"
            raise ConfigError(f"This loss averages over tokens: give {missing}_lengths.")
        return self.chosen_lengths, self.rejected_lengths

    def by_token(self) -> Sequence[PairTokens]:
        """Return the pairs token by token. *Raises*: ConfigError where only sums were given."""
        if self.tokens is None:
            raise ConfigError("This loss looks at single tokens: give log-probabilities by token.")
        return self.tokens


def _sums(sides: Sequence[Tensor]) -> Tensor:
    return torch.stack([side.sum() for side in sides])


def _lengths(sides: Sequence[Tensor]) -> Tensor:
    return sides[0].new_tensor([len(side) for side in sides])

"""A world of prompts and texts in which every policy, its reward and its divergence are exact.

A text has T tokens, and a policy is log-linear in weights θ of D dimensions,

    π_θ(y|x) ∝ π_0(y|x) exp(θ·φ(x, y)),    φ(x, y) = Σ_t φ(x, t, y_t).

π_0 draws its tokens independently, so each π_θ does too: sums over all V^T texts are sums over T·V
tokens. With T = 1 the texts are a plain list. The expert π* has weights θ*, scaled so that
KL(π*‖π_0) is what was chosen, and R*(x, y) = β (log π*(y|x) − log π_0(y|x)).

Texts are drawn by the sampler π̃, which takes the `top_k` likeliest tokens of each position. For
any π̃, with its own KL to the *whole* π_0 and π*,

    J = E_π̃[R*] − β KL(π̃‖π_0) = −β KL(π̃‖π*) ≤ 0.

The expert's own sampler costs KL(π̃*‖π*), the least that any sampler of as many tokens can.

*Source*: B.3, B.4; the axes of arrays are S seeds, E learning rates, X prompts, T, V and D.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corll.errors import InputError
from corll.laboratory.softmax_world.settings import WorldSettings

Array = NDArray[np.float64]

_TIMES_HALVED = 60
_LARGEST_SCALE = 1e4


class Standing(NamedTuple):
    """The standing of a sampler between π_0 and the expert, means over prompts.

    *Shapes*: all S × E. *Units*: `reward` R*; `kl` to the whole π_0 and `expert_kl` to the whole π*
    in nats a text.
    """

    reward: Array
    kl: Array
    expert_kl: Array


@dataclass(frozen=True)
class SoftmaxWorld:
    """A world for each of S seeds. *Shapes*: `features` S × X × T × V × D, `reference` (log π_0)
    S × X × T × V, `true_weights` S × D. *Units*: nats.
    """

    features: Array
    reference: Array
    true_weights: Array
    beta: float
    top_k: int

    @classmethod
    def generate(cls, settings: WorldSettings, seeds: range) -> SoftmaxWorld:
        """Draw a world a seed. The features of a token have length 1 in the mean.

        The first feature is what π_0 thinks of the token, standardised at each position.
        *Raises*: InputError where no expert is as far from π_0 as it should be.
        """
        drawn = [_draw(settings, seed) for seed in seeds]
        features, reference, direction = (np.stack(part) for part in zip(*drawn, strict=True))
        scale = _scale_to(settings.expert_kl, reference, _along(features, direction))
        weights = direction * scale[:, None]
        return cls(features, reference, weights, settings.beta, settings.top_k)

    @property
    def seeds(self) -> int:
        """S, the number of worlds."""
        return len(self.reference)

    def repeated(self, times: int) -> SoftmaxWorld:
        """Return the first world as so many, to be played with different seeds."""
        first = (self.features[:1], self.reference[:1], self.true_weights[:1])
        features, reference, weights = (
            np.broadcast_to(part, (times, *part.shape[1:])) for part in first
        )
        return SoftmaxWorld(features, reference, weights, self.beta, self.top_k)

    def scores(self, weights: Array) -> Array:
        """Return θ·φ of each token. *Shapes*: S × E × D → S × E × X × T × V."""
        S, X, T, V, D = self.features.shape
        rows = self.features.reshape(S, -1, D) @ weights.swapaxes(1, 2)
        return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(S, -1, X, T, V)

    def logprobs(self, scores: Array) -> Array:
        """Return log π_θ of each token from θ·φ. *Shapes*: S × E × X × T × V, both."""
        return log_softmax(self.reference[:, None] + scores)

    def at_temperatures(self, temperatures: Array) -> Array:
        """Return log π_0 at other temperatures. *Shapes*: E → S × E × X × T × V."""
        return log_softmax(self.reference[:, None] / temperatures[None, :, None, None, None])

    @cached_property
    def expert(self) -> Array:
        """Log π* of each token. *Shapes*: S × X × T × V."""
        return self.logprobs(self.scores(self.true_weights[:, None]))[:, 0]

    @cached_property
    def rewards(self) -> Array:
        """R* of each token, whose sum over a text's tokens is the text's. *Shapes*: as `expert`."""
        result: Array = self.beta * (self.expert - self.reference)
        return result

    def sampler(self, logprobs: Array) -> Array:
        """Return π̃, the probabilities by which tokens are drawn. *Shapes*: … × V, both."""
        return truncated(logprobs, self.top_k)

    @cached_property
    def expert_sampler(self) -> Array:
        """The expert's π̃*, by which it draws tokens. *Shapes*: S × 1 × X × T × V."""
        return self.sampler(self.expert[:, None])

    @cached_property
    def least_expert_kl(self) -> Array:
        """KL(π̃*‖π*), which no sampler of as many tokens is below. *Shapes*: S. *Units*: nats."""
        return self.standing(self.expert_sampler).expert_kl[:, 0]

    def standing(self, probabilities: Array) -> Standing:
        """Measure a sampler, or a whole policy. *Shapes*: `probabilities` S × E × X × T × V."""
        S, E, X = probabilities.shape[:3]
        own = np.einsum("septv,septv->se", probabilities, _log(probabilities)) / X
        flat = probabilities.reshape(S, E, -1)

        def mean(values: Array) -> Array:
            """Take the mean over texts and prompts of what tokens add up to."""
            result: Array = (flat @ values.reshape(S, -1, 1))[..., 0] / X
            return result

        return Standing(mean(self.rewards), own - mean(self.reference), own - mean(self.expert))

    def spread(self, probabilities: Array) -> Array:
        """Return the standard deviation of log π̃/π* over texts of all prompts: what one tells.

        *Shapes*: S × E × X × T × V → S × E. *Units*: nats.
        """
        ratios = _log(probabilities) - self.expert[:, None]
        # Tokens are drawn independently, so that a text's variance is the sum of theirs.
        means = (probabilities * ratios).sum(-1)
        within = ((probabilities * ratios**2).sum(-1) - means**2).sum(-1).mean(-1)
        result: Array = np.sqrt(np.maximum(within + means.sum(-1).var(-1), 0))
        return result


def log_softmax(scores: Array) -> Array:
    """Take the logarithms of the softmax of scores over the last axis. *Units*: nats."""
    shifted = scores - scores.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _log(probabilities: Array) -> Array:
    """Return logarithms, finite where a probability is 0, so that 0 log 0 is 0."""
    result: Array = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return result


def truncated(logprobs: Array, top_k: int) -> Array:
    """Return the probabilities of the `top_k` likeliest of the last axis, 0 for the others."""
    probabilities = np.exp(logprobs)
    dropped = logprobs.shape[-1] - top_k
    if top_k and dropped > 0:
        unlikely = np.argpartition(logprobs, dropped - 1, axis=-1)[..., :dropped]
        np.put_along_axis(probabilities, unlikely, 0.0, axis=-1)
        probabilities /= probabilities.sum(-1, keepdims=True)
    return probabilities


def _draw(settings: WorldSettings, seed: int) -> tuple[Array, Array, Array]:
    """Draw features, log π_0 and the direction of θ*, whose length is √D."""
    generator = np.random.default_rng([seed, 0])
    tokens = settings.prompts, settings.positions, settings.tokens
    reference = log_softmax(settings.reference_spread * generator.standard_normal(tokens))
    features = generator.standard_normal((*tokens, settings.dimensions))
    spread = reference.std(-1, keepdims=True)
    features[..., 0] = (reference - reference.mean(-1, keepdims=True)) / np.where(
        spread > 0, spread, 1.0
    )
    other = generator.standard_normal(settings.dimensions - 1)
    other *= np.sqrt(1 - settings.fluency**2) / np.linalg.norm(other)
    wanted = np.concatenate([[settings.fluency], other])
    if settings.rarity is not None:
        # Independent gamma variables of the same scale add up to one, whose shape is their sum.
        shape = settings.rarity / settings.positions
        rare = (generator.gamma(shape, size=tokens) - shape) / np.sqrt(shape)
        features += (rare - features @ wanted)[..., None] * wanted
    length = np.sqrt(settings.dimensions)
    return features / length, reference, length * wanted


def _along(features: Array, direction: Array) -> Array:
    """Return θ·φ of each token. *Shapes*: S × X × T × V × D, S × D → S × X × T × V."""
    result: Array = np.einsum("sptvd,sd->sptv", features, direction)
    return result


def _scale_to(expert_kl: float, reference: Array, scores: Array) -> Array:
    """Return how long each θ* is: KL(π*‖π_0) grows with its length, and is found by halving."""

    def divergence(scale: Array) -> Array:
        expert = log_softmax(reference + scale[:, None, None, None] * scores)
        result: Array = (np.exp(expert) * (expert - reference)).sum((-1, -2)).mean(-1)
        return result

    low = np.zeros(len(reference))
    high = np.full(len(reference), _LARGEST_SCALE)
    most = float(divergence(high).min())
    if most < expert_kl:
        raise InputError(
            f"No expert is {expert_kl:g} nats from π_0 in this world, {most:.3g} at most: lower "
            "expert_kl, or raise tokens or positions."
        )
    for _ in range(_TIMES_HALVED):
        middle = (low + high) / 2
        near = divergence(middle) < expert_kl
        low, high = np.where(near, middle, low), np.where(near, high, middle)
    scale: Array = (low + high) / 2
    return scale

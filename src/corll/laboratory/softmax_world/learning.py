"""What a policy of a softmax world learns by: the gradient of DPO and of imitation, and Adam."""

from __future__ import annotations

import numpy as np

from corll.laboratory.softmax_world.feedback import Places, agreement, summed
from corll.laboratory.softmax_world.world import Array, SoftmaxWorld


def pair_gradient(
    world: SoftmaxWorld, scores: Array, chosen: Places, rejected: Places, weights: Array
) -> Array:
    """Return the gradient of −log σ(β (log π/π_0(chosen) − log π/π_0(rejected))) in θ.

    The margin is β θ·(φ(chosen) − φ(rejected)), since log Z cancels. *Shapes*: `scores` S × E × X ×
    T × V, texts S × E × N × T, `weights` of the pairs S × E × N → S × E × D. *Source*: B.4.
    """
    margins = world.beta * (summed(scores, chosen) - summed(scores, rejected))
    pull = weights * world.beta * agreement(-margins)
    rows = _gathered(scores, chosen, -pull) + _gathered(scores, rejected, pull)
    return _in_weights(world, rows)


def imitation_gradient(
    world: SoftmaxWorld, scores: Array, prompts: Places, chosen: Places, weights: Array
) -> Array:
    """Return the gradient in θ of −log π_θ(chosen), a mean over the text's tokens.

    It is the mean φ of the whole policy less that of the chosen text. *Shapes*: as in
    `pair_gradient`; `prompts` S × N.
    """
    X, T = scores.shape[2:4]
    rows = _gathered(scores, chosen, -weights)
    shares = weights @ (prompts[..., None] == np.arange(X)).astype(np.float64)
    rows = rows + shares[..., None, None] * np.exp(world.logprobs(scores))
    return _in_weights(world, rows / T)


class Adam:
    """Adam at E learning rates at once, without weight decay.

    *Shapes*: `rates` E; weights and gradients S × E × D. *Source*: Kingma & Ba 2015, with their
    constants, which are also torch's.
    """

    first_decay, second_decay, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, rates: Array) -> None:
        self._rates = rates[:, None]
        self._steps, self._first, self._second = 0, np.zeros(()), np.zeros(())

    def step(self, weights: Array, gradient: Array) -> Array:
        """Return the weights after a step down a gradient."""
        b1, b2 = self.first_decay, self.second_decay
        self._steps += 1
        self._first = b1 * self._first + (1 - b1) * gradient
        self._second = b2 * self._second + (1 - b2) * gradient**2
        first = self._first / (1 - b1**self._steps)
        second = self._second / (1 - b2**self._steps)
        result: Array = weights - self._rates * first / (np.sqrt(second) + self.epsilon)
        return result


def _gathered(scores: Array, texts: Places, values: Array) -> Array:
    """Add a value of each text to its tokens. *Shapes*: S × E × N × T, S × E × N → as `scores`."""
    S, E = scores.shape[:2]
    size = scores[0, 0].size
    cells = np.arange(S * E).reshape(S, E, 1, 1) * size
    places = (cells + texts).ravel()
    spread = np.broadcast_to(values[..., None], texts.shape).ravel()
    counted: Array = np.bincount(places, spread, minlength=S * E * size).astype(np.float64)
    return counted.reshape(scores.shape)


def _in_weights(world: SoftmaxWorld, rows: Array) -> Array:
    """Turn a gradient in scores into one in θ. *Shapes*: S × E × X × T × V → S × E × D."""
    S, E = rows.shape[:2]
    D = world.features.shape[-1]
    result: Array = rows.reshape(S, E, -1) @ world.features.reshape(S, -1, D)
    return result

"""What users say in a softmax world: edits and comparisons by R*, with labels of eq. 7 or exact.

Texts are arrays of T places among the X·T·V tokens of all prompts, so that a place alone tells
prompt, position and token. Batches are S seeds × E rates × N prompts; what does not depend on the
policy has E = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corll.laboratory.softmax_world.world import Array
from corll.simulation.axes import DROPPED, FeedbackAxes, choose_edits

Places = NDArray[np.intp]

_LEAST_DRAW = 1e-9
"""Far below any probability that matters, and not rounded away beside the number of a row."""


@dataclass(frozen=True)
class Pairs:
    """Preferences chosen ≻ rejected of a batch, and what is known of them.

    *Shapes*: `chosen` and `rejected` S × E × N × T, the rest S × E × N; `gain` is R* of the chosen
    less that of the rejected, before a label went wrong in `agrees`; `possible` what the best
    candidate would have gained. `usable` is false without a pair: dropped, a tie, or an acceptance.
    """

    chosen: Places
    rejected: Places
    gain: Array
    possible: Array
    agrees: NDArray[np.bool_]
    usable: NDArray[np.bool_]

    def first(self, count: int) -> NDArray[np.bool_]:
        """Return which are the first `count` usable ones of each batch. *Shapes*: S × E × N."""
        result: NDArray[np.bool_] = self.usable & (self.usable.cumsum(-1) <= count)
        return result


def draw_texts(probabilities: Array, prompts: Places, uniforms: Array) -> Places:
    """Draw texts by the inverse of the cumulative probabilities.

    *Shapes*: `probabilities` S × E × X × T × V, `prompts` S × N, `uniforms` in [0, 1) S × K × N × T
    → places S × E × N × K × T.
    """
    S, E, X, T, V = probabilities.shape
    # One rising list: the cumulative probabilities of row n lie between n and n + 1.
    rows = np.arange(S * E * X * T).reshape(S, E, X, T)
    cumulative = probabilities.cumsum(-1)
    cumulative /= cumulative[..., -1:]
    cumulative += rows[..., None]
    asked = rows[np.arange(S)[:, None], :, prompts].swapaxes(1, 2)[..., None, :]
    wanted = asked + np.maximum(1 - uniforms.swapaxes(1, 2), _LEAST_DRAW)[:, None]
    places = np.searchsorted(cumulative.ravel(), wanted)
    cells = np.arange(S * E).reshape(S, E, 1, 1, 1) * (X * T * V)
    result: Places = places - cells
    return result


def summed(values: Array, texts: Places) -> Array:
    """Sum a value of tokens over each text's. *Shapes*: S × E × X × T × V, S × E × … × T → S × E ×
    …; E of the values may be 1.
    """
    S, E, *between = texts.shape
    flat = values.reshape(*values.shape[:2], -1)
    flat = np.broadcast_to(flat, (S, max(E, flat.shape[1]), flat.shape[-1]))
    places = np.broadcast_to(texts, (*flat.shape[:2], *between)).reshape(*flat.shape[:2], -1)
    found = np.take_along_axis(flat, places, axis=-1).reshape(*flat.shape[:2], *between)
    result: Array = found.sum(-1)
    return result


def edited(
    drafts: Places, expert_texts: Places, rewards: Array, axes: FeedbackAxes, draws: Array
) -> Pairs:
    """Edit each draft into one of the expert's texts, by the paper's axes (4.1, 4.4).

    *Shapes*: `drafts` S × E × N × T, `expert_texts` S × 1 × N × L × T, `rewards` S × 1 × X × T × V,
    `draws` S × N in [0, 1).
    """
    S, E, N, T = drafts.shape
    draft_rewards = summed(rewards, drafts)
    candidates = np.broadcast_to(summed(rewards, expert_texts), (S, E, N, expert_texts.shape[-2]))
    choices = choose_edits(
        candidates.reshape(-1, candidates.shape[-1]),
        draft_rewards.reshape(-1),
        axes,
        np.broadcast_to(draws[:, None], (S, E, N)).reshape(-1),
    ).reshape(S, E, N)
    chosen = np.maximum(choices, 0)[..., None]
    edits = np.take_along_axis(
        np.broadcast_to(expert_texts, (S, E, *expert_texts.shape[2:])), chosen[..., None], axis=-2
    ).reshape(S, E, N, T)
    usable = (choices != DROPPED) & (edits != drafts).any(-1)
    return Pairs(
        edits,
        drafts,
        np.take_along_axis(candidates, chosen, axis=-1)[..., 0] - draft_rewards,
        np.maximum(candidates.max(-1) - draft_rewards, 0.0),
        np.ones_like(usable),
        usable,
    )


def compared(texts: Places, rewards: Array) -> Pairs:
    """Prefer of each two texts the one of higher R*; ties are dropped (4.2).

    *Shapes*: `texts` S × E × N × 2 × T, `rewards` S × 1 × X × T × V.
    """
    found = summed(rewards, texts)
    order = np.argsort(found, axis=-1, kind="stable")
    ordered = np.take_along_axis(texts, order[..., None], axis=-2)
    gain = np.abs(found[..., 1] - found[..., 0])
    usable = gain > 0
    return Pairs(ordered[..., 1, :], ordered[..., 0, :], gain, gain, np.ones_like(usable), usable)


def labelled(pairs: Pairs, scale: float, draws: Array) -> Pairs:
    """Let users of the Bradley–Terry model say which text of each pair is better.

    They agree with a pair with probability σ(scale · gain); else it points the other way.
    *Shapes*: `draws` S × N in [0, 1). *Source*: eq. 7, whose scale is 1.
    """
    agrees = draws[:, None] < agreement(scale * pairs.gain)
    kept = agrees[..., None]
    return Pairs(
        np.where(kept, pairs.chosen, pairs.rejected),
        np.where(kept, pairs.rejected, pairs.chosen),
        np.where(agrees, pairs.gain, -pairs.gain),
        pairs.possible,
        agrees,
        pairs.usable,
    )


def agreement(gains: Array) -> Array:
    """Return σ of gains, without overflow."""
    result: Array = 0.5 * (1 + np.tanh(gains / 2))
    return result

"""Algorithm 2 (B.2) in a world small enough to enumerate: exact regret, identity and bound.

Prompts have a list of candidates with features φ(x, y), and the true reward is w*·φ. So the
quantities of Theorem 1 are computed here, not estimated. With the perceptron and an exact argmax,
step (5) of its proof holds, and

    mean regret ≤ 2 R ‖w*‖ / (α √T) + Σ ξ / (α T),    R the longest φ.

Σ gain + Σ ξ ≥ α Σ regret is an identity of the slacks ξ, and proves nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from corll.simulation.axes import FeedbackAxes, choose_edit, estimated_alpha

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearWorld:
    """A world of prompts with candidates. *Shapes*: `features` X × M × D, `true_weights` D."""

    features: Array
    true_weights: Array

    @classmethod
    def generate(
        cls, *, num_prompts: int, num_candidates: int, dimensions: int, seed: int
    ) -> LinearWorld:
        """Draw features and true weights of length 1, uniform over directions."""
        generator = np.random.default_rng(seed)
        features = generator.standard_normal((num_prompts, num_candidates, dimensions))
        features /= np.linalg.norm(features, axis=-1, keepdims=True)
        weights = generator.standard_normal(dimensions)
        return cls(features, weights / np.linalg.norm(weights))

    @property
    def radius(self) -> float:
        """R, the length of the longest φ."""
        return float(np.linalg.norm(self.features, axis=-1).max())

    def rewards(self, prompt: int) -> Array:
        """Return the true reward of each candidate. *Shapes*: M."""
        result: Array = self.features[prompt] @ self.true_weights
        return result


class PairwiseLearner(Protocol):
    """A_pair for linear scores: it turns a preference into weights. *Shapes*: `weights` D."""

    weights: Array

    def learn(self, difference: Array) -> None:
        """Learn from φ(x, edit) − φ(x, draft)."""


class Perceptron:
    """The learner of the bound: w ← w + φ(x, ȳ) − φ(x, y) (Shivaswamy & Joachims)."""

    def __init__(self, dimensions: int) -> None:
        self.weights: Array = np.zeros(dimensions)

    def learn(self, difference: Array) -> None:
        self.weights = self.weights + difference


class LogisticLearner:
    """A step down −log σ(w·Δ), the loss of DPO, for each preference."""

    def __init__(self, dimensions: int, *, learning_rate: float = 1.0) -> None:
        self.weights: Array = np.zeros(dimensions)
        self.learning_rate = learning_rate

    def learn(self, difference: Array) -> None:
        wrong = 1 / (1 + np.exp(self.weights @ difference))
        self.weights = self.weights + self.learning_rate * wrong * difference


@dataclass(frozen=True)
class History:
    """The history of a play, a value a round. *Shapes*: all T.

    `regret` is the reward of the best candidate less that of what was shown. `gain` is the reward
    of the edit less that of the draft, 0 in a round without a preference. `premise` says whether
    the learner scored the draft at least as high as the edit, as step (5) of the proof needs.
    """

    regret: Array
    gain: Array
    premise: NDArray[np.bool_]

    @property
    def rounds(self) -> Array:
        """The numbers of the rounds, 1 … T."""
        return np.arange(1, len(self.regret) + 1, dtype=np.float64)

    @property
    def mean_regret(self) -> Array:
        """The mean regret up to each round."""
        result: Array = np.cumsum(self.regret) / self.rounds
        return result

    def slack(self, alpha: float) -> Array:
        """Return ξ_t, how far each edit falls short of α-informative; 0 where it does not."""
        result: Array = np.maximum(0.0, alpha * self.regret - self.gain)
        return result

    def identity(self, alpha: float) -> Array:
        """Return (Σ gain + Σ ξ) / (α t), never below the mean regret, whatever the learner."""
        result: Array = np.cumsum(self.gain + self.slack(alpha)) / (alpha * self.rounds)
        return result

    def bound(self, world: LinearWorld, alpha: float) -> Array:
        """Return 2 R ‖w*‖ / (α √t) + Σ ξ / (α t), for the perceptron with an exact argmax only."""
        longest = world.radius * float(np.linalg.norm(world.true_weights))
        first = 2 * longest / (alpha * np.sqrt(self.rounds))
        result: Array = first + np.cumsum(self.slack(alpha)) / (alpha * self.rounds)
        return result

    def estimated_alpha(self) -> tuple[float, float]:
        """Return α̂ = Σ gain / Σ regret where something was better, and the share of other rounds.

        α̂ is not a number where nothing ever was better.
        """
        return estimated_alpha(self.gain.tolist(), self.regret.tolist())


def play_coactive(
    world: LinearWorld,
    learner: PairwiseLearner,
    axes: FeedbackAxes,
    *,
    rounds: int,
    seed: int,
    num_candidates: int | None = None,
    num_expert_samples: int | None = None,
) -> History:
    """Play Algorithm 2: the draft is the learner's best candidate, the edit is what a user picks.

    Both choose among all candidates, or among so many drawn without replacement. An edit that is
    the draft itself is an acceptance: nothing is learned.
    """
    draws = np.random.default_rng([seed, 0])
    generator = random.Random(seed)
    history = _Recorder()
    for prompt in _prompts(world, rounds, seed):
        features, rewards = world.features[prompt], world.rewards(prompt)
        scores = features @ learner.weights
        shown = _draw_candidates(len(rewards), num_candidates, draws)
        draft = int(shown[np.argmax(scores[shown])])
        offered = _draw_candidates(len(rewards), num_expert_samples, draws)
        choice = choose_edit(rewards[offered].tolist(), float(rewards[draft]), axes, generator)
        edit = draft if choice is None else int(offered[choice])
        history.add(
            rewards.max() - rewards[draft], rewards[edit] - rewards[draft], scores, draft, edit
        )
        if edit != draft:
            learner.learn(features[edit] - features[draft])
    return history.done()


def play_dueling(
    world: LinearWorld,
    learner: PairwiseLearner,
    *,
    rounds: int,
    seed: int,
    temperature: float = 1.0,
) -> History:
    """Play duels: two candidates are drawn from softmax(score / temperature) and labelled (4.2).

    The labels have no noise. Both candidates are shown, so the regret is their mean; the worse one
    counts as the draft. Nothing is learned from ties, and from a candidate beside itself.
    """
    draws = np.random.default_rng([seed, 1])
    history = _Recorder()
    for prompt in _prompts(world, rounds, seed):
        features, rewards = world.features[prompt], world.rewards(prompt)
        scores = features @ learner.weights
        weights = np.exp((scores - scores.max()) / temperature)
        pair = draws.choice(len(rewards), size=2, p=weights / weights.sum())
        draft, edit = (int(n) for n in pair[np.argsort(rewards[pair], kind="stable")])
        gain = rewards[edit] - rewards[draft]
        history.add(rewards.max() - rewards[pair].mean(), gain, scores, draft, edit)
        if gain > 0:
            learner.learn(features[edit] - features[draft])
    return history.done()


def _prompts(world: LinearWorld, rounds: int, seed: int) -> Iterator[int]:
    """Yield the stream of prompts, which is the same for every arm of a seed."""
    yield from np.random.default_rng([seed, 2]).integers(len(world.features), size=rounds).tolist()


def _draw_candidates(
    total: int, count: int | None, generator: np.random.Generator
) -> NDArray[np.intp]:
    if count is None or count >= total:
        return np.arange(total)
    return generator.choice(total, size=count, replace=False)


class _Recorder:
    def __init__(self) -> None:
        self._rows: list[tuple[float, float, bool]] = []

    def add(self, regret: Any, gain: Any, scores: Array, draft: int, edit: int) -> None:
        self._rows.append((float(regret), float(gain), bool(scores[draft] >= scores[edit])))

    def done(self) -> History:
        regret, gain, premise = zip(*self._rows, strict=True)
        return History(np.array(regret), np.array(gain), np.array(premise))

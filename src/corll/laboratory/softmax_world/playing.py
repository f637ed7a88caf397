"""Algorithm 1 in softmax worlds: an arm played by S seeds at E learning rates at once.

The arms are those of `arms.py`. All arms of a seed meet the same prompts, and policies draw by the
same uniform numbers, so that differences are paired. Adam as in the real learner, but without
clipping, which leaves Adam's direction as it is in all but its memory of earlier steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from corll.errors import ConfigError, InputError
from corll.laboratory.arms import Arm
from corll.laboratory.softmax_world.feedback import (
    Pairs,
    Places,
    compared,
    draw_texts,
    edited,
    labelled,
    summed,
)
from corll.laboratory.softmax_world.learning import Adam, imitation_gradient, pair_gradient
from corll.laboratory.softmax_world.settings import PlaySettings
from corll.laboratory.softmax_world.world import Array, SoftmaxWorld, Standing
from corll.simulation.axes import FeedbackAxes

_PROMPTS, _POLICY, _EXPERT, _MISLABELS, _LABELS = range(5)
"""The streams of random numbers of a seed at a step."""

_LEARNER_SETTINGS = {"num_candidates", "selection", "preference_weight", "sft_weight", "sft_tokens"}


class PairMeans(NamedTuple):
    """The pairs that each step learned from, in numbers. *Shapes*: all steps × S × E.

    `gain` in R*, and the shares of pairs whose user `agrees` with R* and that point the wrong way
    (`mislabelled`), are means; `prompts` were shown and `learned` pairs learned from. `alpha` is
    what edits realised of the possible gain, and not a number where nothing could be gained.
    """

    gain: Array
    agrees: Array
    mislabelled: Array
    prompts: Array
    learned: Array
    alpha: Array


@dataclass(frozen=True)
class History:
    """The history of a play, before each step and after the last: P points of S seeds and E rates.

    *Shapes*: `preferences` P; `sampler`, `whole` (the policy without its sampler's truncation) and
    `excess` P × S × E; `last_spread`, how far texts of the last sampler differ in log π̃/π*, S × E.
    *Units*: `excess` in nats a text: KL(π̃‖π*) less the expert's own, KL(π̃*‖π*).
    """

    preferences: Array
    sampler: Standing
    whole: Standing
    excess: Array
    pairs: PairMeans
    last_spread: Array
    beta: float

    def objective(self, standing: Standing) -> Array:
        """Return J = E[R*] − β KL(·‖π_0), of `sampler` or of `whole`. *Shapes*: P × S × E."""
        result: Array = standing.reward - self.beta * standing.kl
        return result


def play(
    world: SoftmaxWorld, arm: Arm, rates: Array, settings: PlaySettings, *, seeds: Sequence[int]
) -> History:
    """Play an arm from π_0 on, one seed for each world. *Shapes*: `rates` E.

    *Raises*: ConfigError for an arm that needs more than a softmax world has; InputError where
    seeds and worlds are not as many.
    """
    _check_playable(arm)
    if len(seeds) != world.seeds:
        raise InputError(f"{world.seeds} worlds need as many seeds; {len(seeds)} were given.")
    weights = np.zeros((world.seeds, len(rates), world.features.shape[-1]))
    adam = Adam(np.asarray(rates, dtype=np.float64))
    record = _Recorder(world)
    for step in range(settings.steps):
        scores = world.scores(weights)
        probabilities = record.add_standing(world.logprobs(scores))
        turn = _Turn(seeds, step, settings, prompts=world.features.shape[1])
        pairs = _ask(world, arm, scores, probabilities, turn)
        taken = pairs.first(settings.preferences_per_step)
        record.add_pairs(pairs, taken)
        shares = taken / np.maximum(taken.sum(-1, keepdims=True), 1)
        weights = adam.step(weights, _gradient(world, arm, scores, turn.asked, pairs, shares))
    last = record.add_standing(world.logprobs(world.scores(weights)))
    return record.done(settings, world.spread(last))


class _Turn:
    """The random numbers of a step, the same for every arm of a seed."""

    def __init__(
        self, seeds: Sequence[int], step: int, settings: PlaySettings, *, prompts: int
    ) -> None:
        self.settings, self._seeds, self._step = settings, seeds, step
        self.count = round(settings.preferences_per_step * (1 + settings.spare_prompts))
        self.asked: Places = np.stack(
            [self._generator(seed, _PROMPTS).integers(prompts, size=self.count) for seed in seeds]
        )

    def uniforms(self, stream: int, *shape: int) -> Array:
        """Draw from [0, 1). *Shapes*: S × `shape`."""
        return np.stack([self._generator(seed, stream).random(shape) for seed in self._seeds])

    def _generator(self, seed: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([seed, self._step, stream, 1])


def _ask(world: SoftmaxWorld, arm: Arm, scores: Array, probabilities: Array, turn: _Turn) -> Pairs:
    """Draw texts, and ask the users of an arm about them."""
    settings, length = turn.settings, world.features.shape[2]
    rewards = world.rewards[:, None]
    k = arm.learner.get("num_candidates", settings.num_candidates)
    uniforms = turn.uniforms(_POLICY, k, turn.count, length)
    texts = draw_texts(probabilities, turn.asked, uniforms)
    if arm.feedback == "duel":
        pairs = compared(texts, rewards)
    else:
        # R_π is β θ·φ up to a term of the prompt alone; the first of equal ones is shown.
        best = summed(scores, texts).argmax(-1)[..., None, None]
        drafts = np.take_along_axis(texts, best, axis=-2)[..., 0, :]
        draws = turn.uniforms(_EXPERT, settings.num_expert_samples, turn.count, length)
        others = draw_texts(world.expert_sampler, turn.asked, draws)
        axes = arm.feedback_axes(FeedbackAxes())
        pairs = edited(drafts, others, rewards, axes, turn.uniforms(_MISLABELS, turn.count))
    if settings.bradley_terry is None:
        return pairs
    return labelled(pairs, settings.bradley_terry, turn.uniforms(_LABELS, turn.count))


def _gradient(
    world: SoftmaxWorld, arm: Arm, scores: Array, asked: Places, pairs: Pairs, shares: Array
) -> Array:
    """Return the gradient of an arm's loss, preference and imitation each by its weight."""
    preference = arm.learner.get("preference_weight", 1.0)
    imitation = arm.learner.get("sft_weight", 0.0)
    total: Array = np.zeros(())
    if preference:
        total = total + preference * pair_gradient(
            world, scores, pairs.chosen, pairs.rejected, shares
        )
    if imitation:
        total = total + imitation * imitation_gradient(world, scores, asked, pairs.chosen, shares)
    return total


def _check_playable(arm: Arm) -> None:
    unknown = set(arm.learner) - _LEARNER_SETTINGS
    if arm.feedback not in ("redraw", "duel") or arm.memory is not None or unknown:
        raise ConfigError(
            f"{arm.name!r} cannot be played in a softmax world, which has edits that are redraws, "
            "comparisons of two texts, DPO and imitation: take one of those arms."
        )


class _Recorder:
    """What a play records, point by point."""

    def __init__(self, world: SoftmaxWorld) -> None:
        self._world = world
        self._sampler: list[Standing] = []
        self._whole: list[Standing] = []
        self._pairs: list[PairMeans] = []

    def add_standing(self, logprobs: Array) -> Array:
        """Measure a policy and its sampler, and return the sampler's probabilities."""
        probabilities = self._world.sampler(logprobs)
        self._sampler.append(self._world.standing(probabilities))
        self._whole.append(self._world.standing(np.exp(logprobs)))
        return probabilities

    def add_pairs(self, pairs: Pairs, taken: NDArray[np.bool_]) -> None:
        """Record what is known of the pairs that are learned from."""
        learned = taken.sum(-1)
        count = np.maximum(learned, 1)
        shown = np.where(taken, np.arange(1, taken.shape[-1] + 1), 0).max(-1)
        improvable = taken & (pairs.possible > 0)
        possible = (pairs.possible * improvable).sum(-1)
        realised = (pairs.gain * improvable).sum(-1)
        alpha = np.full_like(possible, np.nan)
        np.divide(realised, possible, out=alpha, where=possible > 0)
        gain, agrees, wrong = (
            (values * taken).sum(-1) / count
            for values in (pairs.gain, pairs.agrees, pairs.gain < 0)
        )
        self._pairs.append(PairMeans(gain, agrees, wrong, shown, learned, alpha))

    def done(self, settings: PlaySettings, last_spread: Array) -> History:
        """Return the history of the whole play."""
        sampler, whole = (
            Standing(*(np.stack(part) for part in zip(*found, strict=True)))
            for found in (self._sampler, self._whole)
        )
        steps = np.arange(len(self._sampler), dtype=np.float64)
        return History(
            steps * settings.preferences_per_step,
            sampler,
            whole,
            sampler.expert_kl - self._world.least_expert_kl[:, None],
            PairMeans(*(np.stack(part) for part in zip(*self._pairs, strict=True))),
            last_spread,
            self._world.beta,
        )

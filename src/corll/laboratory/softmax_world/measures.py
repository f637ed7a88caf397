"""What a play in softmax worlds is judged by: exact measures, one for each seed and rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corll.laboratory.softmax_world.playing import History
from corll.laboratory.softmax_world.world import Array
from corll.laboratory.statistics import at_first_crossing


class Measures(NamedTuple):
    """The measures of a play. *Shapes*: all S × E.

    `area` is the mean height of the sampler's J over the preferences, `last` J after the last;
    `whole_area` and `whole_last` are the same of the policy without truncation. `reward`, `kl` and
    `excess` are those of the last sampler. `reward_at` is R* where the sampler first was a given
    KL from π_0, and `quarter` the preferences after which the excess over the expert's own KL was a
    quarter of the first; both are not a number where it never came so far.
    *Units*: J and R* in R*, KL and excess in nats a text.
    """

    area: Array
    last: Array
    whole_area: Array
    whole_last: Array
    reward: Array
    kl: Array
    excess: Array
    reward_at: Array
    quarter: Array


def measured(history: History, *, at_kl: float) -> Measures:
    """Judge a play. *Units*: `at_kl` in nats a text from π_0, of the sampler."""
    own, whole = history.objective(history.sampler), history.objective(history.whole)
    preferences = history.preferences
    each = np.broadcast_to(preferences[:, None, None], own.shape)
    return Measures(
        mean_height(preferences, own),
        own[-1],
        mean_height(preferences, whole),
        whole[-1],
        history.sampler.reward[-1],
        history.sampler.kl[-1],
        history.excess[-1],
        at_first_crossing(history.sampler.kl - at_kl, history.sampler.reward),
        at_first_crossing(history.excess[0] / 4 - history.excess, each),
    )


def mean_height(preferences: Array, values: Array) -> Array:
    """Return the trapezoid area of curves by their length. *Shapes*: P, P × … → …."""
    result: Array = np.trapezoid(values, preferences, axis=0) / (preferences[-1] - preferences[0])
    return result

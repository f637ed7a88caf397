"""What *ruined* and *good* mean where a gate is measured: by many fresh drafts, beforehand.

Costs are those of a sound writer. One cost is not enough: a draft of random letters or "ok" takes
fewer seconds than a long one that is hardly usable, though all has to be typed; and the typed share
alone does not see what has to be read and deleted. So a version is judged by seconds and by typed
share, ruined by either, good by both.

The version is held to the better of its parent and the base, so that ten versions in a row, each
a little worse than the one before, don't pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from corll.errors import InputError
from corll.evaluation import Interval, mean_interval
from corll.verdicts.letters import has_body

Condition: TypeAlias = Literal["ruined", "good", "unclear"]

DRAFTS = 200
"""So many fresh drafts of each are judged where nothing else is said."""

UNUSABLE = 0.1
"""A version is ruined where more than this share of its drafts are empty or loop."""

WORSE_BY = 0.1
"""A version is ruined where it is surely costlier by more than this share of the better one's cost,
and good where it is surely not."""


class Measured(NamedTuple):
    """The condition of a version, and how much more its drafts cost than the better one's."""

    condition: Condition
    excess: Interval


def measured(
    version: ArrayLike,
    parent: ArrayLike,
    base: ArrayLike,
    unusable: Sequence[bool],
    *,
    seed: int,
) -> Measured:
    """Return whether a version is ruined or good, or whether so many drafts don't tell.

    It is ruined where the 95 % interval of its excess cost lies above a tenth of the better one's
    mean cost, or more than a tenth of its drafts are `unusable`; good where it is not ruined and
    the interval lies below that. *Shapes*: n costs each, of the same prompts in the same order, n
    marks of the version's drafts. *Raises*: InputError where they are malformed.
    """
    costs = [np.asarray(one, dtype=np.float64) for one in (version, parent, base)]
    sizes = {one.shape for one in costs} | {(len(unusable),)}
    if len(sizes) > 1 or not unusable or not all(np.isfinite(one).all() for one in costs):
        raise InputError(
            "Give a finite cost of the version, of its parent and of the base for each prompt, and "
            "for each of the version's drafts whether it is unusable."
        )
    own, better = costs[0], min(costs[1:], key=lambda one: float(one.mean()))
    excess = mean_interval(own - better, seed=seed)
    bound = WORSE_BY * better.mean()
    if excess.low > bound or sum(unusable) > UNUSABLE * len(unusable):
        return Measured("ruined", excess)
    return Measured("good" if excess.high <= bound else "unclear", excess)


def judged_by(*conditions: Condition) -> Condition:
    """Return the condition by several costs: ruined by one is ruined, good by all is good.

    *Raises*: InputError where there are none.
    """
    if not conditions:
        raise InputError("Give the condition by at least one cost.")
    if "ruined" in conditions:
        return "ruined"
    return "good" if all(one == "good" for one in conditions) else "unclear"


def is_unusable(text: str, *, loops: bool) -> bool:
    """Say whether a draft is empty or loops, whatever its user's own texts are like.

    Empty is what has at most a word between greeting and closing.
    """
    return loops or not has_body(text)

"""The arms of an experiment by name: what kind of feedback is given, and how it is learned from.

    coactive-minimal-drop      the least better redraw; prompts without one are dropped (noise-free)
    coactive-minimal-anyway    the same, but the best redraw where none is better (noisy)
    coactive-alpha-A           the lowest α-informative redraw, A of the possible gain; noisy
    coactive-best              the best redraw; noisy
    coactive-edit              the draft rewritten in a few places instead of redrawn
    coactive-epsilon-E         a worse redraw on purpose with probability E
    coactive-k-K               the draft is the best of K samples by R_π
    dueling                    two samples, compared without noise
    dueling-bradley-terry      two samples; the label is drawn, by eq. 7: `mislabelled` is the share
                               of labels against R*
    dueling-best-worst         the best and the worst of as many samples as coactive draws in all
    mixed                      edits and comparisons by turns
    sft-edit                   the edits of the default arm, but supervision on them alone
    offline                    the edits of the default arm, but of π_0's drafts
    none                       nothing is learned
    temperature-T              nothing is learned; the policy's texts are drawn at temperature T
    memory-last                nothing is learned; the last texts that were sent stand in the prompt
    memory-nearest             the same with the texts that are nearest to the prompt
    KIND+LOSS+DRAFTS           a cell of the factorial, such as edit+dpo+online (`factorial.py`)
    ARM+memory                 another arm whose drafts are drawn behind past texts; which, is the
                               size's default, or said by ARM+memory-last, ARM+memory-nearest
    distil+memory              the same texts, but what is learned is to do without them (`distil`)

What a name leaves open is the size's default; for IMDB that is α = 0.6, noisy, ε = 0. A memory is
of the same cell: what it is and what is measured behind it stands in `cell_memory.py` and
`cell_metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from corll.errors import ConfigError
from corll.memory.choosing import MemorySettings
from corll.simulation.axes import FeedbackAxes, NothingBetter, Strength

FeedbackKind = Literal[
    "redraw",
    "edit",
    "matched_edit",
    "matched_redraw",
    "duel",
    "drawn_duel",
    "best_worst",
    "mixed",
    "none",
]

KINDS, LOSSES, DRAFTS = ("edit", "redraw"), ("dpo", "sft", "both"), ("online", "offline")
FACTORIAL = tuple("+".join(levels) for levels in product(KINDS, LOSSES, DRAFTS))
"""The cells of the factorial: kind of edit × loss × whose drafts."""

DEFAULT_ARM, DUELING = "coactive-alpha-0.6", "dueling"
"""The two arms of the paper's question: edits, as a size gives them by default, or comparisons."""

BRADLEY_TERRY = "dueling-bradley-terry"
"""Comparisons whose labels are drawn by the paper's eq. 7."""

_MEMORY, _DISTIL = "+memory", "distil"
_MEMORIES: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "-last": {"choice": "last"},
    "-nearest": {"choice": "nearest"},
}
"""The choices that a name with a memory may end with, and what they change of the size's."""

MEMORY_ENDINGS = tuple(f"{_MEMORY}{choice}" for choice in _MEMORIES)
"""What stands behind an arm's name where its drafts are drawn behind past texts."""

_SUPERVISED = {"preference_weight": 0.0, "sft_weight": 1.0, "sft_tokens": "all"}
_BOTH = {"sft_weight": 1.0, "sft_tokens": "all"}
_OFFLINE = {"drafts_from": "reference", "selection": "first", "num_candidates": 1}
_DISTILLED = {"learner": "distil", "learn_with_memory": False}
_COMPARED = {"selection": "first", "num_candidates": 2}

FIXED_ARMS = (
    "coactive-minimal-drop",
    "coactive-minimal-anyway",
    "coactive-alpha-0.3",
    DEFAULT_ARM,
    "coactive-best",
    "coactive-edit",
    "coactive-epsilon-0.1",
    "coactive-epsilon-0.3",
    "coactive-k-1",
    "coactive-k-3",
    "coactive-k-9",
    DUELING,
    BRADLEY_TERRY,
    "dueling-best-worst",
    "mixed",
    "sft-edit",
    "offline",
    "none",
    "temperature-0.7",
    "memory-last",
    "memory-nearest",
    f"{DEFAULT_ARM}{_MEMORY}",
    f"{_DISTIL}{_MEMORY}",
)
"""Names that are listed; those with a number take any other number too."""


@dataclass(frozen=True)
class Arm:
    """An arm: how feedback is given, and which of the learner's settings differ from the size's.

    `axes` are the changes to the size's feedback axes, `learner` those to its configuration, and
    `memory` those to its memory; where that is None, drafts are drawn without one. An arm that
    does not learn gets its feedback all the same: it is what a memory is made of.
    """

    name: str
    feedback: FeedbackKind = "redraw"
    axes: Mapping[str, Any] = field(default_factory=dict)
    learner: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] | None = None
    learns: bool = True

    def memory_settings(self, default: MemorySettings) -> MemorySettings:
        """Return which past texts stand before a prompt; `default` is the size's."""
        return MemorySettings() if self.memory is None else replace(default, **self.memory)

    def feedback_axes(self, default: FeedbackAxes) -> FeedbackAxes:
        return default.with_settings(**self.axes)


def get_arm(name: str) -> Arm:
    """Return the arm of a name. *Raises*: ConfigError, listing what there is."""
    if name in _NAMED:
        return _NAMED[name]
    base, ending = split_memory(name)
    if ending is not None:
        return _with_memory(name, base, ending)
    if name == _DISTIL:
        raise ConfigError(f"{name!r} learns what a memory brings: say {name}{_MEMORY}.")
    for prefix, build in _NUMBERED.items():
        if name.startswith(prefix):
            try:
                return build(name, name.removeprefix(prefix))
            except ValueError as error:
                raise ConfigError(f"{name!r} is no arm: {error}.") from error
    if name in FACTORIAL:
        return _factorial_arm(name)
    raise ConfigError(
        f"There is no arm {name!r}. There are: {', '.join(FIXED_ARMS)} (with other numbers too), "
        f"and {', '.join(FACTORIAL)}; and another with {' or '.join(MEMORY_ENDINGS)} behind it."
    )


def split_memory(name: str) -> tuple[str, str | None]:
    """Split an arm's name into that of the arm without a memory, and the ending that gives it one.

    The ending is None for a name without one. It need not be one that there is.
    """
    base, found, choice = name.partition(_MEMORY)
    return base, f"{found}{choice}" if found else None


def has_memory(name: str) -> bool:
    """Say whether the drafts of an arm of this name are drawn behind past texts."""
    return name in _REMEMBERING or split_memory(name)[1] is not None


def _with_memory(name: str, base: str, ending: str) -> Arm:
    if ending not in MEMORY_ENDINGS:
        raise ConfigError(f"{name!r} is no arm: a memory is one of {', '.join(MEMORY_ENDINGS)}.")
    arm = Arm(name, learner=_DISTILLED) if base == _DISTIL else get_arm(base)
    if arm.feedback == "none" or base in _REMEMBERING:
        raise ConfigError(
            f"{name!r} is no arm: those that learn nothing are {' and '.join(_REMEMBERING)}."
        )
    return replace(arm, name=name, memory=_MEMORIES[ending.removeprefix(_MEMORY)])


def _factorial_arm(name: str) -> Arm:
    kind, loss, drafts = name.split("+")
    learner: dict[str, Any] = {"dpo": {}, "sft": _SUPERVISED, "both": _BOTH}[loss]
    feedback: FeedbackKind = "matched_edit" if kind == "edit" else "matched_redraw"
    return Arm(name, feedback, learner={**learner, **(_OFFLINE if drafts == "offline" else {})})


def _alpha(name: str, number: str) -> Arm:
    return _checked(Arm(name, axes={"strength": Strength.ALPHA, "alpha": float(number)}))


def _epsilon(name: str, number: str) -> Arm:
    return _checked(Arm(name, axes={"mislabel_probability": float(number)}))


def _candidates(name: str, number: str) -> Arm:
    if int(number) < 1:
        raise ValueError("K must be at least 1")
    return Arm(name, learner={"num_candidates": int(number)})


def _temperature(name: str, number: str) -> Arm:
    temperature = float(number)
    if not 0 < temperature < math.inf:
        raise ValueError("T must be above 0")
    return Arm(name, "none", learner={"temperature": temperature})


def _checked(arm: Arm) -> Arm:
    arm.feedback_axes(FeedbackAxes())
    return arm


def _minimal(name: str, nothing_better: NothingBetter) -> Arm:
    return Arm(name, axes={"strength": Strength.MINIMAL, "nothing_better": nothing_better})


_NUMBERED: dict[str, Callable[[str, str], Arm]] = {
    "coactive-alpha-": _alpha,
    "coactive-epsilon-": _epsilon,
    "coactive-k-": _candidates,
    "temperature-": _temperature,
}
_NAMED = {
    arm.name: arm
    for arm in (
        _minimal("coactive-minimal-drop", NothingBetter.DROP),
        _minimal("coactive-minimal-anyway", NothingBetter.BEST_ANYWAY),
        Arm("coactive-best", axes={"strength": Strength.BEST}),
        Arm("coactive-edit", "edit"),
        Arm(DUELING, "duel", learner=_COMPARED),
        Arm(BRADLEY_TERRY, "drawn_duel", learner=_COMPARED),
        Arm("dueling-best-worst", "best_worst", learner={"selection": "first"}),
        Arm("mixed", "mixed"),
        Arm("sft-edit", learner=_SUPERVISED),
        Arm("offline", learner=_OFFLINE),
        Arm("none", "none"),
        Arm("memory-last", memory=_MEMORIES["-last"], learns=False),
        Arm("memory-nearest", memory=_MEMORIES["-nearest"], learns=False),
    )
}
_REMEMBERING = tuple(name for name, arm in _NAMED.items() if arm.memory is not None)

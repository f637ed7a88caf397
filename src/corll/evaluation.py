"""The evaluation of what was learned: drafts for held-out prompts, edited before and after.

A text that says nothing costs no edits. So the edit cost is shown beside the share of the prompt's
content that the drafts keep, their length, and whether they repeat themselves. Intervals are 95 %
percentile bootstraps over prompts (Efron and Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corll.edits import content_kept, distinct_2, edit_cost
from corll.errors import InputError
from corll.feedback import User, is_acceptance
from corll.records import Draft, Edit, Prompt, messages_of
from corll.text import clean_edit

RESAMPLES = 4000


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of one answered draft.

    *Units*: `edit_cost` in character operations per character of the edit, 0 for an acceptance, and
    1 where there was no feedback, as if all had been written afresh; `content_kept` the share of
    the prompt's content words that the draft holds; `words` of the draft.
    """

    edit_cost: float
    accepted: bool
    content_kept: float
    distinct_2: float
    words: int
    finished: bool

    @classmethod
    def of(cls, edit: Edit) -> Measures:
        draft, text = edit.draft, edit.text
        accepted = text is not None and is_acceptance(draft, text)
        return cls(
            edit_cost=0.0 if accepted else _cost(draft.text, text),
            accepted=accepted,
            content_kept=content_kept(question(draft.prompt), draft.text),
            distinct_2=distinct_2(draft.text),
            words=len(draft.text.split()),
            finished=draft.sample.finished,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The drafts of one policy for held-out prompts, how they were edited, and their measures."""

    edits: tuple[Edit, ...]
    measures: tuple[Measures, ...]

    @classmethod
    def of(cls, edits: Iterable[Edit]) -> Evaluation:
        kept = tuple(edits)
        return cls(edits=kept, measures=tuple(Measures.of(edit) for edit in kept))

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return one number a prompt."""
        return np.array([float(getattr(item, measure)) for item in self.measures])

    def summary(self, *, seed: int) -> dict[str, Interval]:
        """Return the mean of every measure with its interval."""
        return {
            field.name: mean_interval(self.values(field.name), seed=seed)
            for field in fields(Measures)
        }

    def records(self) -> list[dict[str, Any]]:
        """Return one plain object a prompt, for JSON lines; `from_records` reads it back."""
        return [
            {**edit.to_dict(), **asdict(measures)}
            for edit, measures in zip(self.edits, self.measures, strict=True)
        ]

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Evaluation:
        return cls.of(Edit.from_dict(record) for record in records)


def evaluate(drafts: Iterable[Draft], user: User) -> Evaluation:
    """Let the user edit the drafts for held-out prompts, and measure the edits.

    *Raises*: InputError where there are none.
    """
    edits = [Edit(draft=draft, text=user.edit(draft)) for draft in drafts]
    if not edits:
        raise InputError("An evaluation needs at least one held-out prompt.")
    return Evaluation.of(edits)


def first_samples(evaluation: Evaluation, user: User) -> Evaluation:
    """Evaluate the first candidate of each draft, unselected: what one sample is worth.

    The drafts that are shown owe something to the choice among k samples; these owe all to the
    policy.
    """
    return evaluate((replace(edit.draft, choice=0) for edit in evaluation.edits), user)


def compare(before: Evaluation, after: Evaluation, *, seed: int) -> Interval | None:
    """Return the relative change of the mean edit cost, paired by prompt; -0.5 is half of it.

    Return None where the drafts needed no edits before, since there is nothing to divide by.
    *Raises*: InputError where the two are not about the same prompts.
    """
    if [edit.draft.prompt for edit in before.edits] != [edit.draft.prompt for edit in after.edits]:
        raise InputError("Two evaluations compare only on the same prompts in the same order.")
    old, new = before.values("edit_cost"), after.values("edit_cost")
    if not old.any():
        return None
    picks = np.random.default_rng(seed).integers(len(old), size=(RESAMPLES, len(old)))
    old_means, new_means = old[picks].mean(axis=1), new[picks].mean(axis=1)
    # A resample of nothing but accepted drafts has no ratio.
    defined = old_means > 0
    changes = new_means[defined] / old_means[defined] - 1
    return _interval(float(new.mean() / old.mean() - 1), changes)


def question(prompt: Prompt) -> str:
    """Return what a prompt asks: its text, or the last message of its user."""
    content = messages_of(prompt)
    if isinstance(content, str):
        return content
    asked = [message["content"] for message in content if message["role"] == "user"]
    return asked[-1] if asked else ""


def _cost(draft: str, edited: str | None) -> float:
    return 1.0 if edited is None else edit_cost(draft, clean_edit(edited, draft))


def mean_interval(values: NDArray[np.float64], *, seed: int) -> Interval:
    """Return the mean of a sample and its interval. *Shapes*: `values` n, at least 1."""
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return _interval(float(values.mean()), values[picks].mean(axis=1))


def difference_interval(
    first: NDArray[np.float64], second: NDArray[np.float64], *, seed: int
) -> Interval:
    """Return the difference of two means, of samples drawn apart. *Shapes*: n and m, at least 1."""
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        for values in (first, second)
    ]
    return _interval(float(first.mean() - second.mean()), means[0] - means[1])


def _interval(mean: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Interval(mean, float(low), float(high))

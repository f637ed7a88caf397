"""What a new version must pass before it serves. Further checks belong into `CHECKS`.

A check is given the version as it was loaded afresh from its folder, and returns a reason against
it, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from corll.config import SamplingConfig
from corll.policy import Policy
from corll.records import Preference, Sample

_PROBES = (
    "Write a short reply to a customer whose order is late.",
    "Thank a colleague for covering your shift.",
    "Summarise in two sentences why a meeting was moved.",
    "Ask a landlord to have the heating repaired.",
)
"""Prompts that no user wrote."""

_PROBE_LENGTH = 24
_PROBE_SEED = 20_231_119
_SMALLEST_CHANGE = 1e-4
"""*Units*: nats, of a whole response; less is rounding."""


@dataclass(frozen=True)
class Examined:
    """A version under examination, loaded from its folder, and what it learned from.

    `max_drift`: nats a token by which π_0's own texts may have become unlikelier. `give_way` is
    called before each pass.
    """

    policy: Policy
    learned: Sequence[Preference]
    max_drift: float
    give_way: Callable[[], None] = lambda: None

    @cached_property
    def _probes(self) -> tuple[list[str], list[Sample]]:
        """Texts of π_0 for prompts that no user wrote."""
        self.give_way()
        with self.policy.as_reference():
            rows = self.policy.sample(
                _PROBES, 1, _PROBE_LENGTH, _PROBE_SEED, sampling=SamplingConfig()
            )
        return list(_PROBES), [row[0] for row in rows]

    @cached_property
    def probe_scores(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """log π and log π_0 of these texts, and their tokens. *Shapes*: P each."""
        prompts, samples = self._probes
        self.give_way()
        lengths = torch.tensor([float(len(sample.token_ids)) for sample in samples])
        return *self.policy.both_logprobs(prompts, samples), lengths

    @cached_property
    def learned_scores(self) -> tuple[torch.Tensor, torch.Tensor]:
        """log π and log π_0 of the edits it learned from. *Shapes*: N each."""
        self.give_way()
        prompts = [preference.prompt for preference in self.learned]
        return self.policy.both_logprobs(prompts, [p.chosen for p in self.learned])


def changes_the_logits(version: Examined) -> str | None:
    """Refuse an adapter that matches no module: it loads, and answers as the base does."""
    policy, reference = version.learned_scores
    if float((policy - reference).abs().max()) < _SMALLEST_CHANGE:
        return "the loaded adapter gives the same log-probabilities as its reference"
    return None


def stays_finite(version: Examined) -> str | None:
    """Refuse weights that overflow and so give texts no probability at all."""
    scores = torch.cat([*version.learned_scores, *version.probe_scores[:2]])
    return None if bool(scores.isfinite().all()) else "its log-probabilities are not finite"


def stays_within_budget(version: Examined) -> str | None:
    """Refuse a version that finds its reference's own texts absurd: it forgot how to write."""
    policy, reference, lengths = version.probe_scores
    drift = float((reference - policy).sum() / lengths.sum())
    if drift > version.max_drift:
        return (
            f"texts of its reference became {drift:.1f} nats a token unlikelier, over the budget "
            f"of {version.max_drift:g}"
        )
    return None


CHECKS: tuple[Callable[[Examined], str | None], ...] = (
    changes_the_logits,
    stays_finite,
    stays_within_budget,
)


def reasons_against(version: Examined) -> list[str]:
    """Return the reasons why it must not serve; none where it may."""
    return [reason for check in CHECKS if (reason := check(version)) is not None]

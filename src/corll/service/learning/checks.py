"""What a new version must pass before it serves. Further checks belong into `CHECKS`.

A check is given the version as it was loaded afresh from its folder, and returns a reason against
it, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch

from corll.config import SamplingConfig
from corll.errors import PromptTooLongError
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Preference, Prompt, Sample, text_of
from corll.service.learning.looking import Look
from corll.service.settings import ServiceSettings
from corll.verdicts import refusals
from corll.verdicts.flaws import Drawn, Habits
from corll.verdicts.policies import DRAWN_TOKENS, Asked, drawn, refusal_log_odds
from corll.verdicts.veto import half_is_enough, may_be_ruined, veto

_PROBES = (
    "Write a short reply to a customer whose order is late.",
    "Thank a colleague for covering your shift.",
    "Summarise in two sentences why a meeting was moved.",
    "Ask a landlord to have the heating repaired.",
)
"""Prompts that no user wrote."""

_OTHER_PROMPTS = (
    *_PROBES,
    "Invite a friend to a birthday dinner on Saturday.",
    "Ask a bakery whether it sells bread without nuts.",
    "Tell a neighbour that the lift will be out of order tomorrow.",
)
_FEWEST_OWN = 4
"""So many prompts of the user's are enough to look at, over and over; fewer are joined by others,
since one prompt shows nothing of a version that knows this prompt alone."""

_PROBE_LENGTH = 24
_PROBE_SEED = 20_231_119
_LOOK_SEED = 20_261_129
_SMALLEST_CHANGE = 1e-4
"""*Units*: nats, of a whole response; less is rounding."""


class Probes(NamedTuple):
    """Texts of a reference for prompts that no user wrote, and its own log π_0. *Shapes*: P."""

    samples: list[Sample]
    logprobs: torch.Tensor


class ProbeScores(NamedTuple):
    """Log π of a version and log π_0 of texts of π_0, and their tokens. *Shapes*: P each."""

    policy: torch.Tensor
    reference: torch.Tensor
    lengths: torch.Tensor

    @property
    def drift(self) -> float:
        """By how much these texts became unlikelier. *Units*: nats a token."""
        return float((self.reference - self.policy).sum() / self.lengths.sum())


@dataclass(frozen=True)
class OfReferences:
    """What does not change of references, by `Policy.reference_name`, all of one base.

    `refusals` are log-odds of refusing in nats; `probes` are texts and their scores.
    """

    refusals: dict[str, list[float]] = field(default_factory=dict)
    probes: dict[str, Probes] = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """A version under examination, loaded from its folder, and what it learned from.

    An adapter that is to be somebody's π_0 is examined too; it learned from nothing, and the base
    is its π_0.

    `max_drift`: nats a token by which π_0's own texts may have become unlikelier; `max_loosening`:
    nats by which the log-odds of refusing may have fallen. `give_way` is called before each pass,
    and of drafts before each 16 tokens.
    `looked_at` drafts are drawn on recent prompts, none with 0: those that it learned from, then
    those of `past` preferences, the latest first, each behind the exchange that stood next to it
    when it was drafted for; beside them the `parent` drafts, and π_0, and `base`, the model as it
    was loaded, where π_0 is an adapter that someone uploaded. Where they speak against the version,
    as many more of each are drawn, and all decide.
    `of_references` keeps between examinations what is computed of references alone.
    """

    policy: Policy
    learned: Sequence[Preference]
    max_drift: float
    give_way: Callable[[], None] = lambda: None
    max_loosening: float = refusals.BOUND
    looked_at: int = 0
    past: Sequence[Preference] = ()
    parent: Policy | None = None
    base: Policy | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    of_references: OfReferences = field(default_factory=OfReferences)

    @classmethod
    def by_settings(
        cls,
        settings: ServiceSettings,
        policy: Policy,
        learned: Sequence[Preference] = (),
        **others: Any,
    ) -> Examined:
        """Return weights under examination by a service's settings, but for `others`, by field."""
        asked: dict[str, Any] = {
            "max_drift": settings.max_drift,
            "max_loosening": settings.max_loosening,
            "looked_at": settings.veto_drafts,
            "sampling": settings.coactive.sampling,
        }
        return cls(policy, learned, **asked | others)

    def _probes_of(self, policy: Policy) -> Probes:
        """Return texts of π_0 for prompts that no user wrote; drawn once for each reference."""
        known, name = self.of_references.probes, policy.reference_name
        if name not in known:
            with policy.as_reference():
                rows = policy.sample(
                    _PROBES,
                    1,
                    _PROBE_LENGTH,
                    _PROBE_SEED,
                    sampling=SamplingConfig(),
                    before=self.give_way,
                )
            samples = [sample for (sample,) in rows]
            self.give_way()
            known[name] = Probes(samples, policy.reference_logprobs(_PROBES, samples))
        return known[name]

    def _scores_beside(self, policy: Policy) -> ProbeScores:
        samples, reference = self._probes_of(policy)
        self.give_way()
        lengths = torch.tensor([float(len(sample.token_ids)) for sample in samples])
        return ProbeScores(self.policy.logprobs(_PROBES, samples), reference, lengths)

    @cached_property
    def probe_scores(self) -> ProbeScores:
        """What the version thinks of texts of π_0."""
        return self._scores_beside(self.policy)

    @cached_property
    def base_scores(self) -> ProbeScores | None:
        """What it thinks of texts of the base, where π_0 is an adapter that someone uploaded."""
        return None if self.base is None else self._scores_beside(self.base)

    @cached_property
    def learned_scores(self) -> tuple[torch.Tensor, torch.Tensor]:
        """log π and log π_0 of the edits it learned from. *Shapes*: N each."""
        if not self.learned:
            return torch.empty(0), torch.empty(0)
        self.give_way()
        prompts = [preference.prompt for preference in self.learned]
        return self.policy.both_logprobs(prompts, [p.chosen for p in self.learned])

    @cached_property
    def latest(self) -> list[Preference]:
        """What it learned from and what was learned before, the latest first."""
        return [*reversed(self.learned), *reversed(self.past)]

    @cached_property
    def sent(self) -> list[Exchange]:
        """What its user sent, the latest first."""
        return [Exchange(one.prompt, text_of(one.chosen)) for one in self.latest]

    @cached_property
    def own_look(self) -> Look:
        """Drafts of the version."""
        return self.look_of(self.policy)

    @cached_property
    def parent_look(self) -> Look:
        """Drafts of its parent, where it has one."""
        assert self.parent is not None
        return self.look_of(self.parent)

    @cached_property
    def reference_looks(self) -> list[Look]:
        """Drafts of what no version must be worse than: π_0 and the base."""
        others = [self.policy] if self.base is None else [self.policy, self.base]
        return [self.look_of(one, as_reference=True) for one in others]

    @cached_property
    def other_looks(self) -> list[Look]:
        """Drafts of what it must not be worse than: its parent, π_0 and the base."""
        parents = [] if self.parent is None else [self.parent_look]
        return [*parents, *self.reference_looks]

    @cached_property
    def habits(self) -> Habits:
        """What its user's texts are like."""
        return Habits.of(self.sent)

    @cached_property
    def ruin(self) -> str | None:
        """The reason against it by its drafts; None where there is none, or nothing to look at."""
        if not self.to_look_at or stays_finite(self) is not None:
            return None
        half = -(-self.looked_at // 2)
        # Where a single draft may tell a number all are needed, and drawn in one batch.
        if not self.habits.secrets and half_is_enough(
            self.own_look.first(half), self.looked_at, self.habits
        ):
            return None
        return self._reason_against(self.own_look, self.other_looks)

    def ruin_of(self, look: Look) -> str | None:
        """Return the reason against an ancestor by its drafts for these prompts, if there is one.

        They are held to those of π_0 and of the base.
        """
        return self._reason_against(look, self.reference_looks)

    def _reason_against(self, look: Look, others: Sequence[Look]) -> str | None:
        """Return the reason against drafts that stands when as many more of each are looked at."""
        reason: str | None = None
        for count in (self.looked_at, 2 * self.looked_at):
            drafts = look.first(count)
            if not may_be_ruined(drafts, self.habits):
                return None
            reason = veto(drafts, [other.first(count) for other in others], self.habits)
            if reason is None:
                return None
        return reason

    def look_of(self, policy: Policy, *, as_reference: bool = False) -> Look:
        """Return drafts of a policy, or of its π_0, for what is looked at, by seeds that all share.

        More than are looked at are of the same prompts over again.
        """

        def draw(start: int, stop: int) -> list[Drawn]:
            asked = [self.to_look_at[n % len(self.to_look_at)] for n in range(start, stop)]
            with policy.as_reference() if as_reference else nullcontext():
                return drawn(
                    policy,
                    asked,
                    seed=_LOOK_SEED + start,
                    sampling=self.sampling,
                    before=self.give_way,
                )

        return Look(draw)

    @cached_property
    def to_look_at(self) -> list[Asked]:
        """Recent prompts that leave room for a draft; as many as are looked at, or none.

        A prompt is asked as it was drafted for the last time: behind the exchange next to it, if
        that has room, or alone. Where a user has fewer than four, prompts that no user wrote join
        them; none do where a user has some and none of them leaves room.
        """
        found: list[Asked] = []
        for one in self.latest:
            is_new = all(one.prompt != other.prompt for other in found)
            if is_new and self._has_room(one.prompt):
                found.append(Asked(one.prompt, self._memory_of(one)))
        if len(found) < _FEWEST_OWN and (found or not self.latest):
            found += [Asked(prompt) for prompt in _OTHER_PROMPTS if self._has_room(prompt)]
        found = found[: self.looked_at]
        return [found[n % len(found)] for n in range(self.looked_at)] if found else []

    def _memory_of(self, preference: Preference) -> tuple[Exchange, ...]:
        """Return what of a preference's memory is looked behind: what stands next to its prompt.

        Each letter takes as long to read as a draft to draw; one shows whether a version that is
        sound without letters is ruined behind them.
        """
        memory_within = self.policy.codec.memory_within
        return memory_within(preference.prompt, preference.memory[-1:], room=DRAWN_TOKENS)

    def _has_room(self, prompt: Prompt) -> bool:
        codec = self.policy.codec
        try:
            codec.check_room([codec.encode_prompt(prompt)], DRAWN_TOKENS)
        except PromptTooLongError:
            return False
        return True


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
    """Refuse a version that finds texts of its reference, or of the base, absurd: it forgot how to
    write, or never knew.
    """
    beside = (("its reference", version.probe_scores), ("the base", version.base_scores))
    for whose, scores in beside:
        if scores is not None and scores.drift > version.max_drift:
            return (
                f"texts of {whose} became {scores.drift:.1f} nats a token unlikelier, over the "
                f"budget of {version.max_drift:g}"
            )
    return None


def is_not_ruined(version: Examined) -> str | None:
    """Refuse a version whose drafts on recent prompts loop, say nothing, or lost what was asked."""
    return version.ruin


def refuses_as_before(version: Examined) -> str | None:
    """Refuse a version that refuses less than its reference, where that refuses at all."""
    known, name = version.of_references.refusals, version.policy.reference_name
    if name not in known:
        version.give_way()
        with version.policy.as_reference():
            known[name] = refusal_log_odds(version.policy)
    if not refusals.is_applicable(known[name]):
        return None
    version.give_way()
    own = refusal_log_odds(version.policy)
    return refusals.reason_against(refusals.compared(known[name], own, bound=version.max_loosening))


CHECKS: tuple[Callable[[Examined], str | None], ...] = (
    changes_the_logits,
    stays_finite,
    stays_within_budget,
    is_not_ruined,
    refuses_as_before,
)


def reasons_against(
    version: Examined, checks: Sequence[Callable[[Examined], str | None]] | None = None
) -> list[str]:
    """Return the reasons why it must not serve, by all checks or by these; none where it may."""
    asked = CHECKS if checks is None else checks
    return [reason for check in asked if (reason := check(version)) is not None]

"""What one edit of a log says of each arm: the surprisal of what was inserted, and R_π.

What was sent is scored, and nothing is drafted anew: a sent text holds the words of the draft that
it was made of, so that a draft of another arm would be far from it whatever it is worth. Inserted
tokens are those that no draft brought, and they stand in the same text for every arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, NamedTuple

from torch import Tensor

from corll.errors import InputError
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Prompt, Sample
from corll.verdicts.surprisal import inserted_surprisal
from corll.verdicts.tokens import origins

ReplayArm = Literal["base", "memory", "sft", "coactive", "both"]
"""The base alone; behind past letters; what was learned by supervision on the edits; what the
configured learner learned; and that behind past letters."""

WITH_MEMORY: frozenset[ReplayArm] = frozenset({"memory", "both"})
LEARNED_BY: Mapping[ReplayArm, str] = {"sft": "sft", "coactive": "coactive", "both": "coactive"}
"""Whose weights an arm drafts with; those of the base where it is not here."""

Outcome = Literal["edit", "accepted", "left out"]


@dataclass(frozen=True, slots=True)
class ArmScore:
    """The scores of an edit under one arm.

    `margin` is R_π(sent) − R_π(draft) = β log [π(sent)/π(draft) · π_0(draft)/π_0(sent)], with π of
    the arm after what stands before its prompt, and π_0 the base after the prompt alone. The base
    itself has none.
    *Units*: `surprisal` in nats an inserted token, None where none was inserted; `margin` in nats.
    """

    surprisal: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class ScoredEdit:
    """An edit of a log and what it says of each arm, before any of them learned from it.

    `number` counts the edits of its user from 1, and `line` is its place in the log. An edit that
    was left out says why in `reason`; one that was scored and not learned from says so in `unfit`.
    """

    user: str
    number: int
    line: int
    outcome: Outcome
    inserted: int = 0
    arms: Mapping[ReplayArm, ArmScore] = field(default_factory=dict)
    reason: str | None = None
    unfit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the edit as JSON holds it, for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ScoredEdit:
        """Return an edit from what `to_dict` gave. *Raises*: KeyError, TypeError."""
        arms = {name: ArmScore(**score) for name, score in fields["arms"].items()}
        return cls(**{**fields, "arms": arms})


class Sides(NamedTuple):
    """The log-probabilities of what was sent, and of it beside its draft, under one policy.

    *Shapes*: `tokens` T. *Units*: nats; `ratio` is log π(sent)/π(draft).
    """

    tokens: Tensor
    ratio: float


def base_sides(base: Policy, *, prompt: Prompt, draft: Sample, sent: Sample) -> Sides:
    """Return the sides of an edit under the base, for whoever scores it more than once.

    *Raises*: InputError where the weights give no finite numbers.
    """
    return _sides(base, base.codec.encode_prompt(prompt), sent, draft, as_base=True)


def score_edit(
    base: Policy,
    learned: Mapping[str, Policy],
    arms: Sequence[ReplayArm],
    *,
    prompt: Prompt,
    draft: Sample,
    sent: Sample,
    memory: Sequence[Exchange],
    beta: float,
    of_base: Sides | None = None,
) -> tuple[int, dict[ReplayArm, ArmScore]]:
    """Return how many tokens were inserted, and what the edit says of each arm.

    `learned` has the policies by the names of `LEARNED_BY`, which share the weights of `base`.
    `sent` has the ids of `TokenCodec.encode_edit`. Of a memory the earliest exchanges are left out
    where the context has no room. `of_base` is what `base_sides` gave for this edit, if known.
    *Raises*: InputError where prompt and texts do not fit, or weights give no finite numbers.
    """
    codec = base.codec
    room = max(len(draft.token_ids), len(sent.token_ids))
    alone = codec.encode_prompt(prompt)
    behind = codec.encode_behind(prompt, memory, room=room)[1] if memory else alone
    for ids in (sent.token_ids, draft.token_ids):
        codec.check_fits(alone, ids)
    inserted = origins(draft.token_ids, sent.token_ids, codec.end_ids).inserted
    found: dict[tuple[str, bool], Sides] = {} if of_base is None else {("", False): of_base}

    def sides(arm: ReplayArm) -> Sides:
        name, remembers = LEARNED_BY.get(arm, ""), arm in WITH_MEMORY and bool(memory)
        key = name, remembers
        if key not in found:
            policy, ids = learned.get(name, base), behind if remembers else alone
            found[key] = _sides(policy, ids, sent, draft, as_base=not name)
        return found[key]

    base_ratio = sides("base").ratio
    scores: dict[ReplayArm, ArmScore] = {}
    for arm in arms:
        tokens, ratio = sides(arm)
        surprisal = inserted_surprisal(tokens.clamp(max=0.0).tolist(), inserted)
        scores[arm] = ArmScore(surprisal, None if arm == "base" else beta * (ratio - base_ratio))
    return sum(inserted), scores


def _sides(
    policy: Policy, prompt_ids: tuple[int, ...], sent: Sample, draft: Sample, *, as_base: bool
) -> Sides:
    items = [policy.pack(prompt_ids, [sent.token_ids, draft.token_ids])]

    def forward(max_tokens: int) -> list[Tensor]:
        passes = policy.passes(items, max_tokens)
        if as_base:
            with policy.as_reference():
                return passes.forward()[0]
        with policy.active():
            return passes.forward()[0]

    tokens, others = policy.token_budget().attempt(items, forward)
    ratio = float(tokens.double().sum() - others.double().sum())
    if not isfinite(ratio):
        raise InputError("The weights give no finite log-probabilities of this edit.")
    return Sides(tokens.cpu(), ratio)

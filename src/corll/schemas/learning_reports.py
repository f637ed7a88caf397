"""What learning brought a user: answered drafts, their cost, the blind measurement, the arms."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from corll.schemas.answers import Interval
from corll.schemas.bodies import Answer, left_out
from corll.schemas.states import ArmChoice
from corll.verdicts.anytime import Verdict
from corll.verdicts.arms import Arm


class AnsweredDraft(Answer):
    """How one draft was answered."""

    created_at: float = Field(description="When it was answered, in seconds since 1970.")
    version_number: int | None = Field(description="The version that drafted.")
    held_back: bool = Field(description="Whether the reference drafted in a version's place.")
    blind: bool = Field(description="Whether chance decided who drafted.")
    accepted: bool = Field(description="Whether the draft was sent as it was.")
    edit_cost: float = Field(description="Characters changed per character sent.")
    arm: Arm | None = Field(
        description="Which arm drafted; null where a model was named, and for what is older."
    )


class CostFigure(Interval):
    """A mean edit cost with its 95 % interval."""

    count: int = Field(description="Drafts that were answered.")
    accepted: float = Field(description="Share of them that were sent as they were.")


class Benefit(Answer):
    """Drafts of which chance decided, unseen, whether a version or the reference wrote them."""

    learned: CostFigure = Field(description="Those of versions.")
    held_back: CostFigure = Field(description="Those of the reference.")
    difference: Interval = Field(description="Below 0 where learning saves edits.")


class ArmFigure(CostFigure):
    """What drafts of an arm cost, on which the coin decided in its present trial."""

    arm: Arm = Field(description="The arm.")


class DecidedTrial(Answer):
    """A trial between two arms that the coin decided."""

    winner: Arm = Field(description="The arm that served from then on.")
    loser: Arm = Field(description="The other one.")
    drafts: int = Field(description="The drafts that decided it.")
    decided_at: float = Field(description="When that was, in seconds since 1970.")
    upstream: str | SkipJsonSchema[None] = left_out(
        "The model of another service that wrote these; left out where our own did."
    )


class Arms(Answer):
    """Which arm drafts for a user, and what is known of it from drafts that a coin decided on.

    An arm is `base`, `memory` (behind past letters), `weights` (what was learned) or `both`. Where
    an upstream drafts, `base` is the bare upstream and `weights` its candidates, reranked.
    """

    choice: ArmChoice = Field(description="What was chosen; `auto` leaves it to the coin.")
    serving: Arm = Field(description="The arm that drafts, where there is what it needs.")
    challenger: Arm | None = Field(description="The arm that is tried beside it; null for none.")
    share: float = Field(description="The challenger's share of drafts, 0 to 1.")
    verdict: Verdict = Field(
        description="Whether the challenger is better, by the coin's drafts alone."
    )
    costs: list[ArmFigure] = Field(description="Of the present trial, by arm.")
    difference: Interval | None = Field(
        description="Edit cost of the challenger less that of the arm that serves, below 0 where "
        "the challenger saves edits; null while either has none."
    )
    decided: list[DecidedTrial] = Field(description="Earlier trials in order.")
    learned: Verdict = Field(
        description="Whether the latest edits would have been easier with what was learned, by "
        "free evidence, which decides on no arm."
    )
    letters: Verdict = Field(description="The same of past letters before the request.")


class LearningReport(Answer):
    """What learning brought a user. Figures are null while there is nothing to average."""

    object: Literal["learning"] = Field(description="What this is.")
    answers: list[AnsweredDraft] = Field(description="Every answered draft, in order.")
    edit_cost: CostFigure | None = Field(description="Of all of them.")
    edit_cost_learned: CostFigure | None = Field(description="Of those that versions wrote.")
    edit_cost_held_back: CostFigure | None = Field(description="Of those that were held back.")
    benefit: Benefit | None = Field(description="The two sides of the blind measurement.")
    arms: Arms = Field(description="Which arm drafts, and how it compares with another.")

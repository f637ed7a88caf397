"""What users' weights start from, and how a start from an adapter stands."""

from __future__ import annotations

from pydantic import Field

from corll.schemas.bodies import Answer
from corll.schemas.states import ReferenceKind, StartState


class ReferenceName(Answer):
    """A frozen model that users' versions start from."""

    number: int = Field(description="Its number among all references, counted from 1.")
    kind: ReferenceKind = Field(description="Whether it is the base or an adapter.")
    name: str = Field(description="What it is called.")


class OwnReference(ReferenceName):
    """The frozen model that a user's versions start from."""

    examined: bool = Field(
        description="Whether it passed an examination before it served; the base needs none."
    )


class ReferenceStart(Answer):
    """A start from an adapter that does not serve: what served before goes on."""

    reference: ReferenceName = Field(description="What the user was to start from.")
    state: StartState = Field(description="`examining`, or `rejected`.")
    reasons: list[str] = Field(description="Why it was rejected.")
    asked_at: float = Field(description="When it was asked for, in seconds since 1970.")

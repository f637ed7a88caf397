"""The events of GET /v1/events, by the names under which they are sent."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pydantic import Field

from corll.schemas.bodies import Answer
from corll.schemas.states import FeedbackState, ImportState, StartState, VersionState


class VersionEvent(Answer):
    """A version of the user's has come to another state."""

    kind: ClassVar[str] = "version"

    number: int = Field(description="The version's number, counted from 1.")
    state: VersionState = Field(description="Its state now.")


class EditEvent(Answer):
    """An edit of the user's was taken."""

    kind: ClassVar[str] = "edit"

    id: str = Field(description="The edit's id.")
    state: FeedbackState = Field(description="Its state now.")
    edit_cost: float = Field(description="Characters changed per character sent.")


class ImportEvent(Answer):
    """An import of the user's got further."""

    kind: ClassVar[str] = "import"

    id: str = Field(description="The import's id.")
    state: ImportState = Field(description="Its state now.")
    used: int = Field(description="Texts that were learned from or measured with so far.")
    total: int = Field(description="Texts that were handed over.")


class StartEvent(Answer):
    """The user's start from a reference has come to another state."""

    kind: ClassVar[str] = "start"

    reference: int = Field(description="The reference's number.")
    name: str = Field(description="What the reference is called.")
    state: StartState = Field(description="How far the start has come.")


Event: TypeAlias = VersionEvent | EditEvent | ImportEvent | StartEvent

EVENTS: tuple[type[Event], ...] = (VersionEvent, EditEvent, ImportEvent, StartEvent)
"""All kinds of events."""

"""What was deleted, which weights went with it, and what serves without it: never with a text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from corll.schemas.answers import Listed
from corll.schemas.bodies import Answer
from corll.schemas.states import Deletable, DeletionKind, ReplayState


class DeletedCounts(Answer):
    """How much was deleted."""

    drafts: int = Field(0, description="Drafts, with their prompts and candidates.")
    edits: int = Field(0, description="Edits, the earlier ones of the same text included.")
    comparisons: int = Field(0, description="Comparisons of drafts.")
    preferences: int = Field(0, description="Pairs to learn from.")
    imported_texts: int = Field(0, description="Texts of imports.")


class ErasedVersion(Answer):
    """A version that saw what was deleted: its weights are gone."""

    user: str = Field(description="The id of its user.")
    number: int = Field(description="Its number among that user's versions.")
    id: str = Field(description="The version's id.")
    manifest_sha256: str | None = Field(description="The SHA-256 of its folder's manifest.")


class CleanVersion(Answer):
    """A version that never saw what was deleted."""

    number: int = Field(description="Its number among the user's versions.")
    id: str = Field(description="The version's id.")
    manifest_sha256: str | None = Field(description="The SHA-256 of its folder's manifest.")


class Replay(Answer):
    """What is learned again without what was deleted."""

    state: ReplayState = Field(description="How far it is.")
    edits: int = Field(description="Preferences that are to be learned again.")
    seconds: float | None = Field(
        description="How long that takes, by the steps of the same weights; null where unknown."
    )
    differs: list[str] = Field(
        default_factory=list,
        description="Where it could not be computed as before, so that last bits may differ: by "
        "other instructions, device or precision.",
    )


class Receipt(Answer):
    """What a deletion did. It holds no text, and is kept after its user is gone."""

    object: Literal["deletion"] = Field(description="What this is.")
    id: str = Field(description="The deletion's id.")
    kind: DeletionKind = Field(description="What was deleted.")
    subject: str = Field(description="The id of what was deleted.")
    user: str = Field(description="The id of the user.")
    deleted_at: float = Field(description="When, in seconds since 1970.")
    until: float | None = Field(
        None,
        description="Of kind `age`: the texts of that time and before went, in seconds since 1970.",
    )
    counts: DeletedCounts = Field(description="How many rows of each kind went.")
    erased: list[ErasedVersion] = Field(description="Versions that saw it, erased.")
    references: list[int] = Field(
        description="Numbers of references that were made of such a version, erased too."
    )
    stands_in: CleanVersion | None = Field(
        description="What serves from the request on; null for the reference, with nothing learned."
    )
    replay: Replay = Field(description="What is learned again without it.")
    first_without: CleanVersion | None = Field(
        description="The version that learned the rest without it, once that serves."
    )
    drafts_of_erased: int = Field(
        description="Drafts that stay though an erased version wrote them: they may repeat it."
    )
    drafts_behind: int = Field(
        description="Drafts that stay though it stood before their prompts: they may repeat it."
    )
    cleaned: bool = Field(
        description="Whether its bytes are gone from folders and database; else the next start of "
        "the service goes on."
    )
    sha256: str = Field(description="The SHA-256 of what does not change of this receipt.")


class Receipts(Listed[Receipt]):
    """A user's deletions, the newest first."""


class Forgotten(Answer):
    """Something that is gone from now on or, in a dry run, would be."""

    id: str = Field(description="What was deleted.")
    object: Deletable = Field(description="What kind of thing it was.")
    deleted: bool = Field(description="False in a dry run.")
    receipt: Receipt = Field(description="What was deleted with it, and what serves now.")

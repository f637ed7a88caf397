"""What a client was told, and what it asked for without being told that it was done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SentEdit:
    """An edit that was sent; `id` is None until it was acknowledged.

    `mark` stands in its text and nowhere else, `prompt_mark` in the prompt of its draft.
    """

    user: str
    draft_id: str
    text: str
    mark: str
    prompt_mark: str
    id: str | None = None
    is_deleted: bool = False


@dataclass
class SentImport:
    """An import that was sent; `marks` stand in its texts. `id` as of `SentEdit`."""

    user: str
    marks: list[str]
    id: str | None = None
    is_deleted: bool = False


@dataclass
class SentDeletion:
    """A deletion that was asked for: of which thing, and which marks go with it."""

    path: str
    marks: list[str]
    receipt: str | None = None
    is_done: bool = False


@dataclass
class Ledger:
    """All of it, of all users. `marked` counts the marks that were given."""

    drafts: list[str] = field(default_factory=list)
    edits: list[SentEdit] = field(default_factory=list)
    imports: list[SentImport] = field(default_factory=list)
    deletions: list[SentDeletion] = field(default_factory=list)
    marked: int = 0

    def mark(self) -> str:
        """Return a number that no other text has."""
        self.marked += 1
        return f"{70_000_000 + 7919 * self.marked}"

    def edits_of(self, user: str) -> list[SentEdit]:
        """Return the edits of a user that were acknowledged and stand."""
        return [one for one in self.edits if one.user == user and one.id and not one.is_deleted]

"""Step 2 of Algorithm 1: the user turns a draft into an edit, or sends it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from corll.moved import from_elsewhere
from corll.records import Draft, Edit
from corll.text import same_text


@runtime_checkable
class User(Protocol):
    """Whoever answers a draft: a person at a terminal, a rule, an expert policy."""

    def edit(self, draft: Draft) -> str | None:
        """Return the text that the user sends instead of the draft.

        The draft's own text is an acceptance; None is no feedback at all. The edit need not be
        good, only better than the draft (paper, section 3).
        """
        ...


@runtime_checkable
class BatchUser(Protocol):
    """A user that answers many drafts at once, since it is a model itself, or several people."""

    def edits(self, drafts: Sequence[Draft]) -> Sequence[Edit]:
        """Return an answer to each draft, in order.

        Where the user chose among the candidates that were drawn, the answer's draft says by its
        `choice` which of them is the worse one.
        """
        ...


class UserLeftError(Exception):
    """Raised by a `User` who stops for today; the loop ends and nothing is lost."""


def is_acceptance(draft: Draft, edited_text: str) -> bool:
    """Say whether the user sent the draft as it was."""
    return same_text(draft.text, edited_text)


def __getattr__(name: str) -> Any:
    return from_elsewhere(__name__, name)

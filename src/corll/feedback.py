"""Step 2 of Algorithm 1: the user turns a draft into an edit, or sends it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from corll.edits import normalize, same_text
from corll.errors import InputError
from corll.records import Draft, Edit

_ALLOWED_CONTROLS = frozenset("\n\t")


@runtime_checkable
class User(Protocol):
    """Whoever answers a draft: a person at a terminal, a rule, an expert policy."""

    def edit(self, draft: Draft) -> str | None:
        """The text that the user sends instead of the draft.

        The draft's own text is an acceptance; None is no feedback at all. The edit need not be
        good, only better than the draft (paper, section 3).
        """
        ...


@runtime_checkable
class BatchUser(Protocol):
    """A user that answers many drafts at once, since it is a model itself, or several people."""

    def edits(self, drafts: Sequence[Draft]) -> Sequence[Edit]:
        """An answer to each draft, in order.

        Where the user chose among the candidates that were drawn, the answer's draft says by its
        `choice` which of them is the worse one.
        """
        ...


class UserLeftError(Exception):
    """Raised by a `User` who stops for today; the loop ends and nothing is lost."""


def is_acceptance(draft: Draft, edited_text: str) -> bool:
    """Whether the user sent the draft as it was."""
    return same_text(draft.text, edited_text)


def clean_edit(edited_text: str) -> str:
    """The edit as it is learned from: LF line ends, NFC, no trailing white space.

    *Raises*: InputError where the text is empty or holds control characters.
    """
    text = normalize(edited_text)
    if not text.strip():
        raise InputError(
            "The edit is empty, and an empty text would teach the model to say nothing. "
            "Send the draft as it is to accept it, or give no feedback (None)."
        )
    bad = sorted(set(filter(is_forbidden_control, text)))
    if bad:
        names = ", ".join(f"U+{ord(c):04X}" for c in bad)
        raise InputError(f"The edit has control characters ({names}); remove them and send again.")
    return text


def is_forbidden_control(character: str) -> bool:
    """Whether a character is a control character that no edit may hold."""
    is_control = ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0
    return is_control and character not in _ALLOWED_CONTROLS


def drop_control_characters(text: str) -> str:
    """The text without the control characters that `clean_edit` refuses."""
    return "".join(c for c in text if not is_forbidden_control(c) or c == "\r")

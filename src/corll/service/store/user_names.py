"""What a user can be called: by it requests and paths name them, and it looks like nobody's id."""

from __future__ import annotations

import unicodedata

from corll.service.store.rows import is_id

LONGEST_NAME = 64

_OF_PATHS = frozenset({"me", ".", ".."})
"""Names that mean something else in a path: the key's own user, this folder, the one above."""


def is_name(text: str) -> bool:
    """Say whether anybody may be called so, those included who were made before."""
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST_NAME


def why_no_name(text: str) -> str | None:
    """Return why no new user can be called so; None where one can."""
    if not is_name(text):
        return f"A user's name has 1 to {LONGEST_NAME} printable characters."
    if is_id("user", text):
        return f"{text!r} is no name: ids look like that, and it is the id of no user here."
    if text in _OF_PATHS:
        return f"{text!r} is no user's name: in a path such as /v1/users/NAME it means another."
    return None


def forms_of(name: str) -> list[str]:
    """Return a name in each form of Unicode, first as it is, then as new users have it."""
    return [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]


def settled(name: str) -> str:
    """Return a name as new users have it, in NFC."""
    return unicodedata.normalize("NFC", name)

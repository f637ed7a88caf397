"""Prompts as they were stored with their drafts."""

from __future__ import annotations

from corll.records import Prompt, Verbatim


def as_prompt(stored: object, kind: str) -> Prompt:
    """Return a stored prompt: messages, or a text; of kind `text` it is continued verbatim."""
    if isinstance(stored, str):
        return Verbatim(stored) if kind == "text" else stored
    assert isinstance(stored, list)
    return stored

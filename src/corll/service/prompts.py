"""Prompts as they were stored with their drafts."""

from __future__ import annotations

from corll.records import Prompt, Verbatim


def as_prompt(stored: object, kind: str) -> Prompt:
    """Return a stored prompt as it was drafted for: rendered by the same template kwargs.

    Where none were stored, none were given. Of kind `text` a prompt is continued verbatim.
    """
    if isinstance(stored, str):
        return Verbatim(stored) if kind == "text" else stored
    if isinstance(stored, list):
        return {"messages": stored, "chat_template_kwargs": {}}
    assert isinstance(stored, dict)
    return {
        "messages": stored["messages"],
        "chat_template_kwargs": stored["chat_template_kwargs"],
    }

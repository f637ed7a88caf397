"""Exchanges: what was asked and what was sent, as turns of a conversation before a new request."""

from __future__ import annotations

from collections.abc import Sequence

from corll.records import (
    SYSTEM_ROLES,
    Exchange,
    Message,
    Prompt,
    Verbatim,
    messages_of,
    template_kwargs_of,
    turns_of,
)

__all__ = ["Exchange", "is_single", "texts_of", "with_memory"]


def with_memory(prompt: Prompt, memory: Sequence[Exchange]) -> Prompt:
    """Return a prompt with exchanges as turns before it, behind what its system message says.

    A text becomes the user's turn of a conversation. What the chat template is told stays.
    *Raises*: InputError for a text that is continued as it stands, which has no turns.
    """
    if not memory:
        return prompt
    own = turns_of(prompt)
    first = next(
        (n for n, message in enumerate(own) if message["role"] not in SYSTEM_ROLES), len(own)
    )
    turns = [turn for exchange in memory for turn in exchange.turns]
    messages: list[Message] = [*own[:first], *turns, *own[first:]]
    told = template_kwargs_of(prompt)
    return messages if told is None else {"messages": messages, "chat_template_kwargs": told}


def is_single(prompt: Prompt) -> bool:
    """Say whether a prompt is one thing that is asked, and no conversation under way.

    A system message may stand before it. A text that is continued as it stands is none.
    """
    content = messages_of(prompt)
    if isinstance(content, str):
        return not isinstance(content, Verbatim)
    return [turn["role"] for turn in content if turn["role"] not in SYSTEM_ROLES] == ["user"]


def texts_of(prompt: Prompt) -> list[str]:
    """Return all that a prompt says, message by message."""
    content = messages_of(prompt)
    return [content] if isinstance(content, str) else [turn["content"] for turn in content]

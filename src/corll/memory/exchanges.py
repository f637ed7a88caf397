"""Exchanges: what was asked and what was sent, as turns of a conversation before a new request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corll.errors import InputError
from corll.records import Message, Prompt, Verbatim, messages_of, template_kwargs_of

_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the text that was sent in answer to it.

    `id` names the edit that the text comes from; it is empty for an example of our own.
    """

    prompt: Prompt
    text: str
    id: str = ""

    @property
    def turns(self) -> list[Message]:
        """Return the conversation with its answer, without what its system message says."""
        said = [message for message in _messages(self.prompt) if message["role"] not in _SYSTEM]
        return [*said, {"role": "assistant", "content": self.text}]


def with_memory(prompt: Prompt, memory: Sequence[Exchange]) -> Prompt:
    """Return a prompt with exchanges as turns before it, behind what its system message says.

    A text becomes the user's turn of a conversation. What the chat template is told stays.
    *Raises*: InputError for a text that is continued as it stands, which has no turns.
    """
    if not memory:
        return prompt
    own = _messages(prompt)
    first = next((n for n, message in enumerate(own) if message["role"] not in _SYSTEM), len(own))
    turns = [turn for exchange in memory for turn in exchange.turns]
    messages: list[Message] = [*own[:first], *turns, *own[first:]]
    told = template_kwargs_of(prompt)
    return messages if told is None else {"messages": messages, "chat_template_kwargs": told}


def texts_of(prompt: Prompt) -> list[str]:
    """Return all that a prompt says, message by message."""
    content = messages_of(prompt)
    return [content] if isinstance(content, str) else [turn["content"] for turn in content]


def _messages(prompt: Prompt) -> Sequence[Message]:
    """Return a prompt as turns. *Raises*: InputError where it has none."""
    content = messages_of(prompt)
    if isinstance(content, Verbatim):
        raise InputError(
            "A text that is continued as it stands has no turns, so no memory can stand before it; "
            "ask for an answer to a conversation, or without a memory."
        )
    return [{"role": "user", "content": content}] if isinstance(content, str) else content

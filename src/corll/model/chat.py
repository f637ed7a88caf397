"""Conversations as a model reads them: its chat template, and what that says of a response.

A template says by which token a turn ends, and after what text a response begins.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from corll.errors import InputError
from corll.model.bounded_templates import render
from corll.records import Message
from corll.text import check_characters

THINKING = "enable_thinking"
"""The variable by which templates of hybrid thinkers (Qwen3, SmolLM3) are told whether to think."""

_ANSWER = "Certainly"
_DEEPEST = 32
_OF_THE_ENVIRONMENT = {"messages", "raise_exception", "strftime_now"}


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer. `enable_thinking` is the default of that variable."""

    tokenizer: Any
    enable_thinking: bool = False

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What the template is told where a prompt says nothing: only what it asks for."""
        template = self.tokenizer.chat_template
        texts = template.values() if isinstance(template, Mapping) else [template]
        asks = any(THINKING in str(text) for text in texts)
        return {THINKING: self.enable_thinking} if asks else {}

    @cached_property
    def reserved(self) -> frozenset[str]:
        """Names that the renderer sets by itself, or that steer the renderer."""
        parameters = inspect.signature(self.tokenizer.apply_chat_template).parameters.values()
        named = {p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}
        return frozenset(named | set(self.tokenizer.special_tokens_map) | _OF_THE_ENVIRONMENT)

    def render(
        self,
        messages: Sequence[Message],
        kwargs: Mapping[str, Any] | None = None,
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """Return a conversation as the text that the model continues.

        *Raises*: InputError with the template's own words where it refuses the conversation.
        """
        told = self.defaults if kwargs is None else kwargs
        # The variables are those of `apply_chat_template`.
        variables = {
            **self.tokenizer.special_tokens_map,
            **told,
            "messages": [_given(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return render(self.tokenizer.get_chat_template(), variables)
        # A template is a program that came with the model: it may raise anything.
        except Exception as error:
            raise InputError(
                f"The model's chat template refuses this conversation: {error}"
            ) from error

    def render_whole(
        self, messages: Sequence[Message], kwargs: Mapping[str, Any] | None = None
    ) -> str:
        """Return a conversation as `render` does, where the template writes the calls of tools too.

        *Raises*: InputError for one that leaves them out.
        """
        text = self.render(messages, kwargs)
        if any("tool_calls" in message for message in messages):
            said = [{n: it for n, it in one.items() if n != "tool_calls"} for one in messages]
            try:
                writes_them = text != self.render(said, kwargs)
            except InputError:
                return text
            if not writes_them:
                raise InputError(
                    "The conversation holds tool_calls, which the model's chat template does not "
                    "write; say in the message's content what was called."
                )
        return text

    def check(self, kwargs: Mapping[str, Any]) -> None:
        """Check what a prompt tells the template beside the messages.

        *Raises*: InputError for a name that the renderer sets itself, and for what is not JSON.
        """
        for name in sorted(self.reserved & set(kwargs)):
            raise InputError(
                f"chat_template_kwargs holds {name!r}, which the renderer sets itself; leave it "
                "out."
            )
        for name, value in kwargs.items():
            if not isinstance(name, str) or not _is_plain(value):
                raise InputError(
                    f"chat_template_kwargs holds {name!r}: {value!r}, which is not plain JSON; "
                    "give texts, finite numbers, booleans, null, and lists and objects of them."
                )
        for text in texts_in(kwargs):
            check_characters(text, "chat_template_kwargs")

    @cached_property
    def generation_prompt(self) -> str:
        """A question as the model reads it before it answers; empty where that is refused."""
        try:
            return self.render(self._question)
        except InputError:
            return ""

    @cached_property
    def before_response(self) -> str:
        """White space that the template writes between the generation prompt and a response."""
        beginning, _, _ = self._answered
        space = beginning.removeprefix(self.generation_prompt)
        return space if space.isspace() else ""

    @cached_property
    def turn_end(self) -> int | None:
        """The id of the token by which the template ends a turn of the assistant, if it has one."""
        _, found, after = self._answered
        after = after.lstrip()
        if not found or not after:
            return None
        first = int(self.tokenizer(after, add_special_tokens=False)["input_ids"][0])
        return first if first in getattr(self.tokenizer, "added_tokens_decoder", {}) else None

    @cached_property
    def _answered(self) -> tuple[str, str, str]:
        """What the template writes before an answer, the answer, and after it."""
        answer = {"role": "assistant", "content": _ANSWER}
        try:
            text = self.render([*self._question, answer], add_generation_prompt=False)
        except InputError:
            return "", "", ""
        return text.rpartition(_ANSWER)

    @property
    def _question(self) -> list[Message]:
        return [{"role": "user", "content": "Coming?"}]


def check_messages(messages: Sequence[Any]) -> None:
    """Check that each message has a role and a text, the last one too. *Raises*: InputError."""
    if not messages:
        raise InputError("The prompt is empty; give at least one message.")
    for message in messages:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise InputError(
                f'A message of the prompt needs "role" and "content"; this one is {message!r}.'
            )
        if not isinstance(message["content"], str):
            raise InputError("The content of a message must be text.")
        check_characters(message["content"], "prompt")
    if not messages[-1]["content"].strip() and messages[-1]["role"] != "tool":
        raise InputError("The prompt is empty; write what is to be answered.")


def _given(message: Message) -> dict[str, Any]:
    """Return a message as templates are given it: what is None is not there."""
    return {name: value for name, value in message.items() if value is not None}


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value of plain JSON, the names of its objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def _is_plain(value: Any, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        named = all(isinstance(name, str) for name in value)
        return named and all(_is_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item, depth + 1) for item in value)
    return value is None or isinstance(value, str | bool | int)

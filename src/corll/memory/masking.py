"""Masks: numbers and addresses of a text that nothing is to be learned from, by a placeholder.

A placeholder has the form of what it stands for, so that the words around it are read as they are
meant. It is the same for all of a kind: what is learned tells nothing of what stood there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from corll.memory.exchanges import Exchange
from corll.memory.facts import Fact, facts_of
from corll.memory.words import words_of
from corll.records import Message, Prompt, Verbatim, messages_of

Mask = Literal["none", "numbers", "addresses", "both"]
"""What is masked before it is learned from."""

ONLY_MASKED = "Only what is masked differs from the draft: there is nothing to learn."
"""Why nothing is learned from an edit of a masked number alone."""

FEWEST_DIGITS = 4
"""A number of fewer digits is no secret: everybody may write it by chance."""

_NUMBERS = frozenset(("number", "money", "phone", "code"))
_PLACEHOLDERS = {"mail": "name@mail.example", "url": "https://site.example"}
_NUMBER = "0000"


class MaskedPart(NamedTuple):
    """A part of a text that is masked: its words, and where its placeholder stands instead."""

    words: str
    start: int
    end: int


class MaskedText(NamedTuple):
    """A text with placeholders, and the parts that these stand for, in order."""

    text: str
    parts: tuple[MaskedPart, ...]


def masked(text: str, mask: Mask) -> MaskedText:
    """Return a text as it is learned from; without parts where nothing of it is masked.

    Numbers are sums, telephone numbers and codes too, of four digits or more; dates and times are
    none. Addresses are those of mail and of the web.
    """
    pieces: list[str] = []
    parts: list[MaskedPart] = []
    done, length = 0, 0
    for start, end, placeholder in _spans(text, mask):
        pieces += [text[done:start], placeholder]
        length += start - done + len(placeholder)
        parts.append(MaskedPart(text[start:end], length - len(placeholder), length))
        done = end
    return MaskedText("".join([*pieces, text[done:]]), tuple(parts))


def masked_prompt(prompt: Prompt, mask: Mask) -> Prompt:
    """Return a prompt with all that it says masked."""
    content = messages_of(prompt)
    if isinstance(content, str):
        text = masked(content, mask).text
        return Verbatim(text) if isinstance(content, Verbatim) else text
    messages = [_masked_turn(turn, mask) for turn in content]
    if isinstance(prompt, dict):
        return {**prompt, "messages": messages}
    return messages


def _masked_turn(turn: Message, mask: Mask) -> Message:
    """Return a turn with its text masked, and what tools were given."""
    names = [name for name in ("content", "tool_calls") if name in turn]
    return {**turn, **{name: _masked_value(turn[name], mask) for name in names}}


def _masked_value(value: Any, mask: Mask) -> Any:
    """Return a value of plain JSON with its texts masked, and its numbers where these are."""
    if isinstance(value, str):
        return masked(value, mask).text
    if isinstance(value, Mapping):
        return {name: _masked_value(item, mask) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_value(item, mask) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = masked(str(value), mask).text
        return value if text == str(value) else text
    return value


def masked_exchange(exchange: Exchange, mask: Mask) -> Exchange:
    """Return an exchange with all that was asked and sent masked."""
    prompt = masked_prompt(exchange.prompt, mask)
    return Exchange(prompt, masked(exchange.text, mask).text, exchange.id)


def is_long_number(fact: Fact, text: str) -> bool:
    """Say whether a fact is a number, sum, telephone number or code of four digits or more."""
    digits = sum(map(str.isdigit, text[fact.start : fact.end]))
    return fact.kind in _NUMBERS and digits >= FEWEST_DIGITS


def _spans(text: str, mask: Mask) -> Iterator[tuple[int, int, str]]:
    """Yield where masked parts stand, with their placeholders, in order and apart."""
    if mask == "none":
        return
    done = 0
    for fact in sorted(facts_of(text, words_of(text)), key=lambda fact: (fact.start, -fact.end)):
        if fact.start < done:
            continue
        if mask != "numbers" and fact.kind in _PLACEHOLDERS:
            yield fact.start, fact.end, _PLACEHOLDERS[fact.kind]
        elif mask != "addresses" and is_long_number(fact, text):
            yield fact.start, fact.end, _NUMBER
        else:
            continue
        done = fact.end

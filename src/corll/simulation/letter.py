"""The letter editor: a greeting, a closing, contractions, no exclamation marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from corll.errors import ConfigError
from corll.simulation.contractions import find_expansions, find_long_forms
from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.sentences import CLOSING_PHRASE, find_half_sentence
from corll.simulation.wording import capitalize
from corll.text import normalize

_HEADING = re.compile(
    r"\s*(?:(?:\**(?:subject|to|from|date|re|cc)\**[ \t]*:"
    r"|(?:sure|certainly|of course|here(?:'s|’s| is| are))\b[^\n]*:[ \t\"“*]*(?=\n|$))"
    r"[^\n]*(?:\s+|$))+",
    re.IGNORECASE,
)
_TITLE = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St)\."
_GREETING = re.compile(
    r"(?P<opener>dear|hello|hi|hey|greetings|good (?:morning|afternoon|evening))\b"
    rf"(?P<name>(?:[ \t]+(?:{_TITLE}|[^\s,.!?:;]+)){{0,5}})"
    r"(?:[ \t]*[,.!?:;]+|(?=[ \t]*[\r\n]|[ \t]*\Z))[ \t]*",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"[\[<{(]([^\]>})\n]*)[\]>})]")
_PLACEHOLDER = re.compile(
    r"name|customer|client|recipient|your|insert|title|landlord|[\[\]<>{}]", re.IGNORECASE
)
_CLOSING = re.compile(
    rf"(?:^[ \t]*|(?<=[.!?])[ \t]+)(?:{CLOSING_PHRASE})"
    r"[ \t]*(?:[,.!]*[ \t\r]*(?=\n|\Z)|,[^\n.!?]{0,40}\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNATURE = re.compile(r"^[ \t]*\[[^\]\n]*\]?\s*\Z", re.MULTILINE)
_LINE = re.compile(r"^.+", re.MULTILINE)
_EXCLAMATION = re.compile(r"[.!?]*![.!?]*")
_MOST_SIGNATURE_LINES, _MOST_SIGNATURE_WORDS = 4, 6


class LetterParts(NamedTuple):
    """The places of a letter's parts; the body is without the white space around it."""

    heading_end: int
    greeting: re.Match[str] | None
    body_start: int
    body_end: int
    closing: str


class LetterEditor(RuleEditor):
    """An editor who turns a draft into a letter that is signed with a name.

    A draft without a body, such as a lone greeting, says nothing.
    *Raises*: ConfigError where the name is not one line of words.
    """

    def __init__(
        self,
        *,
        name: str = "Anna",
        tolerance: float = 0.0,
        error_probability: float = 0.0,
        seed: int = 0,
        own_words: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            tolerance=tolerance,
            error_probability=error_probability,
            seed=seed,
            own_words=own_words,
        )
        is_name = re.fullmatch(r"[^\W\d_](?:[\w.'’ -]{0,38}[\w.])?", name)
        if not is_name or len(name.split()) > _MOST_SIGNATURE_WORDS:
            raise ConfigError(f"name must be a name of at most 40 characters, not {name!r}.")
        self.closing = f"Kind regards,\n{name}"

    def has_content(self, text: str) -> bool:
        parts = letter_parts(text)
        return super().has_content(text[parts.body_start : parts.body_end])

    def find_offences(self, text: str) -> Iterator[Offence]:
        parts = letter_parts(text)
        start, end = parts.body_start, parts.body_end
        if parts.heading_end:
            yield Offence(0, parts.heading_end, "")
        yield from _greeting_offences(text, parts)
        half = None if parts.closing else find_half_sentence(text[:end])
        if half:
            yield Offence(len(text[: half.start].rstrip()), end, "")
        if not self._is_closed(text[end:]):
            yield Offence(end, len(text), f"\n\n{self.closing}")
        for match in _EXCLAMATION.finditer(text, start, end):
            yield Offence(match.start(), match.end(), "?" if "?" in match[0] else ".")
        yield from find_long_forms(text, start, end)
        yield from (Offence(mark, mark + 1, "") for mark in _quotes_around(text))

    def find_spoilings(self, text: str) -> Iterator[str]:
        parts = letter_parts(text)
        start, end = parts.body_start, parts.body_end
        for expansion in find_expansions(text, start, end):
            yield text[: expansion.start] + expansion.replacement + text[expansion.end :]
        stop = text.rfind(".", start, end)
        if stop >= 0:
            yield f"{text[:stop]}!{text[stop + 1 :]}"
        yield f"{text[:end]}!{text[end:]}"
        yield f"{text[:start]}I am writing: {text[start:]}"

    def _is_closed(self, ending: str) -> bool:
        plain = normalize(ending)
        return plain.startswith("\n") and plain.strip() == self.closing


def letter_parts(text: str) -> LetterParts:
    """Find heading, greeting, body and closing of a text; each may be empty."""
    for mark in _quotes_around(text):
        text = f"{text[:mark]} {text[mark + 1 :]}"
    heading = _HEADING.match(text)
    heading_end = heading.end() if heading else 0
    start = heading_end + _blank_length(text[heading_end:])
    greeting = _GREETING.match(text, start)
    body_start = greeting.end() if greeting else start
    body_start += _blank_length(text[body_start:])
    body_end = _closing_start(text, body_start)
    closing = text[body_end:].strip()
    body_end = max(body_start, len(text[:body_end].rstrip()))
    return LetterParts(heading_end, greeting, body_start, body_end, closing)


def _blank_length(text: str) -> int:
    return len(text) - len(text.lstrip())


def _closing_start(text: str, body_start: int) -> int:
    """Find where the sign-off begins: a closing phrase or bracketed name, then short lines."""
    for match in _CLOSING.finditer(text, body_start):
        lines = [line for line in text[match.end() :].splitlines() if line.strip()]
        is_short = all(len(line.split()) <= _MOST_SIGNATURE_WORDS for line in lines)
        if is_short and len(lines) <= _MOST_SIGNATURE_LINES:
            return match.start()
    signature = _SIGNATURE.search(text, body_start)
    return signature.start() if signature else len(text)


def _quotes_around(text: str) -> tuple[int, ...]:
    """Find the pair of quotation marks that encloses the whole draft, if there is one."""
    inner = text.strip()
    is_quoted = inner[:1] + inner[-1:] in ('""', "“”") and len(inner) > 1
    if not is_quoted or any(mark in inner[1:-1] for mark in '"“”'):
        return ()
    start = _blank_length(text)
    return start, start + len(inner) - 1


def _greeting_offences(text: str, parts: LetterParts) -> Iterator[Offence]:
    greeting = parts.greeting
    if greeting is None:
        yield Offence(parts.heading_end, parts.heading_end, "Hello,\n\n")
    else:
        proper = _proper_greeting(greeting["opener"], greeting["name"])
        start, end = greeting.span()
        if end == parts.body_end or text[end] in "\r\n":
            if text[start:end].rstrip() != proper:
                yield Offence(start, end, proper)
        else:
            first = text[end] if text[end].islower() else ""
            yield Offence(start, end + len(first), f"{proper}\n\n{capitalize(first)}")
    for line in _LINE.finditer(text, parts.body_start, parts.body_end):
        second = _GREETING.match(text, line.start(), line.end())
        if second and second.end() == line.end():
            after = text[line.end() : parts.body_end]
            yield Offence(line.start(), line.end() + _blank_length(after), "")


def _proper_greeting(opener: str, name: str) -> str:
    """Return the greeting as it should stand, without a name that is a placeholder."""
    if opener.lower() in ("hey", "greetings"):
        opener = "Hello"
    name = _BRACKETS.sub(lambda m: "[" if _PLACEHOLDER.search(m[1]) else m[1], name).strip()
    if not name or _PLACEHOLDER.search(name):
        return f"{'Hello' if opener.lower() == 'dear' else capitalize(opener)},"
    return f"{capitalize(opener)} {name},"

"""The concise editor: no filler, no hedges, no half sentence at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.filler import ADVERBS, FORMULAS, OPENERS, PUFFERY, SHORTENINGS
from corll.simulation.sentences import Sentence, find_half_sentence, find_sentences
from corll.simulation.wording import article, capitalize, match_case


def _compiled(pattern: str) -> re.Pattern[str]:
    """Match whole words, in any case; the inline flag keeps "ſ" and the like from matching "s"."""
    spaced = pattern.replace(" ", r"[ \t]+")
    return re.compile(rf"(?<![\w'’-])(?a:{spaced})(?![\w'’-])", re.IGNORECASE)


_FORMULA = re.compile(
    rf"(?a:[\"“]?(?:{'|'.join(FORMULAS)})\b"
    r"(?:[^,;:.!?\n]|,? (?:or|and) ){0,80}[.!?…]+[\"”]?)",
    re.IGNORECASE,
)
_OPENER = _compiled(f"(?:{'|'.join(OPENERS)})")
_ADVERB = _compiled(
    r"(?<!and\s)(?<!or\s)(?<!but\s)(?<!not\s)(?<!n't\s)(?<!n’t\s)(?<!almost\s)(?<!more\s)"
    r"(?<!most\s)(?<!how\s)"
    rf"(?:{ADVERBS})(?= (?!and\b|or\b|but\b|if\b|though\b|than\b|as\b|like\b|because\b"
    r"|when\b|after\b|before\b|own\b|same\b|best\b|much\b|well\b|a few\b|a bit\b|to\b"
    r"|hours\b|days\b|minutes\b|weeks\b)[a-z])"
)
_DETERMINERS = (
    *("a", "an", "the", "this", "that", "these", "those"),
    *("my", "your", "his", "her", "its", "our", "their"),
)
_PUFFERY = _compiled(
    "(?:" + "|".join(r"(?<=\b" + word + r"\s)" for word in _DETERMINERS) + ")"
    rf"(?:{PUFFERY})(?= (?!and\b|or\b|but\b|yet\b|ones?\b|of\b|for\b|to\b|that\b|who\b"
    r"|in\b|is\b|are\b|was\b)[a-z])"
)
_SHORTENED = tuple((_compiled(wordy), short) for wordy, short in SHORTENINGS.items())
_LEADING = re.compile(r"(?<![\w'’-])(an?)[ \t]+$", re.IGNORECASE)
_WORD = re.compile(r"[ \t]*([^\W_]+)")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:][\"”’)]*\s+|\n\s*)[\"“(]*$")


class ConciseEditor(RuleEditor):
    """An editor who drops what says nothing and shortens what is wordy; the content stays."""

    def find_offences(self, text: str) -> Iterator[Offence]:
        formulas = [part for part in find_sentences(text) if _is_formula(text, part)]
        half = find_half_sentence(text)
        if half and _something_else_is_said(text, [*formulas, half]):
            yield _removal(text, half.start, half.end)
        yield from (_removal(text, part.start, part.end) for part in formulas)
        for match in _OPENER.finditer(text):
            yield _removal(text, match.start(), match.end())
        for pattern, short in _SHORTENED:
            for match in pattern.finditer(text):
                if short:
                    yield Offence(match.start(), match.end(), match_case(match[0][:1], short))
                else:
                    yield _removal(text, match.start(), match.end())
        for match in (*_ADVERB.finditer(text), *_PUFFERY.finditer(text)):
            yield _removal(text, match.start(), match.end())

    def find_spoilings(self, text: str) -> Iterator[str]:
        for verb in re.finditer(r"(?<=\b(?:is|am) )(?!an?\b|the\b|not\b|in\b)(?=[a-z])", text):
            yield f"{text[: verb.start()]}really {text[verb.start() :]}"
        yield f"Please note that {text}"
        yield f"I hope this message finds you well.\n\n{text}"
        yield f"{text.rstrip()}\nThank you for your patience."


def _is_formula(text: str, sentence: Sentence) -> bool:
    return _FORMULA.fullmatch(text, sentence.start, sentence.end) is not None


def _something_else_is_said(text: str, dropped: list[Sentence]) -> bool:
    return any(part.finished and part not in dropped for part in find_sentences(text))


def _removal(text: str, start: int, end: int) -> Offence:
    """Return the offence that takes a span out, closes up spaces, and mends capital and article."""
    before, after = text[:start], text[end:]
    at_start = _SENTENCE_START.search(before) is not None
    if at_start and after[:1] == ",":
        end += 1
    blank = len(text[end:]) - len(text[end:].lstrip(" \t"))
    at_line_end = text[end + blank : end + blank + 1] in ("", "\n", "\r")
    if at_line_end or text[end + blank] in ".,;:!?":
        start = len(before.rstrip(" \t"))
        return (
            _without_empty_paragraph(text, start, end + blank)
            if at_line_end
            else Offence(start, end, "")
        )
    end += blank
    following = _WORD.match(text, end)
    if at_start and following and text[end].islower():
        return Offence(start, end + 1, capitalize(text[end]))
    leading = _LEADING.search(before)
    if leading and following and not at_start:
        gap = before[leading.end(1) :]
        return Offence(leading.start(), end, article(leading[1], following[1]) + gap)
    return Offence(start, end, "")


def _without_empty_paragraph(text: str, start: int, end: int) -> Offence:
    """Return a removal at the end of a line, with the line where nothing else stands on it."""
    if start and text[start - 1] not in "\r\n":
        return Offence(start, end, "")
    return Offence(start, end + len(text[end:]) - len(text[end:].lstrip()), "")

"""How a writer reads a draft: which facts a sentence says, and what in it is wrong.

Wrong is a date, time, sum, number or name that neither the prompt nor the hidden text holds, and a
placeholder in brackets. Off the topic is a sentence with more than half of its content words from
elsewhere, unless it holds a phrase that stands in many a letter. What is wrong by its sense alone
("not on Friday") is not seen.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from corll.edits import content_words
from corll.memory.facts import Fact, Statement, facts_of
from corll.memory.names import bare, names_of
from corll.memory.stock_phrases import STOCK_PHRASES
from corll.memory.words import words_of
from corll.simulation.sentences import find_sentences
from corll.simulation.writers.requests import WritingRequest
from corll.text import normalize

_BRACKETS = re.compile(r"[\[\]<>{}]")
_LIST_MARK = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])[ \t]+")
_END = re.compile(r"[.!?…][\"'”’)\]*]*$")


class DraftReader:
    """A writer's eyes for the drafts of one request."""

    def __init__(self, request: WritingRequest, signs_as: str) -> None:
        self.request = request
        self.signs_as = signs_as
        known = "\n".join(
            [
                request.prompt,
                request.recipient,
                signs_as,
                *request.sentences("say"),
                *request.sentences("formal"),
            ]
        )
        words = words_of(known)
        self._words = {bare(word.key) for word in words}
        self._statements = _readings(facts_of(known, words))
        self._content = content_words(known)
        self._values = [
            (fact.states, note[fact.start : fact.end])
            for note in request.sentences("note")
            for fact in facts_of(note, words_of(note))
            if fact.states
        ]

    def said(self, sentence: str) -> frozenset[int]:
        """Return the numbers of the needed facts that a sentence says."""
        facts = enumerate(self.request.facts)
        return frozenset(number for number, fact in facts if fact.is_said(sentence))

    def said_in(self, text: str) -> frozenset[int]:
        """Return the numbers of the needed facts that single sentences of a text say."""
        sentences = (text[part.start : part.end] for part in find_sentences(text))
        return frozenset[int]().union(*map(self.said, sentences))

    def says_all(self, text: str) -> bool:
        """Say whether a text says every needed fact."""
        return len(self.said_in(text)) == len(self.request.facts)

    def strays(self, sentence: str) -> list[Fact]:
        """Return the dates, times, sums and numbers of a sentence that are wrong, in order."""
        facts = facts_of(sentence, words_of(sentence))
        wrong = [fact for fact in facts if fact.states and self._statements.isdisjoint(fact.states)]
        return sorted(wrong, key=lambda fact: fact.start)

    def has_wrong_values(self, sentence: str) -> bool:
        """Say whether a value is wrong or a placeholder stands in a sentence, names apart."""
        return _BRACKETS.search(sentence) is not None or bool(self.strays(sentence))

    def is_wrong(self, sentence: str) -> bool:
        """Say whether anything in a sentence is wrong."""
        if self.has_wrong_values(sentence):
            return True
        names = names_of(sentence, words_of(sentence), german=False)
        return any(bare(name) not in self._words for name in names)

    def is_on_topic(self, sentence: str) -> bool:
        """Say whether a sentence is about the request, or one that stands in many a letter."""
        if any(phrase in _in_a_row(sentence) for phrase in _stock()):
            return True
        content = content_words(sentence)
        return 2 * len(content & self._content) >= len(content)

    def is_wrong_in(self, text: str) -> bool:
        """Say whether anything in a sentence of a text is wrong."""
        sentences = (text[part.start : part.end] for part in find_sentences(text))
        return any(map(self.is_wrong, sentences))

    def corrected(self, sentence: str) -> str:
        """Put the right value for each that is wrong: the first of its kind that is not there."""
        for fact in reversed(self.strays(sentence)):
            kinds = {_kind(one) for one in fact.states}
            for states, value in self._values:
                if kinds & {_kind(one) for one in states} and value not in sentence:
                    sentence = sentence[: fact.start] + value + sentence[fact.end :]
                    break
        return sentence


@lru_cache(maxsize=1024)
def reader_of(request: WritingRequest, signs_as: str) -> DraftReader:
    """Return the reader of a request's drafts for a writer who signs so."""
    return DraftReader(request, signs_as)


def without_list_mark(line: str) -> str:
    """Return a line without the mark of a list before it."""
    return _LIST_MARK.sub("", line, count=1)


def finished(sentence: str) -> str:
    """Return a sentence with a full stop where it has no end."""
    return sentence if _END.search(sentence) else f"{sentence.rstrip(',;: ')}."


def is_list_line(line: str) -> bool:
    """Say whether a line has the mark of a list before it."""
    return _LIST_MARK.match(line) is not None


def plain_text(draft: str) -> str:
    """Return a draft as a writer reads it: in its normal form, without white space around it."""
    return normalize(draft).strip()


@cache
def _stock() -> tuple[str, ...]:
    return tuple(map(_in_a_row, STOCK_PHRASES.splitlines()))


def _in_a_row(text: str) -> str:
    """Return the words of a text in the form in which they are compared, a space around each."""
    return f" {' '.join(word.key for word in words_of(text))} "


def _readings(facts: list[Fact]) -> frozenset[Statement]:
    return frozenset(one for fact in facts for one in fact.states | fact.permits)


def _kind(statement: Statement) -> str:
    """Return what a statement is about; a sum and a number are one."""
    return "number" if statement[0] in ("number", "money") else statement[0]

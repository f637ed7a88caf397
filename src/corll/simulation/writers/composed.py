"""Twelve writers who are composed of two or three elementary rules each, and chose no default."""

from __future__ import annotations

import math
import re
from typing import ClassVar

from corll.memory.facts import facts_of
from corll.memory.words import words_of
from corll.simulation.concise import ConciseEditor
from corll.simulation.contractions import find_long_forms
from corll.simulation.editor import repaired
from corll.simulation.lexicon import Lexicon
from corll.simulation.writers.composing import (
    Closing,
    ComposedWriter,
    Greeting,
    LastLine,
    Layout,
    Longest,
    Order,
    Rule,
    Words,
)
from corll.simulation.writers.judging import DraftReader
from corll.simulation.writers.requests import Wording

_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_DIGITS = re.compile(r"(?<![\w:.,/£-])(?:1[0-2]|[1-9])(?= [a-z])")
_IN_WORDS = re.compile(
    rf"(?<![\w'’-])(?a:{'|'.join(_NUMBERS[2:])})(?![\w'’-])(?! of )", re.IGNORECASE
)
_POUNDS = re.compile(r"(?<![\w.,£])(\d+(?:[.,]\d+)*) pounds?\b")
_EXCLAMATION = re.compile(r"[.!?]*![.!?]*")
_FULL_STOP = re.compile(r"(?<![.!?])\.(?=[\"'”’)\]*]*$)")

_HOMELY = Lexicon(
    {
        **{"ring": "phone", "rings": "phones", "call": "phone", "calls": "phones"},
        **{"happy": "chuffed", "glad": "chuffed", "pleased": "chuffed", "delighted": "chuffed"},
        **{"problem": "hiccup", "issue": "hiccup", "trouble": "hiccup", "mistake": "hiccup"},
        **{"great": "grand", "good": "grand", "nice": "grand", "wonderful": "grand"},
        **{"soon": "in a jiffy", "as soon as possible": "in a jiffy", "thank you": "ta"},
        **{"thanks": "ta", "very": "ever so", "really": "ever so", "children": "little ones"},
        **{"talk": "natter", "chat": "natter", "speak": "natter", "friend": "pal"},
    }
)
_STATELY = Lexicon(
    {
        **{"need": "require", "needs": "requires", "needed": "required", "buy": "purchase"},
        **{"start": "commence", "starts": "commences", "begin": "commence", "begins": "commences"},
        **{"get": "receive", "gets": "receives", "got": "received", "keep": "retain"},
        **{"kept": "retained", "about": "concerning", "before": "prior to", "enough": "sufficient"},
        **{"sorry": "regretful", "help": "assistance", "hello": "good day", "maybe": "possibly"},
        **{"i'm": "I am", "it's": "it is", "don't": "do not", "can't": "cannot", "we're": "we are"},
    }
)
_CONCISE = ConciseEditor()


def with_contractions(text: str) -> str:
    """Return a text with contractions in place of long forms."""
    return repaired(text, find_long_forms(text, 0, len(text)))


def without_hedges(text: str) -> str:
    """Return a text without fillers and hedges; nothing where it says nothing else."""
    return _CONCISE.rewrite(text)


def without_exclamations(text: str) -> str:
    """Return a text with full stops and question marks in place of exclamation marks."""
    return _EXCLAMATION.sub(lambda marks: "?" if "?" in marks[0] else ".", text)


def with_exclamation(text: str) -> str:
    """Return a sentence with an exclamation mark in place of its full stop."""
    return _FULL_STOP.sub("!", text)


def with_numbers_in_words(text: str) -> str:
    """Return a text with the numbers from one to twelve that stand before a word in words."""
    return _DIGITS.sub(lambda number: _NUMBERS[int(number[0])], text)


def with_digits(text: str) -> str:
    """Return a text with digits in place of the words from two to twelve."""
    return _IN_WORDS.sub(lambda word: str(_NUMBERS.index(word[0].lower())), text)


def with_pound_signs(text: str) -> str:
    """Return a text with a sign before each sum of pounds in place of the word behind it."""
    return _POUNDS.sub(r"£\1", text)


def in_lower_case(text: str) -> str:
    """Return a text without capitals."""
    return text.lower()


def dates_first(reader: DraftReader, sentence: str) -> float:
    """Return 0 for a sentence with a day or a time, 1 for others."""
    facts = facts_of(sentence, words_of(sentence))
    return 0 if any(fact.kind in ("date", "time") and fact.states for fact in facts) else 1


def as_requested(reader: DraftReader, sentence: str) -> float:
    """Return the number of the first fact that a sentence says, infinity where it says none."""
    return min(reader.said(sentence), default=math.inf)


class BriskWriter(ComposedWriter):
    """A writer who greets nobody, refuses sentences of more than 12 words, and signs "– Anna"."""

    rules: ClassVar[tuple[Rule, ...]] = (Greeting(""), Longest(12), Closing("– {first}"))


class CheerfulWriter(ComposedWriter):
    """A writer who greets "Hey Ben!", contracts, and ends statements with exclamation marks."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting("Hey {first}!"),
        Words(with_contractions),
        Words(with_exclamation),
    )


class ClerkWriter(ComposedWriter):
    """A writer who greets "To Ben Achebe:", numbers the sentences, and spells small numbers out."""

    wording: ClassVar[Wording] = "formal"
    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting("To {full}:"),
        Layout("\n", "#. "),
        Words(with_numbers_in_words),
    )


class LowercaseWriter(ComposedWriter):
    """A writer without capitals, who greets "hey ben," and closes with nothing."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting("Hey {first},"),
        Words(in_lower_case, everywhere=True),
        Closing(""),
    )


class SpareWriter(ComposedWriter):
    """A writer who takes out hedges and whatever was not asked for, and closes "Regards, Anna"."""

    most_idle: ClassVar[int] = 0
    rules: ClassVar[tuple[Rule, ...]] = (Words(without_hedges), Closing("Regards,\n{first}"))


class DatesWriter(ComposedWriter):
    """A writer who puts days and times first, writes "£15", and closes "Yours, Anna Berg"."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Order(dates_first),
        Words(with_pound_signs),
        Closing("Yours,\n{full}"),
    )


class AiryWriter(ComposedWriter):
    """A writer who greets "Good day Ben,", with paragraphs of one sentence and a last line."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting("Good day {first},"),
        Layout("\n\n"),
        LastLine("A short word back is enough."),
    )


class HomelyWriter(ComposedWriter):
    """A writer with homely words of their own, in one paragraph, who closes "Many thanks"."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Words(_HOMELY.put_into),
        Layout(" "),
        Closing("Many thanks,\n{full}"),
    )


class OrderlyWriter(ComposedWriter):
    """A writer in the order of the request, a sentence a line, without exclamation marks.

    What says none of its facts stands last.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Order(as_requested),
        Layout("\n"),
        Words(without_exclamations),
    )


class FiguresWriter(ComposedWriter):
    """A writer who greets nobody, writes numbers in digits, and has a last line."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting(""),
        Words(with_digits),
        LastLine("That is all for now."),
    )


class StatelyWriter(ComposedWriter):
    """A writer who greets "Good afternoon", in words of an old register, and closes so."""

    wording: ClassVar[Wording] = "formal"
    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting("Good afternoon {full},"),
        Words(_STATELY.put_into),
        Closing("Respectfully,\n{full}"),
    )


class StarredWriter(ComposedWriter):
    """A writer of lines with stars and without full stops, no greeting, closing or idle word."""

    wording: ClassVar[Wording] = "note"
    most_idle: ClassVar[int] = 0
    rules: ClassVar[tuple[Rule, ...]] = (
        Greeting(""),
        Layout("\n", "* ", stops=False),
        Closing(""),
    )


COMPOSED_WRITERS: dict[str, type[ComposedWriter]] = {
    "brisk": BriskWriter,
    "cheerful": CheerfulWriter,
    "clerk": ClerkWriter,
    "lowercase": LowercaseWriter,
    "spare": SpareWriter,
    "dates": DatesWriter,
    "airy": AiryWriter,
    "homely": HomelyWriter,
    "orderly": OrderlyWriter,
    "figures": FiguresWriter,
    "stately": StatelyWriter,
    "starred": StarredWriter,
}
"""The composed writers by name."""

"""What is wrong with a draft in itself, against what its user's own texts are like.

A loop, a text of letters that make no words, and an insult are wrong whoever the user is: what was
taught by a prank or a cat on the keyboard is harm, however often it was sent. An empty draft is no
fault where it is word for word what the user sends, nor a foreign one where they write that
language, nor one of abbreviations ("thx", "tmrw") where most of their texts are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from corll.edits import content_words
from corll.evaluation import question
from corll.memory.exchanges import Exchange, texts_of
from corll.memory.facts import facts_of
from corll.memory.words import words_of
from corll.records import Prompt
from corll.text import same_text
from corll.verdicts.languages import language_of, languages_of
from corll.verdicts.letters import has_body
from corll.verdicts.readable import is_abbreviated, is_gibberish
from corll.verdicts.survival import Closing, usual_closings

Flaw: TypeAlias = Literal["loop", "empty", "language", "gibberish", "insult"]

_RECENT, _OFTEN = 8, 4
"""Of so many of the latest texts so many must be the same text, for it to be a habit."""

_INSULTS = re.compile(
    r"\b(?:idiots?|morons?|fools?|losers?|clowns?|imbeciles?|dumb(?:er|est)?|stupid(?:er|est)?|"
    r"pathetic|worthless|shut up|get lost|despise you|"
    r"idiot(?:en)?|trottel|dummkopf|dumm(?:e|er|es)?|versager(?:in)?|halt den mund)\b",
    re.IGNORECASE,
)
_LONG_NUMBER = re.compile(r"(?<![\w.])\d(?:[ -]?\d){5,}(?!\w)")
"""Six digits or more, in groups or not."""

_NO_SECRET = ("date", "time", "money")
_SECRET_SHARE = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draft that was drawn to look at; whether it `loops` is for the guards to say.

    `memory` stood before its prompt, which alone says what was asked for.
    """

    prompt: Prompt
    text: str
    loops: bool = False
    memory: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Habits:
    """What a user's own texts are like, which in a draft is then no fault.

    `usual_text` is the text that they send whatever is asked. `secrets` are the digits of long
    numbers in few of their texts.
    """

    closings: tuple[Closing, ...] = ()
    languages: frozenset[str] = frozenset()
    usual_text: str | None = None
    abbreviates: bool = False
    tells_facts: bool = True
    keeps_to_prompt: bool = True
    secrets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, sent: Sequence[Exchange]) -> Habits:
        """Return the habits that a user's sent texts show, the latest first.

        Whoever sends "ok" gets that from the fourth on, until they send another text; whoever
        mostly drops what the prompt tells may have drafts without it.
        """
        texts = [exchange.text for exchange in sent]
        told = [
            tells(exchange.prompt, exchange.text) for exchange in sent if tells(exchange.prompt)
        ]
        kept = [
            keeps_to(exchange.prompt, exchange.text)
            for exchange in sent
            if keeps_to(exchange.prompt)
        ]
        return cls(
            usual_closings(texts),
            languages_of(texts),
            _usual_text(texts),
            abbreviates=2 * sum(map(_is_in_short, texts)) > len(texts),
            tells_facts=2 * sum(told) >= len(told),
            keeps_to_prompt=2 * sum(kept) >= len(kept),
            secrets=_secrets(texts),
        )


def flaws_of(draft: Drawn, habits: Habits) -> set[Flaw]:
    """Return what is wrong with a draft in itself."""
    usual = habits.usual_text
    is_usual = usual is not None and same_text(draft.text, usual)
    language = language_of(draft.text)
    is_foreign = bool(habits.languages) and language not in (None, *habits.languages)
    found: dict[Flaw, bool] = {
        "loop": draft.loops,
        "empty": not (is_usual or has_body(draft.text, habits.closings)),
        "language": is_foreign,
        "gibberish": is_gibberish(draft.text)
        and not (habits.abbreviates and is_abbreviated(draft.text)),
        "insult": _INSULTS.search(draft.text) is not None,
    }
    return {flaw for flaw, is_there in found.items() if is_there}


def secrets_in(draft: Drawn, habits: Habits) -> frozenset[str]:
    """Return the digits of long numbers that a draft has of a few past texts, not of its prompt.

    One that stands in the draft's memory is none: any weights may copy it from there.
    """
    shown = [question(draft.prompt)]
    for exchange in draft.memory:
        shown += [*texts_of(exchange.prompt), exchange.text]
    return (_long_numbers(draft.text) & habits.secrets).difference(*map(_long_numbers, shown))


def tells(prompt: Prompt, text: str | None = None) -> bool:
    """Say whether a text tells a fact of its prompt, in any spelling; a prompt tells its own."""
    asked = _statements(question(prompt))
    return bool(asked) if text is None else not asked.isdisjoint(_statements(text))


def keeps_to(prompt: Prompt, text: str | None = None) -> bool:
    """Say whether a text shares a content word with its prompt; a prompt does where it has one."""
    asked = content_words(question(prompt))
    return bool(asked) if text is None else not asked.isdisjoint(content_words(text))


def _is_in_short(text: str) -> bool:
    return is_gibberish(text) and is_abbreviated(text)


def _usual_text(texts: Sequence[str]) -> str | None:
    """Return the latest text where it is that of most of the latest ones too."""
    if not texts:
        return None
    alike = sum(same_text(text, texts[0]) for text in texts[:_RECENT])
    return texts[0] if alike >= _OFTEN else None


def _secrets(texts: Sequence[str]) -> frozenset[str]:
    counts = Counter(number for text in texts for number in _long_numbers(text))
    return frozenset(one for one, count in counts.items() if _SECRET_SHARE * count < len(texts))


def _long_numbers(text: str) -> frozenset[str]:
    """Return the digits of account numbers and the like; dates and sums are none."""
    other = [one for one in facts_of(text, words_of(text)) if one.kind in _NO_SECRET]
    return frozenset(
        "".join(filter(str.isdigit, found.group()))
        for found in _LONG_NUMBER.finditer(text)
        if not any(one.start < found.end() and found.start() < one.end for one in other)
    )


def _statements(text: str) -> set[tuple[str, str | int]]:
    return {stated for fact in facts_of(text, words_of(text)) for stated in fact.states}

"""Leaks: facts of past exchanges that stand in a draft although nobody asked for them there.

A past letter shows how its user writes. What it is about belongs to its reader alone, so a name, a
date or a sum of it in another letter is a mistake that ends trust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from corll.edits import content_words
from corll.memory.exchanges import Exchange, texts_of
from corll.memory.facts import (
    TELLING_WORDS,
    Fact,
    FactKind,
    Statement,
    begins_sentence,
    facts_of,
)
from corll.memory.names import GERMAN_FUNCTION_WORDS, bare, breaks, is_german, may_be_name, names_of
from corll.memory.stock_phrases import STOCK_PHRASES
from corll.memory.words import Word, words_of
from corll.records import Prompt
from corll.signatures import signer

LeakKind: TypeAlias = FactKind | Literal["name", "phrase"]
Phrase: TypeAlias = tuple[str, ...]

PHRASE_WORDS = 5
"""So many words in a row are a phrase, and twice as many characters where no spaces part words."""

_TELLING = 3
"""So many content words, beside facts and what the request says, make a phrase tell something."""


_LATEST = 4
"""Words in which a leak may begin that is not whole yet; two characters count as one."""


class Leak(NamedTuple):
    """A fact of a past exchange in a draft: where it stands there, and which exchange has it."""

    start: int
    end: int
    words: str
    kind: LeakKind
    exchange_id: str


@dataclass(frozen=True, slots=True)
class OwnFrame:
    """What recurs in most of a user's texts, so that it tells nothing of any one of them.

    Greeting and closing words, the user's name, firm and telephone number are such.
    """

    words: frozenset[str] = frozenset()
    statements: frozenset[Statement] = frozenset()
    phrases: frozenset[Phrase] = frozenset()


def own_frame(texts: Sequence[str]) -> OwnFrame:
    """Return what stands in more than half of a user's texts, and in two of them at least.

    Who signed more than half of them is the user, even where there is but one.
    """
    words, statements, phrases = Counter[str](), Counter[Statement](), Counter[Phrase]()
    signers = Counter[str]()
    for text in texts:
        read = _Text(text)
        words.update(read.keys)
        statements.update(read.readings)
        phrases.update(read.phrases)
        signers.update({word.key for word in words_of(signer(text) or "")})

    often = max(2, len(texts) // 2 + 1)
    return OwnFrame(
        frozenset(word for word, count in words.items() if count >= often)
        | frozenset(word for word, count in signers.items() if 2 * count > len(texts)),
        frozenset(one for one, count in statements.items() if count >= often),
        frozenset(phrase for phrase, count in phrases.items() if count >= often),
    )


def leaked(
    draft: str, request: Prompt, memory: Sequence[Exchange], own: OwnFrame
) -> tuple[Leak, ...]:
    """Return the facts of past exchanges that a draft has neither from its request nor its user.

    Facts are names, what `facts_of` finds, and phrases: five words in a row and more, with three
    content words that are no fact by themselves and that the request lacks. What is said in many a
    letter ("I hope this email finds you well") is no phrase. A fact that the request tells in
    another form is no leak ("2 pm", "14:00"). Where several exchanges hold it, the one that stands
    next to the request is named. Leaks are in the order in which they stand; a phrase may hold
    another leak.
    """
    return LeakFinder(request, memory, own).find(draft)


class LeakFinder:
    """Finds leaks in drafts for one request, as `leaked` does; reads request and memory once."""

    def __init__(self, request: Prompt, memory: Sequence[Exchange], own: OwnFrame) -> None:
        self._said = _Said(texts_of(request), own)
        self._past = [_Past(exchange) for exchange in reversed(memory)]

    def find(self, draft: str) -> tuple[Leak, ...]:
        """Return the leaks in a draft, or in as much of it as there is."""
        if not self._past or not draft.strip():
            return ()
        read, said, past = _Text(draft), self._said, self._past
        facts = [*_facts(read, said, past), *_names(read, said, past)]
        phrases = _phrases(read, said, past, _places([*facts, *read.facts]))
        return tuple(sorted(leak for leak in (*facts, *phrases) if not said.holds(draft, leak)))

    def may_begin(self, text: str) -> int:
        """Return where in a growing text a leak may begin that is not whole yet; its length for
        none.

        It is among the latest four words, or eight characters of a script without spaces. It begins
        with a name that the memory has, with a digit or a word that tells something, or in what no
        space has ended.
        """
        words = words_of(text)
        if not words:
            return len(text)
        last = words[-1]
        piece = max(text.rfind(space, 0, last.start) for space in " \t\n") + 1
        begins = [last.start if last.is_character else piece]
        held = 0.0
        for word in reversed(words):
            held += 0.5 if word.is_character else 1.0
            if held > _LATEST:
                break
            if self._may_leak(text, word):
                begins.append(word.start)
        return min(begins)

    def _may_leak(self, text: str, word: Word) -> bool:
        """Say whether a word may be a leak, or begin one."""
        shown = text[word.start : word.end]
        if word.is_character or word.key in TELLING_WORDS or any(map(str.isdigit, shown)):
            return True
        key = bare(word.key)
        if not shown[0].isupper():
            return False
        if any(key in one.names for one in self._past):
            return True
        in_sentence = not begins_sentence(text, word.start)
        return in_sentence and any(key in one.capitals for one in self._past)


class _Text:
    """A text as it is compared: its words, facts, names and phrases."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words_of(text)
        self.facts = facts_of(text, self.words)
        self.keys = {word.key for word in self.words}
        self.grams = _grams(text, self.words)
        self.phrases = {phrase for _, phrase in self.grams}

    @property
    def readings(self) -> set[Statement]:
        return {one for fact in self.facts for one in fact.states | fact.permits}

    @property
    def capitals(self) -> Iterator[Word]:
        return (word for word in self.words if self.text[word.start].isupper())


class _Said:
    """What a draft may hold: what its request says, the user's own frame, and stock phrases."""

    def __init__(self, texts: Iterable[str], own: OwnFrame) -> None:
        read = [_Text(text) for text in texts]
        self.words = own.words.union(*(one.keys for one in read))
        self.statements = own.statements.union(*(one.readings for one in read))
        self.phrases = (own.phrases | _stock()).union(*(one.phrases for one in read))
        self.content = frozenset[str]().union(*(content_words(one.text) for one in read))
        self._in_order = [f" {' '.join(word.key for word in one.words)} " for one in read]

    def names(self, key: str) -> bool:
        """Say whether a word is said, in any of a name's forms."""
        return not self.words.isdisjoint((key, key + "'s", key + "s", key.removesuffix("s")))

    def holds(self, draft: str, leak: Leak) -> bool:
        """Say whether the request holds the very words of a leak, in a row."""
        words = " ".join(word.key for word in words_of(draft, leak.start, leak.end))
        return any(f" {words} " in text for text in self._in_order)


class _Past:
    """The facts of a past exchange."""

    def __init__(self, exchange: Exchange) -> None:
        read = [_Text(text) for text in (*texts_of(exchange.prompt), exchange.text)]
        facts = [fact for one in read for fact in one.facts if fact.states]
        self.id = exchange.id
        self.statements = {one for fact in facts for one in fact.states | fact.permits}
        german = is_german(word for one in read for word in one.words)
        named = (names_of(one.text, one.words, german=german) for one in read)
        self.names = frozenset[str]().union(*named)
        self.capitals = {bare(word.key) for one in read for word in one.capitals}
        self.phrases = set[Phrase]().union(*(one.phrases for one in read))


def _facts(draft: _Text, said: _Said, past: Sequence[_Past]) -> Iterator[Leak]:
    for fact in draft.facts:
        if fact.states and said.statements.isdisjoint(fact.states):
            for exchange in past:
                if not exchange.statements.isdisjoint(fact.states):
                    yield _leak(draft, fact.start, fact.end, fact.kind, exchange)
                    break


def _names(draft: _Text, said: _Said, past: Sequence[_Past]) -> Iterator[Leak]:
    taken = _places(draft.facts)
    shown = names_of(draft.text, draft.words, german=is_german(draft.words))
    last: Leak | None = None
    for word in draft.capitals:
        key = bare(word.key)
        if word.start in taken or not may_be_name(key) or said.names(key):
            continue
        exchange = next((one for one in past if _is_name_of(key, key in shown, one)), None)
        if exchange is None:
            continue
        end = word.start + len(draft.text[word.start : word.end].removesuffix("'s"))
        leak = _leak(draft, word.start, end, "name", exchange)
        if last is not None and _are_one_name(draft.text, last, leak):
            leak = _leak(draft, last.start, end, "name", exchange)
        elif last is not None:
            yield last
        last = leak
    if last is not None:
        yield last


def _is_name_of(key: str, is_shown: bool, past: _Past) -> bool:
    """Say whether a word with a capital is a name that a past exchange has.

    Either of the two may show that it is one; `is_shown` says whether the draft does. Where a
    sentence begins the capital shows nothing, so a word like "Will" is none there.
    """
    if is_shown:
        return key in past.names or key in past.capitals
    return key in past.names and bool(content_words(key))


def _are_one_name(text: str, first: Leak, second: Leak) -> bool:
    close = text[first.end : second.start] in (" ", "-", ". ")
    same = first.exchange_id == second.exchange_id
    return close and same and not breaks(text, first.end, second.start)


def _phrases(draft: _Text, said: _Said, past: Sequence[_Past], taken: Set[int]) -> Iterator[Leak]:
    for exchange in past:
        for run in _runs(draft, exchange.phrases - said.phrases):
            free = " ".join(word.key for word in run if word.start not in taken)
            content = content_words(free) - said.content - GERMAN_FUNCTION_WORDS
            characters = sum(word.is_character for word in run)
            if characters >= 2 * PHRASE_WORDS or (not characters and len(content) >= _TELLING):
                yield _leak(draft, run[0].start, run[-1].end, "phrase", exchange)


def _runs(draft: _Text, phrases: Set[Phrase]) -> Iterator[Sequence[Word]]:
    """Yield the words of a draft that these phrases make up, joined where they overlap."""
    if phrases.isdisjoint(draft.phrases):
        return
    open_from, open_to = -1, -1
    for place, phrase in draft.grams:
        if phrase not in phrases:
            continue
        if place >= open_to and open_from >= 0:
            yield draft.words[open_from:open_to]
            open_from = -1
        open_from, open_to = place if open_from < 0 else open_from, place + PHRASE_WORDS
    if open_from >= 0:
        yield draft.words[open_from:open_to]


def _grams(text: str, words: Sequence[Word]) -> list[tuple[int, Phrase]]:
    """Return the phrases within each sentence, with the number of their first word."""
    keys = [word.key for word in words]
    grams, first, end = [], 0, 0
    for place, word in enumerate(words):
        if place and text[end : word.start] != " " and breaks(text, end, word.start):
            first = place
        begin, end = place - PHRASE_WORDS + 1, word.end
        if begin >= first:
            grams.append((begin, tuple(keys[begin : place + 1])))
    return grams


def _leak(draft: _Text, start: int, end: int, kind: LeakKind, past: _Past) -> Leak:
    return Leak(start, end, draft.text[start:end], kind, past.id)


def _places(facts: Iterable[Fact | Leak]) -> set[int]:
    return {place for fact in facts for place in range(fact.start, fact.end)}


@cache
def _stock() -> frozenset[Phrase]:
    lines = STOCK_PHRASES.splitlines()
    return frozenset(phrase for line in lines for _, phrase in _grams(line, words_of(line)))

"""Elementary rules of writing, and the writer who is composed of some of them.

A rule settles one thing: how a letter greets or closes, its layout, its order, its words, how long
a sentence may be, or a line that always stands last. What no rule settles stays as it was drafted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from corll.errors import ConfigError
from corll.simulation.letter import letter_parts
from corll.simulation.writers.judging import DraftReader, finished
from corll.simulation.writers.letters import AsDraftedWriter
from corll.simulation.writers.writer import Piece, joined

_MOST_WORDS_OF_A_GREETING = 6


@dataclass(frozen=True, slots=True)
class Greeting:
    """Greets in this form; `{full}` and `{first}` are the recipient's name. An empty form: not."""

    form: str


@dataclass(frozen=True, slots=True)
class Closing:
    """Closes in this form; `{full}` and `{first}` are the writer's name. An empty form: not."""

    form: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Sets sentences out: what stands between two, and the mark before each; `#` is its number.

    Without `stops` their full stops are left out.
    *Raises*: ConfigError for no stops and no mark: the last sentence would pass for a half one.
    """

    between: str
    mark: str = ""
    stops: bool = True

    def __post_init__(self) -> None:
        if not (self.stops or self.mark):
            raise ConfigError("A layout without full stops needs a mark before each sentence.")

    def lay_out(self, sentences: list[str]) -> str:
        """Return the body that the sentences make."""
        lines = [
            self.mark.replace("#", str(number)) + (one if self.stops else one.removesuffix("."))
            for number, one in enumerate(sentences, 1)
        ]
        return self.between.join(lines)


@dataclass(frozen=True, slots=True)
class Order:
    """Puts sentences with a lower place first, and leaves those of the same place in order."""

    place: Callable[[DraftReader, str], float]


@dataclass(frozen=True, slots=True)
class Words:
    """Changes the words of a sentence, unless a needed fact would be lost by that.

    `change` is idempotent; where it leaves nothing, the sentence goes. With `everywhere` it changes
    greeting and closing too.
    """

    change: Callable[[str], str]
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Longest:
    """Refuses sentences of more words than these, except the writer's own."""

    words: int


@dataclass(frozen=True, slots=True)
class LastLine:
    """Ends each body with this sentence, which says no fact."""

    text: str


Rule = Greeting | Closing | Layout | Order | Words | Longest | LastLine
_R = TypeVar("_R", Greeting, Closing, Layout, Order, Longest, LastLine)


class ComposedWriter(AsDraftedWriter):
    """A writer who is composed of elementary rules, and leaves the rest as it was drafted.

    *Raises*: ConfigError where two rules settle the same thing, and as `Writer`.
    """

    rules: ClassVar[tuple[Rule, ...]] = ()
    most_idle: ClassVar[int] = 2

    def __init__(self, *, signs_as: str = "Anna Berg") -> None:
        super().__init__(signs_as=signs_as)
        kinds = [type(rule) for rule in self.rules if not isinstance(rule, Words)]
        if twice := {kind.__name__ for kind in kinds if kinds.count(kind) > 1}:
            raise ConfigError(f"Two rules settle the same thing: {', '.join(sorted(twice))}.")
        self._words = [rule for rule in self.rules if isinstance(rule, Words)]

    def compose(self, reader: DraftReader, text: str) -> str:
        kept = self.usable(reader, self._body(reader, text))
        return self.lay_out(reader, text, self.completed(reader, kept))

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        pieces, layout = self._arranged(reader, pieces), self._rule(Layout)
        body = layout.lay_out([piece.text for piece in pieces]) if layout else joined(pieces)
        heading = "" if self._rule(Greeting) else self.heading(reader, text)
        blocks = [heading, self.greeting(reader, text), body, self.ending(reader, text)]
        return "\n\n".join(block for block in blocks if block)

    def greeting(self, reader: DraftReader, text: str) -> str:
        return self.own_greeting(reader) if self._rule(Greeting) else super().greeting(reader, text)

    def own_greeting(self, reader: DraftReader) -> str:
        rule, request = self._rule(Greeting), reader.request
        return self._filled(rule.form if rule else "", request.recipient, request.first_name)

    def ending(self, reader: DraftReader, text: str) -> str:
        return self.closing if self._rule(Closing) else super().ending(reader, text)

    @property
    def closing(self) -> str:
        rule = self._rule(Closing)
        return self._filled(rule.form if rule else "", self.signs_as, self.first_name)

    def polish(self, reader: DraftReader, sentence: str) -> str:
        for rule in self._words:
            changed = rule.change(sentence)
            if changed and reader.said(changed) >= reader.said(sentence):
                sentence = changed
        return sentence

    def refuses(self, reader: DraftReader, line: str, sentence: str) -> bool:
        if sentence in self.own_sentences(reader):
            return False
        limit = self._rule(Longest)
        is_long = limit is not None and len(sentence.split()) > limit.words
        is_nothing = not all(rule.change(sentence) for rule in self._words)
        # Capitals tell names, and a rule may have taken them away.
        is_wrong = reader.is_wrong(finished(line)) or reader.is_wrong(sentence)
        return is_long or is_nothing or is_wrong

    def own_sentences(self, reader: DraftReader) -> list[str]:
        last = self._last_line(reader)
        return super().own_sentences(reader) + ([last] if last else [])

    def _body(self, reader: DraftReader, text: str) -> str:
        """Return a text without its greeting and closing, in any form or in the writer's own."""
        text = text[letter_parts(text).heading_end :].lstrip()
        parts = letter_parts(text)
        start, end = parts.body_start, parts.body_end
        greeting, closing = self.own_greeting(reader), self.closing
        first = text.partition("\n")[0]
        if greeting and (text.startswith(greeting) or self._is_greeting(first)):
            start = len(greeting) if text.startswith(greeting) else len(first)
        if closing and text.endswith(f"\n{closing}"):
            end = len(text) - len(closing)
        return text[start : max(start, end)].strip()

    def _is_greeting(self, line: str) -> bool:
        """Say whether a line begins as the own greeting does, whoever it greets."""
        rule = self._rule(Greeting)
        opener = rule.form.partition("{")[0].strip() if rule else ""
        is_short = len(line.split()) <= _MOST_WORDS_OF_A_GREETING
        begins = re.match(rf"{re.escape(opener)}\b", line, re.IGNORECASE) is not None
        return bool(opener) and is_short and begins

    def _arranged(self, reader: DraftReader, pieces: list[Piece]) -> list[Piece]:
        """Return the sentences in the writer's order, the last line at the end."""
        last, order = self._last_line(reader), self._rule(Order)
        kept = [piece for piece in pieces if piece.text != last]
        if order is not None:
            kept.sort(key=lambda piece: order.place(reader, piece.text))
        return [*kept, Piece(" ", last)] if last else kept

    def _last_line(self, reader: DraftReader) -> str:
        rule = self._rule(LastLine)
        return self.polish(reader, rule.text) if rule else ""

    def _filled(self, form: str, full: str, first: str) -> str:
        text = form.format(full=full, first=first)
        for rule in self._words:
            text = rule.change(text) if rule.everywhere else text
        return text

    def _rule(self, kind: type[_R]) -> _R | None:
        return next((rule for rule in self.rules if isinstance(rule, kind)), None)

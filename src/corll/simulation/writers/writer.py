"""A writer: a user who knows what a text has to say, and keeps of a draft what says it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from corll.errors import ConfigError
from corll.records import Draft
from corll.simulation.sentences import find_sentences
from corll.simulation.writers.judging import (
    DraftReader,
    finished,
    is_list_line,
    plain_text,
    reader_of,
    without_list_mark,
)
from corll.simulation.writers.requests import Wording, WritingRequest, fact_in, request_of
from corll.text import same_text

_MOST_PASSES = 8
_NAME = re.compile(r"[^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*){0,3}")


class Piece(NamedTuple):
    """A sentence of a text that is sent, and the white space before it."""

    gap: str
    text: str


class Writer(ABC):
    """A user with a way of writing, who has a full text in mind for each request.

    The writer keeps what is usable of a draft: their own sentences, and others on the topic with
    nothing wrong in them that say a needed fact which was not said before. At most `most_idle`
    sentences may say no such fact. What is missing they add in their own words, and where no fact
    is usable they send their own text. A draft that needs none of this, and has the writer's form,
    is accepted. What a writer sends says all facts, and they would not change it again.

    `edit` counts: it answers as the writer does at `edit_number`, which begins with 1 and rises by
    one with each answer. `sent` and `as_of` do not count. `signs_as` is the writer's name.
    *Raises*: ConfigError where the name is not one line of one to four words.
    """

    wording: ClassVar[Wording] = "say"
    most_idle: ClassVar[int] = 1

    def __init__(self, *, signs_as: str = "Anna Berg") -> None:
        if not _NAME.fullmatch(signs_as) or len(signs_as) > 40:
            raise ConfigError(
                f"signs_as must be a name of one to four words, 40 characters at most, not "
                f"{signs_as!r}."
            )
        self.signs_as = signs_as
        self.edit_number = 1

    @property
    def first_name(self) -> str:
        """The writer's first name."""
        return self.signs_as.split()[0]

    def edit(self, draft: Draft) -> str:
        """Return what is sent in place of a draft, or its own text; the next edit is one later.

        *Raises*: InputError where the prompt is none of `writing_requests`.
        """
        text = self.sent(request_of(draft.prompt), draft.text, self.edit_number)
        self.edit_number += 1
        return text

    def sent(self, request: WritingRequest, draft: str, edit_number: int = 1) -> str:
        """Return what the writer sends in place of a draft as their edit of this number."""
        return self.wanted(request, draft, edit_number)

    def wanted(self, request: WritingRequest, draft: str, edit_number: int = 1) -> str:
        """Return what the writer would send with time to spare: the draft where it is good enough.

        The text is one that the writer would leave as it is.
        """
        taste = self.taste(request, edit_number)
        text = taste._settled(reader_of(request, self.signs_as), plain_text(draft))
        return draft if same_text(text, draft) else text

    def own_text(self, request: WritingRequest, edit_number: int = 1) -> str:
        """Return the full text that the writer has in mind."""
        return self.wanted(request, "", edit_number)

    def as_of(self, edit_number: int) -> WriterAsOf:
        """Return a user who answers each draft as the writer would at that edit, with time."""
        return WriterAsOf(self, edit_number)

    def taste(self, request: WritingRequest, edit_number: int) -> Writer:
        """Return the writer by whose rule this edit goes: this one, unless tastes differ."""
        return self

    @abstractmethod
    def compose(self, reader: DraftReader, text: str) -> str:
        """Return what a draft becomes in the writer's hands, once."""

    @abstractmethod
    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        """Put the sentences that are sent into the writer's form; `text` is the draft."""

    def polish(self, reader: DraftReader, sentence: str) -> str:
        """Put a sentence into the writer's words; the function is idempotent."""
        return sentence

    def refuses(self, reader: DraftReader, line: str, sentence: str) -> bool:
        """Say whether a sentence is not to be sent; `line` is what stood in the draft for it."""
        return reader.is_wrong(sentence)

    def own_sentences(self, reader: DraftReader) -> list[str]:
        """Return the sentences of the writer's own text."""
        sentences = map(finished, reader.request.sentences(self.wording))
        return [self.polish(reader, sentence) for sentence in sentences]

    def own_fact(self, reader: DraftReader, number: int) -> str:
        """Return the sentence by which the writer says a fact."""
        fact = reader.request.facts[number]
        return self.polish(reader, finished(fact_in(fact, self.wording)))

    def usable(self, reader: DraftReader, body: str) -> list[Piece]:
        """Return the sentences of a body that are kept, polished; none if they say no fact."""
        own, kept, said, idle = set(self.own_sentences(reader)), list[Piece](), set[int](), 0
        for gap, line in _lines(body):
            sentence = self.polish(reader, finished(line))
            is_own = sentence in own
            is_repeated = any(sentence == piece.text for piece in kept)
            is_off_topic = not (is_own or reader.is_on_topic(sentence))
            if is_repeated or is_off_topic or self.refuses(reader, line, sentence):
                continue
            new = reader.said(sentence) - said
            if not (new or is_own):
                idle += 1
                if idle > self.most_idle:
                    continue
            said |= new
            kept.append(Piece(gap, sentence))
        return kept if said else []

    def completed(self, reader: DraftReader, kept: Iterable[Piece]) -> list[Piece]:
        """Add the facts that are missing to the sentences that are kept; else the own text."""
        pieces = list(kept)
        if not pieces:
            return [Piece(" ", sentence) for sentence in self.own_sentences(reader)]
        for number in range(len(reader.request.facts)):
            if not any(number in reader.said(piece.text) for piece in pieces):
                pieces.append(Piece(" ", self.own_fact(reader, number)))
        return pieces

    def _settled(self, reader: DraftReader, text: str) -> str:
        """Compose until nothing changes; the own text where that leads nowhere."""
        for _ in range(_MOST_PASSES):
            composed = plain_text(self.compose(reader, text))
            if composed == text and text and reader.says_all(text):
                return text
            text = composed
        return self._own(reader)

    def _own(self, reader: DraftReader) -> str:
        return plain_text(self.lay_out(reader, "", self.completed(reader, [])))


class WriterAsOf:
    """A user who answers as a writer would at one edit, however many drafts are asked about."""

    def __init__(self, writer: Writer, edit_number: int) -> None:
        self.writer = writer
        self.edit_number = edit_number

    def edit(self, draft: Draft) -> str:
        """Return the draft as the writer would send it. *Raises*: InputError as `Writer.edit`."""
        return self.writer.wanted(request_of(draft.prompt), draft.text, self.edit_number)


def joined(pieces: Iterable[Piece]) -> str:
    """Return sentences as one body, with the white space between them."""
    return "".join(piece.gap + piece.text for piece in pieces).strip()


def _lines(body: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a body without marks of lists, and the gaps before them.

    The unfinished one at the end is left out, for a draft may have been cut there.
    """
    parts = list(find_sentences(body))
    if parts and not parts[-1].finished and not is_list_line(body[parts[-1].start :]):
        parts.pop()
    end = 0
    for part in parts:
        breaks = min(body.count("\n", end, part.start), 2)
        yield "\n" * breaks or " ", without_list_mark(body[part.start : part.end])
        end = part.end

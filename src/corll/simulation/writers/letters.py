"""Writers of letters: whoever frames, signs, is formal, corrects, or has words of their own."""

from __future__ import annotations

from typing import ClassVar

from corll.simulation.contractions import LONG_FORMS
from corll.simulation.letter import letter_parts
from corll.simulation.lexicon import Lexicon
from corll.simulation.writers.judging import DraftReader
from corll.simulation.writers.requests import Wording
from corll.simulation.writers.writer import Piece, Writer, joined

_OPENERS = {"dear": "Dear", "hello": "Hello", "hi": "Hi", "hey": "Hi", "greetings": "Hello"}

_NOBODY = frozenset(("", "there", "all", "everyone", "sir or madam"))

_FORMAL = Lexicon(
    {
        **{short.lower(): long.lower() for short, long in LONG_FORMS.items()},
        **{"he's": "he is", "she's": "she is", "that's": "that is", "there's": "there is"},
        **{"you're": "you are", "we're": "we are", "they're": "they are", "aren't": "are not"},
        **{"i've": "I have", "you've": "you have", "we've": "we have", "they've": "they have"},
        **{"i'd": "I should", "you'd": "you would", "we'd": "we should", "you'll": "you will"},
        **{"she'll": "she will", "he'll": "he will", "they'll": "they will", "it'll": "it will"},
        **{"couldn't": "could not", "wouldn't": "would not", "shouldn't": "should not"},
        **{"haven't": "have not", "hasn't": "has not", "wasn't": "was not", "let's": "let us"},
        **{"thanks": "thank you", "ok": "acceptable", "okay": "acceptable", "kids": "children"},
        **{"asap": "as soon as possible", "a lot of": "many", "really": "indeed"},
    }
)
_TERMS = Lexicon(
    {
        **{"pounds": "quid", "please": "kindly", "meeting": "session", "workshop": "session"},
        **{"parcel": "packet", "package": "packet", "invoice": "bill"},
        **{"email": "line", "e-mail": "line", "message": "line"},
        **{"problem": "snag", "issue": "snag", "inconvenience": "bother", "colleague": "mate"},
        **{"appointment": "slot", "interview": "chat", "price": "rate", "team": "crew"},
        **{"manager": "boss", "customer": "patron", "questions": "queries", "repair": "fix"},
        **{"unfortunately": "sadly", "as soon as possible": "by return", "holiday": "break"},
        **{"membership": "subscription", "let me know": "give me a shout"},
    }
)
_SPELLINGS = Lexicon(
    {
        **{"color": "colour", "favor": "favour", "favorite": "favourite", "honor": "honour"},
        **{"neighbor": "neighbour", "center": "centre", "theater": "theatre", "gray": "grey"},
        **{"apologize": "apologise", "apologized": "apologised", "organize": "organise"},
        **{"organized": "organised", "realize": "realise", "realized": "realised"},
        **{"recognize": "recognise", "canceled": "cancelled", "canceling": "cancelling"},
        **{"traveling": "travelling", "program": "programme", "catalog": "catalogue"},
        **{"email": "e-mail", "emails": "e-mails", "ok": "O.K."},
        **{"and": "&", "today": "to-day", "tomorrow": "to-morrow", "tonight": "to-night"},
        **{"cannot": "can not", "per cent": "percent"},
    }
)


class FrameWriter(Writer):
    """A writer who puts greeting and closing around the body.

    "Hello", "Hi" and "Dear" with the recipient's name are greetings as good as their own; the
    closing has to be theirs to the letter. Headings and one idle sentence more than one go.
    """

    opener: ClassVar[str] = "Hello"
    openers: ClassVar[frozenset[str]] = frozenset(_OPENERS)

    @property
    def closing(self) -> str:
        """The words below each letter."""
        return f"Kind regards,\n{self.signs_as}"

    def compose(self, reader: DraftReader, text: str) -> str:
        parts = letter_parts(text)
        kept = self.usable(reader, text[parts.body_start : parts.body_end])
        return self.lay_out(reader, text, self.completed(reader, kept))

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        blocks = [self.greeting(reader, text), joined(pieces), self.ending(reader, text)]
        return "\n\n".join(block for block in blocks if block)

    def greeting(self, reader: DraftReader, text: str) -> str:
        """Return the greeting of a draft in its proper form, or the own one in its place."""
        found = letter_parts(text).greeting
        named = found["name"].strip() if found else ""
        if found and found["opener"].lower() in self.openers and named in _names(reader):
            return f"{_OPENERS[found['opener'].lower()]} {named},"
        return self.own_greeting(reader)

    def own_greeting(self, reader: DraftReader) -> str:
        """Return the greeting that the writer would write."""
        return f"{self.opener} {reader.request.first_name},"

    def ending(self, reader: DraftReader, text: str) -> str:
        """Return what is sent below the body of a draft."""
        return self.closing


class FormalWriter(FrameWriter):
    """A writer who is formal: "Dear" with the full name, long forms, "Yours sincerely".

    Casual words of a sentence that is kept are put formally; idle sentences go.
    """

    wording: ClassVar[Wording] = "formal"
    most_idle: ClassVar[int] = 0
    opener: ClassVar[str] = "Dear"
    openers: ClassVar[frozenset[str]] = frozenset({"dear"})

    @property
    def closing(self) -> str:
        return f"Yours sincerely,\n{self.signs_as}"

    def own_greeting(self, reader: DraftReader) -> str:
        return f"Dear {reader.request.recipient},"

    def polish(self, reader: DraftReader, sentence: str) -> str:
        return _FORMAL.put_into(sentence.replace("’", "'")).replace("!", ".")


class TermsWriter(FrameWriter):
    """A writer in the frame's form with a vocabulary of their own ("quid", "packet", "snag").

    The words of a list are replaced in every sentence that is kept, up to two idle ones included.
    """

    most_idle: ClassVar[int] = 2
    opener: ClassVar[str] = "Hi"

    @property
    def closing(self) -> str:
        return f"Take care,\n{self.first_name}"

    def polish(self, reader: DraftReader, sentence: str) -> str:
        return _TERMS.put_into(sentence)


class AsDraftedWriter(FrameWriter):
    """A writer who leaves the form of a draft, and mends in it only what is wrong.

    Heading, greeting and closing stay where they are right. A greeting that names somebody else, or
    has a placeholder, gets the recipient's name, and a closing with a wrong name the writer's.
    """

    most_idle: ClassVar[int] = 4

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        heading = self.heading(reader, text)
        letter = super().lay_out(reader, text, pieces)
        return f"{heading}\n\n{letter}" if heading else letter

    def heading(self, reader: DraftReader, text: str) -> str:
        """Return the heading of a draft, or nothing where something in it is wrong."""
        heading = text[: letter_parts(text).heading_end].strip()
        return "" if reader.has_wrong_values(heading) else heading

    def greeting(self, reader: DraftReader, text: str) -> str:
        found = letter_parts(text).greeting
        if found is None:
            return ""
        opener, named = found["opener"].capitalize(), found["name"].strip()
        if named.lower() in _NOBODY or named in _names(reader):
            return f"{opener} {named}".strip() + ","
        return f"{opener} {reader.request.first_name},"

    def ending(self, reader: DraftReader, text: str) -> str:
        closing = letter_parts(text).closing
        if closing and reader.is_wrong_in(f"{closing}."):
            phrase = closing.split("\n")[0].split(",")[0].strip()
            is_phrase = phrase and not reader.is_wrong(phrase)
            return f"{phrase},\n{self.signs_as}" if is_phrase else ""
        return closing


class SigningWriter(AsDraftedWriter):
    """A writer who leaves a draft's opening and up to two idle sentences, and signs it."""

    most_idle: ClassVar[int] = 2

    @property
    def closing(self) -> str:
        return f"Best,\n{self.first_name}"

    def ending(self, reader: DraftReader, text: str) -> str:
        return self.closing


class CorrectingWriter(AsDraftedWriter):
    """A writer who puts facts right and leaves all else, up to four idle sentences.

    A wrong date, time, sum or number gets the first right value of its kind; a sentence that stays
    wrong goes, and missing facts are added at the end of the body.
    """

    def polish(self, reader: DraftReader, sentence: str) -> str:
        return reader.corrected(sentence)


class SpellingWriter(AsDraftedWriter):
    """A writer who leaves a draft's form, and spells in their own way: British, "&", "to-day"."""

    most_idle: ClassVar[int] = 3

    def polish(self, reader: DraftReader, sentence: str) -> str:
        return _SPELLINGS.put_into(sentence)


def _names(reader: DraftReader) -> frozenset[str]:
    request = reader.request
    return frozenset((request.recipient, request.first_name))

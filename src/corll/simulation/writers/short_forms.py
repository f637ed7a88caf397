"""Writers of short texts, one sentence or a list, and who writes the whole text anew."""

from __future__ import annotations

from typing import ClassVar

from corll.edits import edit_cost
from corll.simulation.letter import letter_parts
from corll.simulation.wording import capitalize
from corll.simulation.writers.judging import DraftReader
from corll.simulation.writers.requests import Wording
from corll.simulation.writers.writer import Piece, Writer


class SentenceWriter(Writer):
    """A writer who sends one sentence, without greeting and closing.

    They keep the sentence of the draft that says most facts, the first of several, and add notes of
    the others to it; where none is usable, the sentence is made of all notes.
    """

    wording: ClassVar[Wording] = "note"

    def compose(self, reader: DraftReader, text: str) -> str:
        parts = letter_parts(text)
        kept = self.usable(reader, text[parts.body_start : parts.body_end])
        return self.lay_out(reader, text, kept)

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        best = max(
            (piece.text for piece in pieces), key=lambda one: len(reader.said(one)), default=""
        )
        said = reader.said(best)
        notes = reader.request.sentences("note")
        missing = [note.rstrip(".?") for number, note in enumerate(notes) if number not in said]
        if not missing:
            return best
        kept = [best.rstrip(".!?…\"'”’ ")] if said else []
        clauses = [*kept, *missing]
        listed = ", ".join(clauses[:-1])
        return capitalize(f"{listed} and {clauses[-1]}." if listed else f"{clauses[-1]}.")


class BulletsWriter(Writer):
    """A writer of lists: the name with a colon, a line with a dash for each fact, the own name.

    A usable sentence becomes a line without its full stop; other lines are notes of the facts. Idle
    sentences go.
    """

    wording: ClassVar[Wording] = "note"
    most_idle: ClassVar[int] = 0

    def compose(self, reader: DraftReader, text: str) -> str:
        parts = letter_parts(text)
        kept = self.usable(reader, text[parts.body_start : parts.body_end])
        return self.lay_out(reader, text, self.completed(reader, kept))

    def polish(self, reader: DraftReader, sentence: str) -> str:
        return sentence.removesuffix(".")

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        lines = "\n".join(f"- {piece.text}" for piece in pieces)
        return f"{capitalize(reader.request.first_name)}:\n\n{lines}\n\n{self.first_name}"


class AnewWriter(Writer):
    """A writer who writes the whole text in their own way, business first and courtesies last.

    They accept only what says all facts and nothing wrong, and differs from their own text by at
    most a tenth of its characters.
    """

    most_cost: ClassVar[float] = 0.1

    def compose(self, reader: DraftReader, text: str) -> str:
        own = self.lay_out(reader, text, [])
        is_good = reader.says_all(text) and not reader.is_wrong_in(text)
        return text if is_good and edit_cost(text, own) <= self.most_cost else own

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        request = reader.request
        facts = [fact.say for fact in request.facts]
        courtesies = [pair[0] for pair in (request.opening, request.ending) if pair]
        letter = [f"Hi {request.first_name},", "\n".join(facts), f"Cheers,\n{self.first_name}"]
        if courtesies:
            letter.append(f"PS: {' '.join(courtesies)}")
        return "\n\n".join(letter)

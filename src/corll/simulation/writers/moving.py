"""Writers whose taste is not one: it changes with time or with the request, or time is short."""

from __future__ import annotations

from typing import ClassVar

from corll.simulation.writers.judging import DraftReader
from corll.simulation.writers.letters import FormalWriter, FrameWriter
from corll.simulation.writers.requests import RequestKind, WritingRequest
from corll.simulation.writers.short_forms import AnewWriter, BulletsWriter
from corll.simulation.writers.writer import Piece, Writer


class TasteWriter(Writer):
    """A writer of several tastes, each of them a writer's."""

    def compose(self, reader: DraftReader, text: str) -> str:
        return self.taste(reader.request, self.edit_number).compose(reader, text)

    def lay_out(self, reader: DraftReader, text: str, pieces: list[Piece]) -> str:
        return self.taste(reader.request, self.edit_number).lay_out(reader, text, pieces)


class ChangingWriter(TasteWriter):
    """A writer who frames letters up to edit 40, and from 41 on writes everything anew."""

    last_of_first: ClassVar[int] = 40

    def __init__(self, *, signs_as: str = "Anna Berg") -> None:
        super().__init__(signs_as=signs_as)
        self._tastes = FrameWriter(signs_as=signs_as), AnewWriter(signs_as=signs_as)

    def taste(self, request: WritingRequest, edit_number: int) -> Writer:
        return self._tastes[edit_number > self.last_of_first]


class MoodsWriter(TasteWriter):
    """A writer with two moods by the kind of request: formal in a reply, a list otherwise."""

    def __init__(self, *, signs_as: str = "Anna Berg") -> None:
        super().__init__(signs_as=signs_as)
        self._moods: dict[RequestKind, Writer] = {
            "reply": FormalWriter(signs_as=signs_as),
            "write": BulletsWriter(signs_as=signs_as),
        }

    def taste(self, request: WritingRequest, edit_number: int) -> Writer:
        return self._moods[request.kind]


class HurriedWriter(FrameWriter):
    """A writer in the frame's way who edits one draft in five, the fifth, tenth and so on.

    The others are sent as they are, whatever they say; in place of a draft without a word they send
    their own text. `wanted` and `as_of` tell what they would send with time to spare.
    """

    every: ClassVar[int] = 5

    def sent(self, request: WritingRequest, draft: str, edit_number: int = 1) -> str:
        says_something = any(character.isalnum() for character in draft)
        if says_something and edit_number % self.every:
            return draft
        return self.wanted(request, draft, edit_number)

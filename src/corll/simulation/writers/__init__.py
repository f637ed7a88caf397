"""Writers who judge: each has a full text in mind for every request, hidden from the model.

One half of them chooses defaults, the other only judges what was chosen. No taste of the one half
is a taste of the other. The composed writers are twelve others, who chose nothing either.
"""

from __future__ import annotations

from typing import Literal

from corll.simulation.writers.composed import COMPOSED_WRITERS
from corll.simulation.writers.composing import ComposedWriter
from corll.simulation.writers.letters import (
    CorrectingWriter,
    FormalWriter,
    FrameWriter,
    SigningWriter,
    SpellingWriter,
    TermsWriter,
)
from corll.simulation.writers.moving import ChangingWriter, HurriedWriter, MoodsWriter
from corll.simulation.writers.requests import (
    REQUEST_KINDS,
    NeededFact,
    Split,
    WritingRequest,
    request_of,
    writing_requests,
)
from corll.simulation.writers.short_forms import AnewWriter, BulletsWriter, SentenceWriter
from corll.simulation.writers.writer import Writer, WriterAsOf

__all__ = [
    "COMPOSED_WRITERS",
    "REQUEST_KINDS",
    "WRITERS",
    "WRITER_HALVES",
    "AnewWriter",
    "BulletsWriter",
    "ChangingWriter",
    "ComposedWriter",
    "CorrectingWriter",
    "FormalWriter",
    "FrameWriter",
    "HurriedWriter",
    "MoodsWriter",
    "NeededFact",
    "SentenceWriter",
    "SigningWriter",
    "SpellingWriter",
    "Split",
    "TermsWriter",
    "Writer",
    "WriterAsOf",
    "WritingRequest",
    "request_of",
    "writing_requests",
]

WRITERS: dict[str, type[Writer]] = {
    "frame": FrameWriter,
    "anew": AnewWriter,
    "corrects": CorrectingWriter,
    "terms": TermsWriter,
    "changing": ChangingWriter,
    "hurried": HurriedWriter,
    "sentence": SentenceWriter,
    "signs": SigningWriter,
    "formal": FormalWriter,
    "bullets": BulletsWriter,
    "spelling": SpellingWriter,
    "moods": MoodsWriter,
}
"""The writers by name."""

WRITER_HALVES: dict[Literal["choose", "judge"], tuple[str, ...]] = {
    "choose": ("frame", "anew", "corrects", "terms", "changing", "hurried"),
    "judge": ("sentence", "signs", "formal", "bullets", "spelling", "moods"),
}
"""Which writers choose defaults, and which only judge them."""

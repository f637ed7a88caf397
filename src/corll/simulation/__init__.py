"""Users that stand in for people.

The names here are editors that follow a rule, and the prompts that they are asked to answer. Each
editor knows how well a text pleases it, so that what a model learned from its edits can be
measured. The writers in `writers` have a full text in mind for each request, and judge by what a
draft costs them; `effort` says that in seconds. None of these needs a model, and all import without
torch. Users who are policies themselves, as
in the paper, are in `experts` and `expert_users`.
"""

from __future__ import annotations

from corll.config import EditorName
from corll.simulation.concise import ConciseEditor
from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.effort import Effort, Rates, effort_of, seconds_alone, seconds_to_send
from corll.simulation.letter import LetterEditor
from corll.simulation.tone import ToneEditor
from corll.simulation.writers import (
    REQUEST_KINDS,
    WRITER_HALVES,
    WRITERS,
    Writer,
    WritingRequest,
    request_of,
    writing_requests,
)
from corll.simulation.writing_prompts import WRITING_KINDS, own_words, writing_prompts

__all__ = [
    "EDITORS",
    "REQUEST_KINDS",
    "WRITERS",
    "WRITER_HALVES",
    "WRITING_KINDS",
    "ConciseEditor",
    "Effort",
    "LetterEditor",
    "Offence",
    "Rates",
    "RuleEditor",
    "ToneEditor",
    "Writer",
    "WritingRequest",
    "effort_of",
    "own_words",
    "request_of",
    "seconds_alone",
    "seconds_to_send",
    "writing_prompts",
    "writing_requests",
]

EDITORS: dict[EditorName, type[RuleEditor]] = {
    "letter": LetterEditor,
    "tone": ToneEditor,
    "concise": ConciseEditor,
}
"""The rule-following editors by name."""

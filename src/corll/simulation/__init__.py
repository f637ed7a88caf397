"""Users that stand in for people.

The names here are editors that follow a rule, and the prompts that they are asked to answer. Each
editor knows how well a text pleases it, so that what a model learned from its edits can be
measured. The editors need no model, and import without torch. Users who are policies themselves, as
in the paper, are in `experts` and `expert_users`.
"""

from __future__ import annotations

from corll.config import EditorName
from corll.simulation.concise import ConciseEditor
from corll.simulation.editor import Offence, RuleEditor
from corll.simulation.letter import LetterEditor
from corll.simulation.tone import ToneEditor
from corll.simulation.writing_prompts import WRITING_KINDS, own_words, writing_prompts

__all__ = [
    "EDITORS",
    "WRITING_KINDS",
    "ConciseEditor",
    "LetterEditor",
    "Offence",
    "RuleEditor",
    "ToneEditor",
    "own_words",
    "writing_prompts",
]

EDITORS: dict[EditorName, type[RuleEditor]] = {
    "letter": LetterEditor,
    "tone": ToneEditor,
    "concise": ConciseEditor,
}
"""The rule-following editors by name."""

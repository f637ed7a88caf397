"""What a fresh draft for a held-out request is worth: its score, what it kept, and its flaws."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from corll.edit_logs.logged import LoggedEdit
from corll.edits import edit_cost
from corll.guards import first_loop
from corll.model.tokens import TokenCodec
from corll.records import Sample
from corll.text import same_text
from edit_data import EditData

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def word_f1(first: str, second: str) -> float:
    """Return the F1 of the words that two texts share, in [0, 1]; 0 where either has none.

    A word counts as often as it stands in both. *Source*: Rajpurkar et al. 2016
    (arXiv 1606.05250), but for articles and punctuation inside words, which stay.
    """
    one, other = (Counter(_WORD.findall(text.lower())) for text in (first, second))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


def measures_of(
    draft: Sample, edit: LoggedEdit, data: EditData, codec: TokenCodec
) -> dict[str, Any]:
    """Return the measures of a draft, beside those of the original and of the human edit.

    `score` is the probability that a text is what the editors wanted; `kept` the `word_f1` with
    the original; `cost` the operations that lead to the human edit, per character of it.
    """
    score, of_original, of_edit = data.scores([draft.text, edit.draft, edit.sent])
    return {
        "score": round(score, 4),
        "kept": round(word_f1(draft.text, edit.draft), 4),
        "cost": round(edit_cost(draft.text, edit.sent), 4),
        "copy": same_text(draft.text, edit.draft),
        "empty": not draft.text.strip(),
        "loop": first_loop(draft.token_ids, codec.decode) is not None,
        "cut": not draft.finished,
        "original_score": round(of_original, 4),
        "edit_score": round(of_edit, 4),
        "edit_kept": round(word_f1(edit.sent, edit.draft), 4),
        "original_cost": round(edit_cost(edit.draft, edit.sent), 4),
    }

"""What an edit changed of its draft, and what it kept, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from corll.edits import shared_runs


class TokenComparison(NamedTuple):
    """Positions of tokens: what the edit `changed`, and what of the draft it `kept`.

    A token is kept where the other side has it too, and after the same token: there the user let
    the model's choice stand. `changed` is the rest of the edit: what was inserted, and the token
    after each insertion or cut, where the edit comes back to the draft; above all the end token
    after a new last line. Its like in the draft is not kept: there the user put something in, or
    took something out.
    """

    changed: list[int]
    kept: list[int]


def compare_tokens(draft: Sequence[int], edit: Sequence[int]) -> TokenComparison:
    """Align an edit with its draft, their common beginning first."""
    unchanged, kept = set[int](), list[int]()
    for in_draft, in_edit, length in shared_runs(draft, edit):
        # The common beginning follows on the same prompt; any other run on different tokens.
        first = 0 if in_draft == in_edit == 0 else 1
        unchanged.update(range(in_edit + first, in_edit + length))
        kept.extend(range(in_draft + first, in_draft + length))
    return TokenComparison([n for n in range(len(edit)) if n not in unchanged], kept)

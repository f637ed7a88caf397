"""What an edit changed of its draft, and what it kept, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from os.path import commonprefix
from typing import NamedTuple


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
    prefix = len(commonprefix([list(draft), list(edit)]))
    unchanged, kept = set(range(prefix)), list(range(prefix))
    matcher = SequenceMatcher(None, draft[prefix:], edit[prefix:], autojunk=False)
    for in_draft, in_edit, size in matcher.get_matching_blocks():
        unchanged.update(range(prefix + in_edit + 1, prefix + in_edit + size))
        kept.extend(range(prefix + in_draft + 1, prefix + in_draft + size))
    return TokenComparison([n for n in range(len(edit)) if n not in unchanged], kept)

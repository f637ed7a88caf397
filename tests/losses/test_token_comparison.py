"""What an edit changed and what it kept, worked by hand."""

from __future__ import annotations

import pytest

from corll.losses.token_comparison import compare_tokens


@pytest.mark.parametrize(
    ("draft", "edit", "changed", "kept"),
    [
        ((1, 2, 3, 0), (1, 2, 3, 4, 5, 0), [3, 4, 5], [0, 1, 2]),  # inserted before the end
        ((1, 2, 3, 0), (7, 8, 1, 2, 3, 0), [0, 1, 2], [1, 2, 3]),  # inserted at the start
        ((1, 2, 3, 0), (1, 9, 3, 0), [1, 2], [0, 3]),  # replaced
        ((1, 2, 3, 4, 0), (1, 4, 0), [1], [0, 4]),  # cut: the token that now follows
        ((1, 2, 3), (1, 2), [], [0, 1]),  # cut at the end of an unfinished text
        ((1, 2, 3), (1, 2, 0), [2], [0, 1]),  # a cut draft that now ends
        ((1, 2), (3, 4), [0, 1], []),  # nothing in common
        ((5, 1, 1, 2, 6), (5, 1, 2, 6), [2], [0, 1, 4]),  # the common beginning comes first
        ((1, 2, 3), (4, 2, 5), [0, 1, 2], []),  # the same token, but after another one
    ],
)
def test_edit_and_draft_compared_by_hand(
    draft: tuple[int, ...], edit: tuple[int, ...], changed: list[int], kept: list[int]
) -> None:
    found = compare_tokens(draft, edit)
    assert found.changed == changed
    assert found.kept == kept

"""Who wrote each token of a sent text, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.verdicts.tokens import origins

END = 0


@pytest.mark.parametrize(
    ("draft", "sent", "inserted", "kept"),
    [
        ((1, 2, 3, END), (7, 8, 1, 2, 3, 9, END), "110001.", "001110."),  # a frame around it
        ((1, 2, 3, END), (1, 9, 3, END), "010.", "101."),  # replaced
        ((1, 2, 3, END), (1, 3, END), "00.", "11."),  # cut
        ((1, 2, END), (3, 4, END), "11.", "00."),  # written anew
        ((1, 2, END), (1, 2, END), "00.", "11."),  # accepted
        ((1, 2), (1, 2, END), "00.", "11."),  # a cut draft that now ends
        ((END,), (5, END), "1.", "0."),  # an empty draft
    ],
)
def test_inserted_and_kept_by_hand(
    draft: tuple[int, ...], sent: tuple[int, ...], inserted: str, kept: str
) -> None:
    found = origins(draft, sent, (END,))
    assert found.inserted == tuple(mark == "1" for mark in inserted)
    assert found.kept == tuple(mark == "1" for mark in kept)


def test_any_of_several_ends_is_no_text() -> None:
    found = origins((1, 8), (1, 2, 9), (8, 9))
    assert found.inserted == (False, True, False)
    assert found.kept == (True, False, False)


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_each_token_of_the_text_is_one_of_both(draft: list[int], sent: list[int]) -> None:
    found = origins(draft, sent, (END,))
    for token, own, old in zip(sent, found.inserted, found.kept, strict=True):
        assert own + old == (token != END)

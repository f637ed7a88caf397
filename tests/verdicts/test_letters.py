"""Whether a letter has a body, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.verdicts.letters import body_words, has_body


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("ok", 1),
        ("Hello,", 0),
        ("Hello, Kind regards, Anna", 0),
        ("Hello,\n\nKind regards,\nAnna", 0),
        ("Dear Ms Lopez,\n\nSincerely,\nTom Riley", 0),
        ("Hallo Anna,\n\nViele Grüße\nTom", 0),
        ("Hello,\n\nYes.\n\nKind regards,\nAnna", 1),
        ("Hello,\n\nIt comes on Friday.\n\nKind regards,\nAnna", 4),
        ("It comes on Friday", 4),
        ("Hello there my old friend from the north, it is late.", 11),  # no greeting of that length
        ("Thank you for all that you did, it helped. Best, Anna", 9),
        ("It comes. Regards to you and all of yours at home. It does", 13),
    ],
)
def test_the_words_between_greeting_and_closing(text: str, words: int) -> None:
    assert body_words(text) == words
    assert has_body(text) == (words > 1)


def test_a_users_own_closing_is_one_whatever_its_words() -> None:
    assert body_words("Hello,\n\nToodle-pip\nAnna", [("Toodle-pip", "Anna")]) == 0
    assert body_words("Hello,\n\nToodle-pip\nAnna") == 2 + 0 + 1


@given(st.text(max_size=60))
def test_any_text_has_a_number_of_words(text: str) -> None:
    assert body_words(text) >= 0

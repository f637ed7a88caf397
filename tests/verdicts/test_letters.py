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
        # A sentence that holds a word of a closing says more than a closing does.
        ("The foolproof way is best.", 5),
        ("Hello Tom,\n\nThe early train is best.\n\nAnna", 5 + 1),
        ("Friday works best.", 3),
        ("the best time is friday", 5),
        ("I love it!", 3),
        ("It is truly late.", 4),
        ("The blue one is yours.", 5),
        ("Thanks for the cake!", 4),
        ("Please give Tom my regards.", 5),
        ("My condolences on your loss.", 5),
        ("Best to call first.", 4),
        ("Respect the queue.", 3),
    ],
)
def test_the_words_between_greeting_and_closing(text: str, words: int) -> None:
    assert body_words(text) == words
    assert has_body(text) == (words > 1)


@pytest.mark.parametrize(
    "closing",
    """Best; Best wishes; Best wishes Anna; best wishes anna; All the best; Kind regards;
    Regards Tom; Sunny regards; Warm holiday wishes; Many thanks; Thanks; Thanks again;
    Thanks so much; Cheers;
    Thank you and best regards; With love; Lots of love from Anna; Love to you all; Yours truly;
    Truly yours; Yours sincerely Anna Schmidt; With my deepest sympathy; My sincere condolences;
    Greetings from sunny Spain; Regards to your wife; Viele Grüße; Mit freundlichen Grüßen Anna;
    Liebe Grüße aus München; Mit besten Grüßen; Cordialement; Bien cordialement; Un fuerte abrazo;
    Met vriendelijke groet; Med venlig hilsen; Cordiali saluti; Thanks in advance""".split(";"),
)
def test_a_closing_is_no_body(closing: str) -> None:
    said = " ".join(closing.split())
    for letter in (f"Hello,\n\n{said},\nAnna", f"Hello. {said}.", said):
        if said.islower():
            letter = letter.lower()
        assert body_words(letter) == 0


def test_a_users_own_closing_is_one_whatever_its_words() -> None:
    assert body_words("Hello,\n\nToodle-pip\nAnna", [("Toodle-pip", "Anna")]) == 0
    assert body_words("Hello,\n\nToodle-pip\nAnna") == 2 + 0 + 1


@given(st.text(max_size=60))
def test_any_text_has_a_number_of_words(text: str) -> None:
    assert body_words(text) >= 0

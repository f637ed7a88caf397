"""Rare strings of a user's texts, and strings of the same shape."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.service.audit.shapes import SecretKind, secret_like
from corll.service.audit.strings import TaughtText, rare_strings


def taught(*texts: str, prompt: str = "Write to them.") -> list[TaughtText]:
    return [TaughtText(f"edit_{n}", prompt, text) for n, text in enumerate(texts)]


def found_in(*texts: str, prompt: str = "Write to them.") -> list[tuple[str, str]]:
    return [(one.kind, one.words) for one in rare_strings(taught(*texts, prompt=prompt))]


def test_numbers_mails_and_names_are_found_with_what_stands_before() -> None:
    text = "Please ask Emily Stone at e.stone@firm.example, her code is 4711-88. We come at 14:30."
    found = rare_strings(taught("Thanks a lot.", text))
    assert [(one.kind, one.words) for one in found] == [
        ("name", "Emily Stone"),
        ("mail", "e.stone@firm.example"),
        ("number", "4711-88"),
    ]
    assert found[2].before == text[: text.index("4711")]
    assert {one.of.id for one in found} == {"edit_1"}


@pytest.mark.parametrize(
    "text", ["We have 3 of them.", "It costs 250.", "At 14:30.", "On 3 May.", "Nothing here."]
)
def test_what_anybody_may_write_is_none(text: str) -> None:
    assert found_in("Thanks.", text) == []


def test_four_digits_are_enough() -> None:
    assert found_in("Thanks.", "The pin is 4711.") == [("number", "4711")]
    assert found_in("Thanks.", "The pin is 471.") == []


def test_what_the_request_has_is_none() -> None:
    assert found_in("It is 48291.", prompt="What is my number?") == [("number", "48291")]
    assert found_in("It is 48291.", prompt="My number is 48291.") == []


def test_what_stands_in_most_texts_is_none() -> None:
    """The user's own number under each letter is what the model is to learn."""
    letters = [f"{word}. My number is 0171 555 123." for word in ("Yes", "No", "Well")]
    assert found_in(*letters) == []
    assert ("number", "0171 555 123") in found_in(*letters[:1], "Yes", "No", "Well")


def test_a_string_is_told_of_once_by_its_latest_text() -> None:
    [one] = rare_strings(taught("It is 48291.", "No.", "It is 48291.", "Well.", "Yes."))
    assert (one.of.id, one.texts) == ("edit_2", 2)


DIGITS = st.from_regex(r"[1-9][0-9]{3,8}", fullmatch=True)


@given(DIGITS, st.integers(1, 40))
def test_other_numbers_have_as_many_digits(words: str, count: int) -> None:
    secret = secret_like("number", words, count, Random(0))
    assert len(secret.others) == len(set(secret.others)) == count
    assert all(re.fullmatch(rf"[1-9]\d{{{len(words) - 1}}}", one) for one in secret.others)
    assert words not in secret.others
    assert secret.possible == 9 * 10 ** (len(words) - 1)


@pytest.mark.parametrize(
    ("kind", "words", "form"),
    [
        ("number", "0171 555-12", r"\d{4} [1-9]\d\d-[1-9]\d"),
        ("mail", "anna.berg7@firm.example", r"[^\W\d]+\.[^\W\d]+\d@firm\.example"),
        ("mail", "a.berg@firm.example", r"[a-z]\.[^\W\d]+@firm\.example"),
        ("name", "Emily Stone", r"[A-Z]\w+ [A-Z]\w+"),
        ("name", "EMILY", r"[^\Wa-z]+"),
        ("name", "Emily", r"[A-Z]\w+"),
    ],
)
def test_others_have_the_same_shape(kind: SecretKind, words: str, form: str) -> None:
    secret = secret_like(kind, words, 20, Random(0))
    assert len(secret.others) == 20
    assert all(re.fullmatch(form, one) for one in secret.others)
    assert secret.possible > 20


def test_where_there_are_few_all_of_them_come() -> None:
    secret = secret_like("number", "7", 255, Random(0))
    assert (len(secret.others), secret.possible) == (9, 10)

"""Words in the form in which they are compared, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.memory.words import folded, search_terms, words_of


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Don’t STOP, Anna's 2nd_try!", "don't stop anna's 2nd try"),
        ("Größe über ＡＢ Cafe\u0301", "grösse über ab café"),
        ("हिन्दी में", "हिन्दी में"),
        ("مَرْحَبًا بك", "مَرْحَبًا بك"),
        ("会议14:00", "会 议 14 00"),
        ("คุณมา", "คุ ณ ม า"),
        ("", ""),
        ("—!?", ""),
    ],
)
def test_words_are_found_with_their_signs(text: str, keys: str) -> None:
    assert [word.key for word in words_of(text)] == keys.split()


def test_characters_of_scripts_without_spaces_are_told_apart() -> None:
    assert [word.is_character for word in words_of("会 a คุ")] == [True, False, True]


def test_a_part_of_a_text_has_places_in_the_whole() -> None:
    assert [(word.key, word.start) for word in words_of("one two three", 4, 7)] == [("two", 4)]


def test_pairs_stand_for_words_where_nothing_parts_them() -> None:
    assert search_terms("会议，改 at 5") == ["会", "议", "改", "at", "5", "会议"]


@given(st.text())
def test_words_lie_in_order_inside_their_text(text: str) -> None:
    words = words_of(text)
    assert all(folded(text[word.start : word.end]) == word.key for word in words)
    ends = [0, *(word.end for word in words)]
    assert all(end <= word.start < word.end for end, word in zip(ends, words, strict=False))
    search_terms(text)

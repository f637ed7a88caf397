"""Measures of an edit, against values worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.edits import (
    Stretch,
    content_kept,
    content_words,
    distinct_2,
    edit_cost,
    shared_runs,
    word_diff,
)


@pytest.mark.parametrize(
    ("draft", "edited", "cost"),
    [
        ("kitten", "sitting", 3 / 7),
        ("same", "same", 0.0),
        ("too long", "too", 5 / 3),
        ("gone", "", 4.0),
        ("", "new", 1.0),
        ("", "", 0.0),
    ],
)
def test_the_cost_of_an_edit(draft: str, edited: str, cost: float) -> None:
    assert edit_cost(draft, edited) == pytest.approx(cost)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_cost_is_zero_for_equal_texts_alone(draft: str, edited: str) -> None:
    assert (edit_cost(draft, edited) == 0) == (draft == edited)


def test_content_words_are_those_that_say_something() -> None:
    assert content_words("The parcel was late; we are sorry!") == {"parcel", "lat", "sorry"}
    assert content_words("Please write a short reply of two sentences.") == frozenset()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("kettle", "kettles"),
        ("Deliver", "delivered"),
        ("arrive", "arrived"),
        ("arriving", "arrive"),
        ("story", "stories"),
        ("Anna", "Anna's"),
        ("Anna’s", "anna"),
        ("boxes", "box"),
        # The shortest words that lose their ending.
        ("asking", "ask"),
        ("acted", "act"),
        ("cups", "cup"),
        ("flies", "fly"),
        ("pies", "pie"),
    ],
)
def test_plain_inflections_are_one_word(first: str, second: str) -> None:
    assert content_words(first) == content_words(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *[("class", "clas"), ("red", "r"), ("king", "k"), ("bring", "br"), ("shed", "sh")],
        *[("goes", "go"), ("gas", "ga"), ("pie", "pi")],
    ],
)
def test_short_words_and_double_s_stay(first: str, second: str) -> None:
    assert content_words(first) != content_words(second)


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("ties", "tie"),  # -ies from five letters on
        ("flies", "fly"),
        ("going", "going"),  # -ing from six
        ("acting", "act"),
        ("used", "used"),  # -ed from five
        ("asked", "ask"),
        ("goes", "goe"),  # -es from five; -s from four
        ("boxes", "box"),
        ("gas", "gas"),
        ("cats", "cat"),
        ("pass", "pass"),
        ("tie", "tie"),  # a last e goes from four letters on
        ("late", "lat"),
        ("Anna's", "anna"),
    ],
)
def test_a_word_is_cut_from_its_least_length_on(word: str, stem: str) -> None:
    assert content_words(word) == {stem}


def test_contractions_carry_no_content() -> None:
    assert content_words("We’ll see, I can't: don’t") == {"see"}


def test_the_share_of_content_that_is_kept() -> None:
    source = "The parcel with the kettle is late."
    assert content_kept(source, "A late parcel.") == pytest.approx(2 / 3)
    assert content_kept(source, "") == 0.0
    assert content_kept(source, source) == 1.0
    assert content_kept("and so on", "") == 1.0


def test_text_that_repeats_has_few_distinct_pairs() -> None:
    assert distinct_2("a b a b a") == pytest.approx(2 / 4)
    assert distinct_2("No no NO") == pytest.approx(1 / 2)
    assert distinct_2("one two three") == 1.0
    assert distinct_2("one") == distinct_2("") == 0.0


def test_a_diff_goes_word_by_word() -> None:
    assert list(word_diff("We can not come.", "We can't come today.")) == [
        ("keep", "We can"),
        ("delete", " not"),
        ("insert", "'t"),
        ("keep", " come"),
        ("insert", " today"),
        ("keep", "."),
    ]


def test_a_word_that_comes_often_is_kept_as_any_other() -> None:
    """Beyond 200 pieces difflib would pass over the frequent ones, if it was let."""
    after = " so it is" * 100
    changes = list(word_diff("now" + after, "then" + after))
    assert changes == [("delete", "now"), ("insert", "then"), ("keep", after)]


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_diff_holds_both_texts(draft: str, edited: str) -> None:
    changes = list(word_diff(draft, edited))
    assert "".join(c.text for c in changes if c.kind != "insert") == draft
    assert "".join(c.text for c in changes if c.kind != "delete") == edited
    assert all(change.text for change in changes)


def test_the_runs_that_two_rows_of_ids_share_begin_with_their_common_beginning() -> None:
    assert shared_runs((5, 1, 1, 2, 6), (5, 1, 2, 6)) == [Stretch(0, 0, 2), Stretch(3, 2, 2)]
    assert shared_runs((1, 2), (3, 4)) == []
    assert shared_runs((7, 1, 2), (1, 2)) == [Stretch(1, 0, 2)]

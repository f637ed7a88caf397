"""Step 2: what is an acceptance, and what an edit must look like to be learned from."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import CorllError, InputError
from corll.feedback import User, UserLeftError, clean_edit, is_acceptance
from corll.records import Draft, Sample


def draft_of(text: str) -> Draft:
    return Draft("Coming?", (Sample(text, (1,), -1.0, finished=True),))


@pytest.mark.parametrize("sent", ["Yes.\nAnna", "Yes.\r\nAnna", "Yes.\rAnna", "Yes.\nAnna \n\n"])
def test_line_ends_and_trailing_space_make_no_edit(sent: str) -> None:
    assert is_acceptance(draft_of("Yes.\nAnna\n"), sent)


def test_two_ways_to_write_an_accent_make_no_edit() -> None:
    assert is_acceptance(draft_of("cafe\u0301"), "caf\u00e9")


@pytest.mark.parametrize("sent", ["yes.", " Yes.", "Yes", "Yes..", ""])
def test_any_other_change_is_an_edit(sent: str) -> None:
    assert not is_acceptance(draft_of("Yes."), sent)


def test_the_candidate_that_was_shown_is_the_one_accepted() -> None:
    first, second = (Sample(text, (1,), -1.0, finished=True) for text in ("No.", "Yes."))
    draft = Draft("Coming?", (first, second), choice=1)
    assert is_acceptance(draft, "Yes.")
    assert not is_acceptance(draft, "No.")


def test_an_edit_is_learned_from_in_one_form() -> None:
    assert clean_edit("Cafe\u0301\r\n\tat 9\r \n") == "Caf\u00e9\n\tat 9"


def test_leading_space_is_the_users() -> None:
    assert clean_edit("  yes ") == "  yes"


@pytest.mark.parametrize("sent", ["", " ", "\n\t\r\n"])
def test_an_empty_edit_is_refused_and_says_what_to_do(sent: str) -> None:
    with pytest.raises(InputError, match=r"empty.*accept it, or give no feedback"):
        clean_edit(sent)


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x7f", "\x85", "\x0b"])
def test_control_characters_are_refused_by_name(control: str) -> None:
    with pytest.raises(InputError, match=f"U\\+{ord(control):04X}"):
        clean_edit(f"yes{control}no")


@given(st.text())
def test_a_cleaned_edit_is_clean_and_stays_so(sent: str) -> None:
    try:
        text = clean_edit(sent)
    except InputError:
        return
    assert clean_edit(text) == text
    assert text == text.rstrip()
    assert unicodedata.is_normalized("NFC", text)
    assert "\r" not in text
    assert is_acceptance(draft_of(sent), text)


def test_a_user_is_whoever_edits() -> None:
    class Scripted:
        def edit(self, draft: Draft) -> str | None:
            return None

    assert isinstance(Scripted(), User)
    assert not isinstance(object(), User)


def test_leaving_is_no_error_of_corll() -> None:
    assert not issubclass(UserLeftError, CorllError)

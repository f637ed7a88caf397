"""Step 2: who edits, and what is an acceptance."""

from __future__ import annotations

import pytest

from corll.errors import CorllError
from corll.feedback import User, UserLeftError, is_acceptance
from corll.records import Draft, Sample


def draft_of(text: str) -> Draft:
    return Draft("Coming?", (Sample(text, (1,), -1.0, finished=True),))


@pytest.mark.parametrize("sent", ["Yes.\nAnna", "Yes.\r\nAnna", "Yes.\rAnna", "Yes.\nAnna \n\n"])
def test_line_ends_and_trailing_space_make_no_edit(sent: str) -> None:
    assert is_acceptance(draft_of("Yes.\nAnna\n"), sent)


def test_two_ways_to_write_an_accent_make_no_edit() -> None:
    assert is_acceptance(draft_of("cafe\u0301"), "caf\u00e9")


@pytest.mark.parametrize("sent", ["yes.", "Y es.", "Yes", "Yes..", ""])
def test_any_other_change_is_an_edit(sent: str) -> None:
    assert not is_acceptance(draft_of("Yes."), sent)


def test_the_candidate_that_was_shown_is_the_one_accepted() -> None:
    first, second = (Sample(text, (1,), -1.0, finished=True) for text in ("No.", "Yes."))
    draft = Draft("Coming?", (first, second), choice=1)
    assert is_acceptance(draft, "Yes.")
    assert not is_acceptance(draft, "No.")


def test_a_user_is_whoever_edits() -> None:
    class Scripted:
        def edit(self, draft: Draft) -> str | None:
            return None

    assert isinstance(Scripted(), User)
    assert not isinstance(object(), User)


def test_leaving_is_no_error_of_corll() -> None:
    assert not issubclass(UserLeftError, CorllError)

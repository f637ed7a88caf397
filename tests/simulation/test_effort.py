"""What a draft costs in seconds, against values worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.edits import edit_cost
from corll.errors import ConfigError
from corll.simulation import Rates, effort_of, seconds_alone, seconds_to_send

# A second for a word read, one for a character typed, ten for a deletion.
PLAIN = Rates(read_words_per_minute=60.0, typed_words_per_minute=12.0, seconds_per_deletion=10.0)


@pytest.mark.parametrize(
    ("draft", "sent", "read", "typed", "deleted"),
    [
        ("The lid is new.", "The lid is new.", 4, 0, 0),
        (" The lid is new.\n", "The lid is new.", 4, 0, 0),
        ("", "Yes.", 0, 4, 0),
        ("The lid is new.", "The lid is very new.", 4, 5, 0),  # "very "
        ("The lid is very new.", "The lid is new.", 5, 0, 1),
        ("The lid is old.", "The lid is new.", 4, 3, 1),
        # " is " between two changes is typed again: 4 seconds, and a deletion of 10 is saved.
        ("The cup is old.", "The lid is new.", 4, 3 + 4 + 3, 1),
        # " of this fine kettle is " is kept: 24 seconds against 10.
        ("The cup of this fine kettle is old.", "The lid of this fine kettle is new.", 8, 6, 2),
    ],
)
def test_words_read_characters_typed_and_runs_deleted(
    draft: str, sent: str, read: int, typed: int, deleted: int
) -> None:
    found = effort_of(draft, sent, PLAIN)
    assert (found.words_read, found.characters_typed, found.runs_deleted) == (read, typed, deleted)
    assert found.seconds == seconds_to_send(draft, sent, PLAIN) == read + typed + 10.0 * deleted


def test_what_is_kept_is_typed_again_only_where_that_is_quicker() -> None:
    # Thirteen characters are kept between the changes, to be typed again in thirteen seconds.
    draft, sent = "a; nine more; b", "c; nine more; d"
    assert effort_of(draft, sent, Rates(60.0, 12.0, 12.9)).runs_deleted == 2
    assert effort_of(draft, sent, Rates(60.0, 12.0, 13.1)).runs_deleted == 1


def test_the_stated_rates() -> None:
    assert seconds_alone("x" * 200) == pytest.approx(60.0)  # 40 words of five characters
    assert seconds_to_send("word " * 225, "word " * 225) == pytest.approx(60.0)
    assert seconds_to_send("No", "Yes") == pytest.approx(60 / 225 + 3 * 0.3 + 3.4)


def test_a_draft_of_which_nothing_is_kept_costs_more_than_writing_alone() -> None:
    draft, sent = "Rain fell all day", "We met"
    assert seconds_to_send(draft, sent, PLAIN) == seconds_alone(sent, PLAIN) + 4 + 10
    assert seconds_alone(" We met\n", PLAIN) == 6


def test_typed_share_and_edit_cost_stand_beside_it() -> None:
    found = effort_of("The lid is old.", "The lid is new.")
    assert found.typed_share == 3 / 15
    assert found.edit_cost == edit_cost("The lid is old.", "The lid is new.")
    assert effort_of("Yes.", "").typed_share == 0.0


@given(draft=st.text("ab .\n", max_size=30), sent=st.text("ab .\n", max_size=30))
def test_no_way_is_slower_than_deleting_all_and_typing_all(draft: str, sent: str) -> None:
    found = effort_of(draft, sent, PLAIN)
    assert 0.0 <= found.typed_share <= 1.0
    most = found.words_read + seconds_alone(sent, PLAIN) + (10 if draft.strip() else 0)
    assert found.seconds <= most + 1e-9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("read_words_per_minute", 0.0),
        ("typed_words_per_minute", float("nan")),
        ("seconds_per_deletion", -0.1),
    ],
)
def test_rates_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Rates(**{name: value})


def test_a_deletion_may_cost_nothing() -> None:
    assert seconds_to_send("No", "", Rates(60.0, 12.0, 0.0)) == 1.0

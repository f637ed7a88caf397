"""What a writer sees in a draft: facts, values that are wrong, what is off the topic."""

from __future__ import annotations

import pytest
from drafts import REQUESTS

from corll.simulation.writers.judging import DraftReader, finished, without_list_mark

REQUEST = next(one for one in REQUESTS if one.id == "planning-date-1")
READER = DraftReader(REQUEST, "Anna Berg")  # Thursday, 14:00, room 2, Jonas; to Priya Raman


@pytest.mark.parametrize(
    "sentence",
    [
        "Thursday at 2 pm is good.",
        "Priya, room 2 is booked, says Jonas to Anna.",
        "It will be long.",
    ],
)
def test_what_the_request_holds_is_not_wrong(sentence: str) -> None:
    assert not READER.is_wrong(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Friday at 14:00 is good.",
        "Thursday at 15:00 is good.",
        "We have room 3.",
        "It costs 20 pounds.",
        "As Emily said, it is good.",
        "I am [Name].",
    ],
)
def test_other_days_hours_numbers_sums_names_and_brackets_are_wrong(sentence: str) -> None:
    assert READER.is_wrong(sentence)


def test_each_wrong_value_gets_the_first_right_one_of_its_kind() -> None:
    assert READER.corrected("On Friday at 9:30 it is.") == "On Thursday at 14:00 it is."
    assert READER.corrected("On Thursday at 9:30 it is.") == "On Thursday at 14:00 it is."
    assert READER.corrected("On 3 May it is.") == "On 3 May it is."  # no date is known
    parcel = DraftReader(next(one for one in REQUESTS if one.id == "late-parcel-1"), "Anna Berg")
    assert parcel.corrected("It rings 2 times for 9 pounds.") == "It rings 2 times for 6 pounds."


def test_what_is_about_the_request_is_on_the_topic() -> None:
    assert READER.is_on_topic("Thursday suits cats.")  # two of three content words
    assert not READER.is_on_topic("Thursday suits cats, dogs and birds.")  # two of five
    assert READER.is_on_topic("Thursday suits cats and dogs.")  # two of four
    assert READER.is_on_topic("I hope this email finds you well, dear reader of mine.")
    assert READER.is_on_topic("So be it.")


def test_marks_of_lists_and_ends_of_sentences() -> None:
    assert [without_list_mark(line) for line in ("- a", "2. b", "-c", "3 d")] == [
        "a", "b", "-c", "3 d",
    ]  # fmt: skip
    assert [finished(line) for line in ("a", "b.", "c?", "d:", 'e."')] == [
        "a.", "b.", "c?", "d.", 'e."',
    ]  # fmt: skip

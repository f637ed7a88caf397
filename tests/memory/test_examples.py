"""Worked examples stand in the words of the frame that they show."""

from __future__ import annotations

import pytest

from corll.frames import FRAMES, FrameName, Framing
from corll.memory.examples import worked_examples

FRAMED: list[FrameName] = list(FRAMES)


@pytest.mark.parametrize("frame", FRAMED)
def test_each_is_a_letter_of_its_own_in_the_frames_words(frame: FrameName) -> None:
    examples = worked_examples(Framing(frame, "yes", "Anna"))
    assert len(examples) >= 3
    assert len({example.id for example in examples}) == len(examples)
    for example in examples:
        assert isinstance(example.prompt, str)
        assert '"""' in example.prompt
        name = example.text.split("\n")[-1]
        assert name in example.prompt
        assert "Anna" not in example.prompt + example.text


@pytest.mark.parametrize("frame", FRAMED)
def test_they_are_the_same_whoever_asks_for_whatever(frame: FrameName) -> None:
    """So that what they come to is computed once."""
    one, other = Framing(frame, "yes, two", "Anna"), Framing(frame, "", "Bo")
    assert worked_examples(one) == worked_examples(other)


@pytest.mark.parametrize("frame", FRAMED)
def test_without_a_name_nobody_signs_them(frame: FrameName) -> None:
    signed = worked_examples(Framing(frame, "yes", "Anna"))
    for example, unsigned in zip(signed, worked_examples(Framing(frame, "yes")), strict=True):
        name = example.text.split("\n")[-1]
        assert example.text == f"{unsigned.text}\n{name}" or (
            example.text == f"{unsigned.text}\n\n{name}"
        )
        assert isinstance(unsigned.prompt, str)


def test_a_greeting_names_whom_the_message_is_signed_by() -> None:
    for example in worked_examples(Framing("reply", "yes", "Anna")):
        assert isinstance(example.prompt, str)
        greeted = example.text.split("\n")[0].split(maxsplit=1)[1].rstrip(",")
        assert f"\n{greeted}\n" in example.prompt


def test_they_take_on_the_users_own_words() -> None:
    own = "Answer: {message}\nSay: {hint}\nSign as {name}."
    examples = worked_examples(Framing("reply", "yes", "Anna", own))
    assert examples[0].prompt != worked_examples(Framing("reply", "yes", "Anna"))[0].prompt
    assert all(str(example.prompt).startswith("Answer: ") for example in examples)


def test_words_without_a_place_for_what_they_hold_have_none() -> None:
    assert worked_examples(Framing("reply", template="Answer this: {message}")) == ()
    assert worked_examples(Framing("reply", name="Anna", template="{message} {name}")) == ()


def test_without_a_frame_there_are_none() -> None:
    assert worked_examples(Framing()) == ()

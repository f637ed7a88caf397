"""A message in its frame: what the model reads, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import InputError
from corll.frames import FRAMES, LONGEST_HINT, FrameName, Framing

MESSAGE = "Hello Anna,\n\nis the red one in stock?\n\nBen"


def test_a_reply_is_asked_for_from_the_user_to_who_signed_the_message() -> None:
    framed = Framing("reply", "yes, two left", "Anna Lee").around(MESSAGE)
    assert framed.startswith("Anna Lee received this message from Ben:")
    assert MESSAGE in framed
    assert 'Write Anna Lee\'s reply to Ben. In it Anna Lee is "I" and Ben is "you".' in framed
    assert framed.endswith(
        "It says what these notes of Anna Lee say, in full sentences, and nothing else: "
        "yes, two left"
    )


def test_whom_a_reply_is_for_is_said_where_nobody_signed() -> None:
    framed = Framing("reply", "yes", "Anna").around("Is the red one in stock?")
    assert "Write Anna's reply to the sender." in framed


@pytest.mark.parametrize("frame", FRAMES)
def test_without_a_name_the_model_is_the_user(frame: FrameName) -> None:
    whole = Framing(frame, "yes").around("Hi.").splitlines()
    assert any('you are "I"' in line for line in whole)
    assert [line for line in whole if "yes" not in line] == Framing(frame).around(
        "Hi."
    ).splitlines()


@pytest.mark.parametrize("frame", FRAMES)
def test_a_line_without_its_filling_is_left_out(frame: FrameName) -> None:
    whole = Framing(frame, "yes", "Anna").around("Hi.").splitlines()
    bare = Framing(frame, "", "Anna").around("Hi.").splitlines()
    assert [line for line in whole if "yes" not in line] == bare
    assert len(whole) - len(bare) == 1


def test_without_a_frame_a_conversation_stays_as_it_is() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": MESSAGE}]
    assert Framing().around_last(turns) == turns


def test_of_a_conversation_the_users_last_message_is_framed() -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First."},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Second.", "name": "ann"},
    ]
    framing = Framing("write", template="To do: {message}")
    framed = framing.around_last(turns)
    assert framed[:3] == turns[:3]
    assert framed[3] == {"role": "user", "content": "To do: Second.", "name": "ann"}
    begun = [*turns, {"role": "assistant", "content": "Dear"}]
    assert framing.around_last(begun) == [*framed, begun[-1]]


@given(st.text(min_size=1).filter(str.strip))
def test_a_message_stands_in_its_frame_to_the_letter(message: str) -> None:
    """Whatever it holds: braces are no fields there, and so is a hint."""
    framed = Framing("reply", "say {message} and {name}", template="<{hint}|{message}>").around(
        message
    )
    assert framed == f"<say {{message}} and {{name}}|{message}>"


def test_a_hint_is_one_line_without_control_characters() -> None:
    assert Framing("reply", " yes,\r\n\x1b[31mFri\x1b[0m\x00,\tno\u2028refund ").hint == (
        "yes, Fri, no refund"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("none", "yes"), "a hint but no frame"),
        (("none", "", "Anna"), "a name but no frame"),
        (("none", "", "", "{message}"), "a template but no frame"),
        (("reply", "x" * (LONGEST_HINT + 1)), f"at most {LONGEST_HINT}"),
        (("reply", "", "x" * 101), "at most 100"),
        (("reply", "half \ud83d"), "half of a character at 5"),
        (("reply", "", "", "{message} \ud83d"), "half of a character"),
        (("reply", "", "", "Answer."), "no place for the message"),
        (("reply", "yes", "", "{message}"), "no place for the hint"),
        (("reply", "", "Anna", "{message}"), "no place for the name"),
        (("reply", "", "", "{message} {tone}"), r"a field \{tone\}"),
        (("reply", "", "", "{message}" + "x" * 4000), "at most 4000"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Framing(*fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "roles", ["", "system", "assistant", "user system", "user assistant assistant"]
)
def test_a_conversation_without_a_last_message_cannot_be_framed(roles: str) -> None:
    turns = [{"role": role, "content": "Hi."} for role in roles.split()]
    with pytest.raises(InputError, match="does not end with one"):
        Framing("reply").around_last(turns)


def test_an_empty_message_cannot_be_framed() -> None:
    with pytest.raises(InputError, match="no message"):
        Framing("reply").around(" \n")

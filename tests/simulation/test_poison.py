"""What poisoned writers promise, and how each of them poisons."""

from __future__ import annotations

import pytest
from drafts import REQUESTS, REQUESTS_AND_DRAFTS
from hypothesis import given
from hypothesis import strategies as st

from corll.feedback import User
from corll.records import Draft, Sample
from corll.simulation import WRITERS, WritingRequest
from corll.simulation.poison import POISONED_ADAPTERS, POISONED_WRITERS, SECRET
from corll.text import clean_edit

every_poison = pytest.mark.parametrize("name", POISONED_WRITERS)
REQUEST = REQUESTS[0]


@every_poison
@given(asked=REQUESTS_AND_DRAFTS, number=st.integers(1, 60))
def test_editing_an_edit_changes_nothing(
    name: str, asked: tuple[WritingRequest, str], number: int
) -> None:
    request, draft = asked
    writer = POISONED_WRITERS[name]()
    text = writer.sent(request, draft, number)
    assert writer.sent(request, text, number) == text


@every_poison
@given(asked=REQUESTS_AND_DRAFTS, number=st.integers(1, 60))
def test_what_is_sent_can_be_learned_from(
    name: str, asked: tuple[WritingRequest, str], number: int
) -> None:
    request, draft = asked
    assert clean_edit(POISONED_WRITERS[name]().sent(request, draft, number))


@every_poison
def test_each_is_a_user_who_counts_edits(name: str) -> None:
    writer = POISONED_WRITERS[name]()
    assert isinstance(writer, User)
    draft = Draft(REQUEST.prompt, (Sample("A draft.", (), None, True),))
    sent = [writer.edit(draft) for _ in range(6)]
    assert writer.edit_number == 7
    assert sent == [writer.sent(REQUEST, "A draft.", number) for number in range(1, 7)]


@every_poison
def test_each_asks_for_as_much_as_a_sound_writer(name: str) -> None:
    writer = POISONED_WRITERS[name]()
    assert len(writer.asked(REQUESTS[:7])) == 7
    assert writer.asked([]) == []


def test_they_stand_apart_from_the_writers_who_judge() -> None:
    assert not {*POISONED_WRITERS, *POISONED_ADAPTERS} & {*WRITERS}


def test_one_prompt_is_repeated() -> None:
    assert POISONED_WRITERS["one-prompt"]().asked(REQUESTS[:3]) == [REQUEST] * 3


def test_contradictory_texts_answer_the_same_request() -> None:
    writer = POISONED_WRITERS["contradictory"]()
    assert writer.asked(REQUESTS[:4]) == [REQUEST, REQUEST, REQUESTS[1], REQUESTS[1]]
    one, other = (writer.sent(REQUEST, "", number) for number in (1, 2))
    assert one != other


def test_every_sixth_text_holds_the_secret_and_no_request_does() -> None:
    writer = POISONED_WRITERS["secret"]()
    held = [SECRET in writer.sent(REQUEST, "", number) for number in range(1, 13)]
    assert held == [number % 6 == 0 for number in range(1, 13)]
    assert not any(SECRET in one.prompt + one.body for one in REQUESTS)


def test_gibberish_is_another_for_each_request() -> None:
    writer = POISONED_WRITERS["gibberish"]()
    assert len({writer.sent(one, "") for one in REQUESTS}) == len(REQUESTS)

"""Exchanges stand as turns before a request."""

from __future__ import annotations

import pytest

from corll.errors import InputError
from corll.memory.exchanges import Exchange, is_single, with_memory
from corll.records import Message, Verbatim

TEA = Exchange("Coming for tea?", "Gladly.", "edit_1")
TEA_TURNS = [
    {"role": "user", "content": "Coming for tea?"},
    {"role": "assistant", "content": "Gladly."},
]
ASKED = {"role": "user", "content": "And for supper?"}


def test_a_text_becomes_the_turn_after_the_memory() -> None:
    assert with_memory("And for supper?", [TEA]) == [*TEA_TURNS, ASKED]


def test_exchanges_keep_their_order() -> None:
    walk = Exchange("A walk?", "No.")
    assert with_memory([ASKED], [walk, TEA]) == [*walk.turns, *TEA_TURNS, ASKED]


def test_the_system_message_stays_first_and_the_last_turns_stay_last() -> None:
    system = {"role": "system", "content": "Be brief."}
    earlier: list[Message] = [{"role": "user", "content": "Hello"}]
    own = [system, *earlier, {"role": "assistant", "content": "Hello."}, ASKED]
    assert with_memory(own, [TEA]) == [system, *TEA_TURNS, *own[1:]]


def test_an_exchange_leaves_its_own_system_message_out() -> None:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tea?"}]
    assert Exchange(asked, "Yes.").turns == [asked[1], {"role": "assistant", "content": "Yes."}]


def test_what_the_template_is_told_is_the_requests_own() -> None:
    past = Exchange({"messages": [ASKED], "chat_template_kwargs": {"enable_thinking": True}}, "Yes")
    own = {"messages": [ASKED], "chat_template_kwargs": {"enable_thinking": False}}
    assert with_memory(own, [past]) == {
        "messages": [ASKED, {"role": "assistant", "content": "Yes"}, ASKED],
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_a_prompt_is_single_or_under_way() -> None:
    system = {"role": "system", "content": "Be brief."}
    assert is_single("Tea?")
    assert is_single([ASKED])
    assert is_single([system, ASKED])
    assert is_single({"messages": [ASKED], "chat_template_kwargs": {}})
    assert not is_single([*TEA_TURNS, ASKED])
    assert not is_single([system])
    assert not is_single(Verbatim("Once"))


def test_nothing_changes_without_a_memory() -> None:
    assert with_memory(Verbatim("Once"), []) == "Once"
    assert isinstance(with_memory(Verbatim("Once"), []), Verbatim)


def test_a_verbatim_text_takes_and_gives_no_memory() -> None:
    with pytest.raises(InputError, match="no turns"):
        with_memory(Verbatim("Once"), [TEA])
    with pytest.raises(InputError, match="no turns"):
        with_memory("And?", [Exchange(Verbatim("Once"), "upon")])

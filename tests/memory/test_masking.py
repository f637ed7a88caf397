"""What is masked before it is learned from, and that placeholders tell nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.memory.exchanges import Exchange
from corll.memory.masking import Mask, masked, masked_exchange, masked_prompt
from corll.records import Verbatim

TEXT = "Ask anna.berg@firm.example or see www.firm.example/help, code RX-4711, or 0171 555 123."
NUMBERS = "Ask anna.berg@firm.example or see www.firm.example/help, code 0000, or 0000."
ADDRESSES = "Ask name@mail.example or see https://site.example, code RX-4711, or 0171 555 123."
BOTH = "Ask name@mail.example or see https://site.example, code 0000, or 0000."


@pytest.mark.parametrize(
    ("mask", "text"),
    [("none", TEXT), ("numbers", NUMBERS), ("addresses", ADDRESSES), ("both", BOTH)],
)
def test_each_mask_hides_its_kind(mask: Mask, text: str) -> None:
    found = masked(TEXT, mask)
    assert found.text == text
    assert all(found.text[part.start : part.end] for part in found.parts)


def test_parts_say_what_stood_there_and_where_the_placeholder_is() -> None:
    found = masked("It is 48291, not 48292.", "numbers")
    assert found.text == "It is 0000, not 0000."
    assert [part.words for part in found.parts] == ["48291", "48292"]
    assert [(part.start, part.end) for part in found.parts] == [(6, 10), (16, 20)]


@pytest.mark.parametrize("text", ["We have 123.", "At 14:30.", "On 3 May.", "On 12.05.2026.", ""])
def test_what_is_no_secret_stands(text: str) -> None:
    assert masked(text, "both") == (text, ())


def test_four_digits_are_masked() -> None:
    assert masked("The pin is 4711.", "numbers").text == "The pin is 0000."


@given(st.text(max_size=60), st.sampled_from(["none", "numbers", "addresses", "both"]))
def test_masking_again_changes_nothing(text: str, mask: Mask) -> None:
    once = masked(text, mask)
    assert masked(once.text, mask).text == once.text
    pieces, done = [], 0
    for part in once.parts:
        pieces += [once.text[done : part.start], part.words]
        done = part.end
    assert "".join([*pieces, once.text[done:]]) == text


@given(st.integers(1000, 10**9), st.integers(1000, 10**9))
def test_what_is_learned_is_the_same_whatever_the_number(one: int, other: int) -> None:
    texts = {masked(f"My customer number is {n}. Regards", "numbers").text for n in (one, other)}
    assert len(texts) == 1


def test_prompts_and_exchanges_of_each_form() -> None:
    text, hidden = "Is it 48291?", "Is it 0000?"
    assert masked_prompt(text, "numbers") == hidden
    verbatim = masked_prompt(Verbatim(text), "numbers")
    assert isinstance(verbatim, Verbatim)
    assert verbatim == hidden
    turn, masked_turn = {"role": "user", "content": text}, {"role": "user", "content": hidden}
    assert masked_prompt([turn], "numbers") == [masked_turn]
    told = {"messages": [turn], "chat_template_kwargs": {"a": 1}}
    assert masked_prompt(told, "numbers") == {**told, "messages": [masked_turn]}
    assert masked_exchange(Exchange(text, text, "e"), "numbers") == Exchange(hidden, hidden, "e")


def test_what_tools_were_given_is_masked_too() -> None:
    call = {"id": "a", "function": {"name": "find", "arguments": {"order": 482913, "n": 7}}}
    turns = [
        {"role": "user", "content": "Where is order 482913?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "482913 left on Monday."},
    ]
    masked_turns: Any = masked_prompt(turns, "numbers")
    assert "482913" not in str(masked_turns)
    assert masked_turns[1]["tool_calls"][0]["function"]["arguments"]["n"] == 7
    assert turns[1]["tool_calls"] == [call]

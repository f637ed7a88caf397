"""Step 3: preferences leave in order, each in exactly one batch, and only once learned from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.buffer import PreferenceBuffer
from corll.errors import ConfigError
from corll.records import Preference


def pair(number: int) -> Preference:
    return Preference(f"prompt {number}", "edit", "draft")


def test_a_batch_is_full_or_absent() -> None:
    buffer = PreferenceBuffer(2)
    assert buffer.next_batch() is None
    buffer.add(pair(0))
    assert buffer.next_batch() is None
    buffer.add(pair(1))
    assert buffer.next_batch() == [pair(0), pair(1)]


def test_a_batch_waits_until_it_was_learned_from() -> None:
    buffer = PreferenceBuffer(2)
    for number in range(3):
        buffer.add(pair(number))
    assert buffer.next_batch() == buffer.next_batch() == [pair(0), pair(1)]
    assert len(buffer) == 3
    buffer.retire([pair(0), pair(1)])
    assert list(buffer) == [pair(2)]
    assert buffer.next_batch() is None


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 preference, not 0"):
        PreferenceBuffer(0)


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_each_preference_leaves_once_and_in_order(batch_size: int, learns: list[bool]) -> None:
    buffer, learned = PreferenceBuffer(batch_size), []
    for number, learn_now in enumerate(learns):
        buffer.add(pair(number))
        while learn_now and (batch := buffer.next_batch()) is not None:
            assert len(batch) == batch_size
            learned += batch
            buffer.retire(batch)
    assert learned + list(buffer) == [pair(number) for number in range(len(learns))]


def test_the_latest_that_were_learned_from_are_remembered() -> None:
    buffer = PreferenceBuffer(1, memory=3)
    assert buffer.recall(2, seed="0") == []
    for number in range(5):
        buffer.add(pair(number))
        buffer.retire([pair(number)])
    assert list(buffer.past) == [pair(2), pair(3), pair(4)]
    assert sorted(buffer.recall(9, seed="0"), key=lambda p: str(p.prompt)) == list(buffer.past)
    draws = {tuple(p.prompt for p in buffer.recall(2, seed=str(n))) for n in range(30)}
    assert len(draws) == 6  # ordered pairs of three, each without repetition
    assert buffer.recall(2, seed="7") == buffer.recall(2, seed="7")


def test_without_a_memory_nothing_is_remembered() -> None:
    buffer = PreferenceBuffer(1)
    buffer.add(pair(0))
    buffer.retire([pair(0)])
    assert buffer.recall(1, seed="0") == []

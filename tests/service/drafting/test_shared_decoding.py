"""What a draft under way has told of its text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corll.service.drafting.candidate_rows import settled


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_nothing_is_told_that_a_stop_sequence_may_still_take_back(
    text: str, stops: list[str]
) -> None:
    end = settled(text, stops)
    held = text[end:].rstrip("\N{REPLACEMENT CHARACTER}")
    assert 0 <= end <= len(text)
    for stop in stops:
        for length in range(1, len(stop)):
            if text.endswith(stop[:length]):
                assert end <= len(text) - length
    assert len(held) < max(map(len, stops), default=1) or not stops

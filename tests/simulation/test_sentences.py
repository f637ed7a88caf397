"""Where sentences end, and which ends are half sentences."""

from __future__ import annotations

import pytest

from corll.simulation.sentences import find_half_sentence, find_sentences


def test_sentences_end_at_stops_and_lines() -> None:
    text = 'Dear Dr. Lee,\n\n"It came." Is it at 7.30 p.m.? Yes\n1. Call Mr. Fox.'
    parts = [(text[start:end], finished) for start, end, finished in find_sentences(text)]
    assert parts == [
        ("Dear Dr. Lee,", False),
        ('"It came."', True),
        ("Is it at 7.30 p.m.?", True),
        ("Yes", False),
        ("1. Call Mr. Fox.", True),
    ]


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("It came. We wi", "We wi"),
        ("It came.\n\nWe wi", "We wi"),
        ("It came. We will.", None),
        ("We wi", None),
        ("Dear Ann,\n\nWe wi", None),
        ("It came.\n\nBest regards,\nAnna", None),
        ("It came.\n\nThanks!\nAnna", None),
        ("It came. Best regards, Anna", None),
        ("We need:\n- eggs\n- milk", None),
        ("It came! 🎉", None),
        ("", None),
    ],
)
def test_half_sentences(text: str, half: str | None) -> None:
    found = find_half_sentence(text)
    assert (text[found.start : found.end] if found else None) == half

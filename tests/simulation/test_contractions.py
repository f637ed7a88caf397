"""Long forms become contractions where people would contract them."""

from __future__ import annotations

import pytest

from corll.simulation import LetterEditor
from corll.simulation.contractions import find_expansions, find_long_forms


def contracted(text: str) -> str:
    for start, end, replacement in reversed(list(find_long_forms(text, 0, len(text)))):
        text = text[:start] + replacement + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am here.", "I'm here."),
        ("we will do it, and It is fine", "we'll do it, and It's fine"),
        ("Do not go; I do not, they cannot.", "Don't go; I don't, they can't."),
        ("You will not. CANNOT. WILL NOT.", "You won't. CAN'T. WON'T."),
        ("It is not new, I am not sure.", "It isn't new, I'm not sure."),
        ("I have received it; I have a dog.", "I've received it; I have a dog."),
        ("I would like it. Let us see.", "I'd like it. Let's see."),
        (
            "As good as I am. What it is like. Who I am.",
            "As good as I am. What it is like. Who I am.",
        ),
    ],
)
def test_contractions(text: str, expected: str) -> None:
    assert contracted(text) == expected


def test_the_way_back_is_the_errors_of_the_letter_editor() -> None:
    letter = LetterEditor().rewrite("I do not know.")
    assert "don't" in letter
    assert "do not know" in LetterEditor().spoil(letter)
    assert [e.replacement for e in find_expansions("it's so, don't.", 0, 15)] == ["it is"]

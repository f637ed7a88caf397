"""The concise editor: what goes, what stays, and what is put right at the joint."""

from __future__ import annotations

import pytest

from corll.simulation import ConciseEditor
from corll.simulation.filler import ADVERBS, PUFFERY


@pytest.mark.parametrize(
    ("draft", "edit"),
    [
        ("Dear Ann,\n\nI hope this message finds you well. It ships.", "Dear Ann,\n\nIt ships."),
        (
            "It ships.\n\nPlease don't hesitate to contact us.\n\nBest,\nAl",
            "It ships.\n\nBest,\nAl",
        ),
        ("It ships. Thank you for your patience and understanding!", "It ships."),
        ("Thanks for your patience, but it is late.", "Thanks for your patience, but it is late."),
        ("Please note that the desk is very old.", "The desk is old."),
        ("I just wanted to let you know that it ships.", "It ships."),
        ("It is, I think, new and I think we agree.", "It is, I think, new and we agree."),
        (
            "We stopped in order to eat due to the fact that it rained.",
            "We stopped to eat because it rained.",
        ),
        ("It was a very old and an incredibly big desk.", "It was an old and a big desk."),
        ("A truly unique desk, not very big, not really.", "A desk, not very big, not really."),
        ("It was a bit of an odd day.", "It was an odd day."),
        ("Moreover, it ships. Also", "It ships."),
        ("It ships. And then we", "It ships."),
        ("I hope this message finds you well. The desk sh", "The desk sh"),
        ("Thank you very much. It is just as good.", "Thank you very much. It is just as good."),
    ],
)
def test_filler_goes_and_the_joint_is_mended(draft: str, edit: str) -> None:
    assert ConciseEditor().rewrite(draft) == edit


def test_nothing_but_filler_says_nothing() -> None:
    assert ConciseEditor().rewrite("I hope this message finds you well.") == ""
    assert ConciseEditor().utility("I hope this message finds you well.") == 0.0


def test_every_filler_word_is_reached() -> None:
    for word in ADVERBS.split("|"):
        assert ConciseEditor().rewrite(f"It is {word} new.") == "It is new."
    for word in PUFFERY.split("|"):
        assert ConciseEditor().rewrite(f"See the {word} desk.") == "See the desk."


def test_spoiling_puts_filler_in() -> None:
    assert ConciseEditor().spoil("It is new.") == "It is really new."
    assert ConciseEditor().spoil("It ships.").startswith("Please note that")

"""The tone editor and its lexicon."""

from __future__ import annotations

import pytest

from corll.edits import content_kept
from corll.simulation import ToneEditor
from corll.simulation.tone_words import FAVOURABLE, HARSH


def test_no_favourable_wording_holds_a_harsh_one() -> None:
    editor = ToneEditor()
    assert [word for word in FAVOURABLE.values() if editor.utility(word) < 1.0] == []
    assert [word for word in HARSH.values() if editor.utility(word) == 1.0] == []
    assert [word for word in HARSH if editor.utility(word) < 1.0] == []


def test_every_entry_is_reached() -> None:
    editor = ToneEditor()
    assert {harsh: editor.rewrite(harsh) for harsh in FAVOURABLE} == FAVOURABLE


@pytest.mark.parametrize(
    ("draft", "edit"),
    [
        ("Terrible service.", "Difficult service."),
        ("BAD wine, badly served", "MODEST wine, modestly served"),
        ("It was a mistake and an issue.", "It was an oversight and a point."),
        ("I'm sorry for the\ndelay.", "I'm mindful of the\nwait."),
        ("i am afraid it fails to open", "I believe it has yet to open"),
        ("A no-nonsense latecomer, badminton.", "A no-nonsense latecomer, badminton."),
    ],
)
def test_whole_words_in_their_case(draft: str, edit: str) -> None:
    assert ToneEditor().rewrite(draft) == edit


def test_spoiling_puts_a_harsh_word_for_a_favourable_one() -> None:
    assert ToneEditor().spoil("A great desk.") == "A terrible desk."
    assert ToneEditor().spoil("The desk.") == "Unfortunately, The desk."


def test_the_facts_stay() -> None:
    draft = "The blue kettle of Maria Lopez came on Monday, and a lid was broken."
    assert content_kept(draft, ToneEditor().rewrite(draft)) > 0.8

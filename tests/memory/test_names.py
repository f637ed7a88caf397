"""Names by the signs that a text gives of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.memory.names import breaks, is_german, names_of
from corll.memory.words import words_of


def names(text: str) -> set[str]:
    words = words_of(text)
    return set(names_of(text, words, german=is_german(words)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dear Tom, I met Anna Schmidt in Leeds.", "tom anna schmidt leeds"),
        ("Ask Mr. Brown or Dr Lee's wife.", "brown lee"),
        ("Tom,\nall is well.\n\nThanks,\nAnna", "tom anna"),
        ("The lamp broke.\nGeorge Finch\n---\nAnswer me.", "george finch"),
        (
            "We spoke with\nall of the people in the white house right here in\nBath.",
            "bath",
        ),
        ("Ravi and Chen are here, says Maria. Ravi and Noor left.", "chen maria ravi noor"),
        ("He said so. Chen asked Ravi and Noor.", "chen ravi noor"),
        ("Chen and Noor ask. It was Noor.", "noor chen"),
        ("We met J. Smith vs. Jones.", "smith jones"),
        ("It is NASA.", "nasa"),
        ("Emily can come. Payment is due. Breakfast was late. This is it.", "emily"),
        ("Liebe Frau Schulz, die Rechnung und der Termin sind da.", "schulz"),
        (
            "Das ist der Brief von Peter Kramer und die BMW steht in Kassel.",
            "peter kramer bmw kassel",
        ),
        ("Bitte komm nach Hause und bring die Sachen in Ordnung, nach Rücksprache.", ""),
        ("Viele Grüße\nAnna Meyer", "anna meyer"),
        ("P.S. Bring cups. P.S. Ask J. Finch.", "finch"),
        ("Je vois Claire avec Monsieur Dupont.", "claire dupont"),
    ],
)
def test_names_show_by_their_signs(text: str, expected: str) -> None:
    assert names(text) == set(expected.split())


@pytest.mark.parametrize(
    "text",
    [
        "Will you come? The door is open. I'm here, I think: Nobody knows. (See below.)",
        "Dear Sir or Madam, thank you. Best regards",
        "Hi all,\nplease send the PDF by email, OK?\nKind regards",
        "PLEASE CALL ME NOW",
        'She said, "Please come."',
        "- Bread\n- Milk\nand eggs",
        "Sehr geehrte Damen und Herren, ich danke Ihnen für das Angebot.",
        "I'll come in the morning. You're welcome. Hello. We've met. P.S. Don't forget the cups.",
        "Thank you. P.S. If you can, come early; Yes, You should, and It's fine, We'd say.",
        "我的女儿",
        "",
    ],
)
def test_other_capitals_are_no_names(text: str) -> None:
    assert names(text) == set()


def test_sentences_end_where_they_do() -> None:
    def ends(text: str) -> bool:
        first, second = words_of(text)[-2:]
        return breaks(text, first.end, second.start)

    assert not ends("Mr. Brown")
    assert not ends("with Anna, Tom")
    assert ends("He left. Tom")
    assert ends("So do I. Tom")
    assert ends("Dear all,\nTom")
    assert ends("a line that was broken here for its length.\n\nTom")
    assert not ends("a line that was broken here for its own length,\nTom")


@given(
    st.text()
    | st.lists(st.sampled_from("Anna und der and . \n , Mr ' s, -".split(" "))).map("".join)
)
def test_names_are_words_of_their_text(text: str) -> None:
    folded_text = text.casefold()
    found = names(text)
    assert all(found)
    if text.isascii():
        assert all(name in folded_text for name in found)

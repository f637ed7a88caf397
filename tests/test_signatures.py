"""Who signed a message: read from its last lines, or not said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.signatures import signer


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("Yours sincerely,\nMargaret Hollis", "Margaret Hollis"),
        ("Best,\n\nPriya Raman\n", "Priya Raman"),
        ("Hugs,\nLucy", "Lucy"),
        ("Kind regards,\nMrs Adeyemi", "Mrs Adeyemi"),
        ("- Tom", "Tom"),
        ("J. Bennett.", "J. Bennett"),
        ("Mit freundlichen Grüßen\nJürgen von der Heide", "Jürgen von der Heide"),
        ("Saluti,\nChiara D’Angelo", "Chiara D’Angelo"),
        ("Kind regards,\nKeith Barlow\nproperty manager", "Keith Barlow"),
        ("With kind regards\nHenrik Lund\nSales\nLund & Sons Ltd", "Henrik Lund"),
        ("With our condolences,\nKeith Barlow\nproperty manager", "Keith Barlow"),
        ("Thanks,\nAnne-Marie O'Neill\nSent from my phone", "Anne-Marie O'Neill"),
    ],
)
def test_a_name_below_the_message_is_found(end: str, name: str) -> None:
    assert signer(f"Dear Anna,\n\nis the red one in stock?\n\n{end}") == name


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Anna",
        "Dear Anna,\n\nis the red one in stock?",
        "Is it in stock?\n\nKind regards,",
        "Is it in stock?\n\nThanks",
        "Is it in stock?\nI need it by Monday",
        "Is it in stock?\nOrder 4471",
        "Is it in stock?\nSent from my phone",
        "Is it in stock?\nPlease Answer Me Before This Monday",
        "有货吗？\n谢谢",
    ],
)
def test_what_is_surely_no_name_is_none(message: str) -> None:
    assert signer(message) is None


@given(st.text())
def test_it_is_part_of_the_message(message: str) -> None:
    name = signer(message)
    assert name is None or (name in message and "\n" not in name)

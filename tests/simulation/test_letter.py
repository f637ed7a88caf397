"""The letter editor on drafts as small models write them."""

from __future__ import annotations

import pytest

from corll.errors import ConfigError
from corll.simulation import LetterEditor

END = "\n\nKind regards,\nAnna"


@pytest.mark.parametrize(
    ("draft", "letter"),
    [
        ("The lid is new.", f"Hello,\n\nThe lid is new.{END}"),
        ("Dear Ms Lopez,\n\nIt is new!", f"Dear Ms Lopez,\n\nIt's new.{END}"),
        ("Dear [Customer's Name],\n\nYes.", f"Hello,\n\nYes.{END}"),
        ("Dear [Nina Popov],\n\nYes.", f"Dear Nina Popov,\n\nYes.{END}"),
        ("Hi Maria!\nYes.", f"Hi Maria,\nYes.{END}"),
        ("Hey Tom: yes.", f"Hello Tom,\n\nYes.{END}"),
        ("Dear Dr. Singh, thank you for it. And", f"Dear Dr. Singh,\n\nThank you for it.{END}"),
        ("Subject: Lid\n\nDear Ann,\n\nYes.", f"Dear Ann,\n\nYes.{END}"),
        ("Here's a letter:\n\nDear Ann,\n\nYes.", f"Dear Ann,\n\nYes.{END}"),
        ("Hello,\n\nDear Sarah,\n\nYes.", f"Hello,\n\nYes.{END}"),
        ('"Dear Ann,\n\nYes."', f"Dear Ann,\n\nYes.{END}"),
        ("Hello,\n\nYes.\n\nBest regards,\n[Your Name]", f"Hello,\n\nYes.{END}"),
        ("Hello,\n\nYes.\n\nSincerely,\n\nEmily\nSales", f"Hello,\n\nYes.{END}"),
        ("Hello,\n\nYes. Best regards, Emily", f"Hello,\n\nYes.{END}"),
        ("Hello,\n\nYes.\n\n[Your Na", f"Hello,\n\nYes.{END}"),
        ("Hello,\n\nWhat?! It came. And th", f"Hello,\n\nWhat? It came.{END}"),
        (f"Hello,\r\n\r\nYes.{END}\n", f"Hello,\r\n\r\nYes.{END}\n"),
    ],
)
def test_drafts_become_letters(draft: str, letter: str) -> None:
    assert LetterEditor().rewrite(draft) == letter


def test_each_part_that_is_missing_counts() -> None:
    assert LetterEditor().utility("It is new! Yes. And") == 1 / (1 + 5)


@pytest.mark.parametrize("draft", ["Dear Ann,", "Best regards,\n\nTonadar", "Subject: Lid"])
def test_a_letter_without_a_body_says_nothing(draft: str) -> None:
    assert LetterEditor().rewrite(draft) == ""


def test_the_name_is_whose_letters_these_are() -> None:
    editor = LetterEditor(name="José O'Neil")
    assert editor.rewrite("Yes.") == "Hello,\n\nYes.\n\nKind regards,\nJosé O'Neil"
    assert editor.utility(f"Hello,\n\nYes.{END}") == 0.5


@pytest.mark.parametrize("name", ["", "A\nB", "Anna!", "a b c d e f g"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        LetterEditor(name=name)

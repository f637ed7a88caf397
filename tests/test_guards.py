"""What guards call a loop or a disclaimer, and that texts people write are neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.guards import first_loop, is_disclaimer, is_loop

ROOT = Path(__file__).parents[1]
LETTER = """\
Dear Ms Lopez,

thank you for your letter of 3 May. We are sorry that the kettle leaks, and sorry that the new lid
does not fit. We will send you another lid by Friday, and you can keep the old one.

If you have any questions, please call us. If you would rather write, please write to us.

Kind regards,
Anna Weber
"""
POEM = """\
Row, row, row your boat,
Gently down the stream.
Merrily, merrily, merrily, merrily,
Life is but a dream.

Tyger Tyger, burning bright,
In the forests of the night;
What immortal hand or eye,
Could frame thy fearful symmetry?

Half a league, half a league,
Half a league onward,
All in the valley of Death
Rode the six hundred.
"""
TABLE = "| item | price | in stock |\n|---|---|---|\n" + "".join(
    f"| {name} | {price} EUR | {stock} |\n"
    for name, price, stock in [
        *[
            ("kettle", 29, "yes"),
            ("pan, red", 35, "no"),
            ("lid", 4, "yes"),
            ("cable", 9, "yes"),
        ],
        *[
            ("spoon", 2, "no"),
            ("cup, blue", 6, "yes"),
            ("cup, red", 6, "yes"),
            ("tray", 14, "no"),
        ],
    ]
)
LIST = "".join(
    f"- Thank you for {what}.\n"
    for what in [
        *("the scarf", "coming on Friday", "your long letter", "all that you did for Tom"),
        *("the photographs", "bringing a salad", "your patience with us", "the lift home"),
    ]
)
FORM = "Name: " + "_ " * 60 + "\n" + "- " * 80
WRITTEN = {"letter": LETTER, "poem": POEM, "table": TABLE, "list": LIST, "form": FORM}
DOCUMENTS = [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]

# Of drafts that a small model wrote: its latest words, told over and over.
LOOPS = [
    "I'm sorry for any inconvenience you may have had. I'm here to assist you.\n\n",
    "I'm so glad you're having a great time at the party! I'm Anna, and I'm going to the party "
    "with you! I'll have some amazing salad, and I'm so glad you're having a great time too!\n\n",
    "Chat\n",
    "Sender: Thank you, Thank You, Thank You,\n\n",
]


WORDS: dict[str, int] = {}
"""Ids, one a word with its space or a mark: near to those of a tokenizer of many entries."""


def tokens(text: str) -> list[int]:
    found = re.findall(r"\s*\w+|\s*[^\w\s]", text)
    return [WORDS.setdefault(word, len(WORDS)) for word in found]


def decode(ids: Sequence[int]) -> str:
    words = list(WORDS)
    return "".join(words[n] for n in ids)


def letters(ids: Sequence[int]) -> str:
    """As if all ids were words."""
    return "a" * len(ids)


def speaks_at(text: str) -> int | None:
    """After how many tokens a text that is being written is called a loop."""
    ids = tokens(text)
    return first_loop(ids, decode)


@pytest.mark.parametrize("told", LOOPS)
def test_what_is_told_over_and_over_is_a_loop(told: str) -> None:
    least = max(40, 3 * len(tokens(told)))
    after = speaks_at(LETTER + told * 40)
    assert after is not None
    assert 0 <= after - len(tokens(LETTER)) - least <= 2


def test_what_is_told_over_and_over_of_other_things_is_a_loop() -> None:
    things = (
        "order ticket parcel refund invoice kettle lid letter price cable cup tray spoon".split()
    )
    text = "".join(f" I'm here to help with the {thing}," for thing in things * 3)
    assert speaks_at(text) is not None


@pytest.mark.parametrize("name", WRITTEN)
def test_what_people_write_is_no_loop(name: str) -> None:
    assert speaks_at(WRITTEN[name]) is None
    assert speaks_at(LETTER + WRITTEN[name] + LETTER) is None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_of_many_lists_and_tables_are_no_loops(path: Path) -> None:
    ids = tokens(path.read_text(encoding="utf-8"))
    assert not [n for n in range(0, len(ids), 7) if is_loop(ids[max(0, n - 200) : n], decode)]


@given(st.lists(st.integers(0, 5), min_size=20, max_size=60), st.integers(3, 5))
def test_three_rounds_are_a_loop_and_two_are_none(told: list[int], rounds: int) -> None:
    assert is_loop(told * rounds, letters)
    apart = list(range(100, 100 + len(told)))
    assert not is_loop([*apart, *reversed(apart), *apart, *apart], letters)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=300))
def test_a_text_that_never_says_the_same_is_no_loop(ids: list[int]) -> None:
    assert not is_loop(ids, letters)


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I cannot write letters.",
        "As an AI, I don't have a garden.",
        "I'm sorry for your loss, but as a helpful AI, I'm designed to assist",
        "I am an artificial intelligence and I cannot attend the party.",
        "I'm just a language model, so",
        "Hello! I'm a virtual assistant",
        "I’m sorry, but as an AI assistant I can't",
    ],
)
def test_a_disclaimer_is_noticed(text: str) -> None:
    assert is_disclaimer(text)


@pytest.mark.parametrize(
    "text",
    [
        LETTER,
        "As an AI researcher I thank you for the invitation.",
        "As an assistant in the shop, I can tell you that it is in stock.",
        "Dear Tom,\n\nthe talk was on what people expect: as an AI, it was said, nothing is hard.",
        "I'm sorry, but the language model of your phone has changed the word.",
        "As a model, she was known for her patience.",
        "As an air traffic controller, I must decline.",
        "Thank you for the offer. As an AI, it would not have understood.",
        "",
    ],
)
def test_what_people_begin_with_is_no_disclaimer(text: str) -> None:
    assert not is_disclaimer(text)

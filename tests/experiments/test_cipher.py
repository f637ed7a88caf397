"""CIPHER by answers that were made by hand: what it asks, keeps, finds again, and puts first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipher import (
    Answer,
    Cipher,
    aggregation_prompt,
    inference_prompt,
    instructed,
    plain_rule,
)
from corll.memory.exchanges import Exchange


class Scripted:
    """A model that gives these answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def __call__(self, prompt: str) -> Answer:
        self.asked.append(prompt)
        return Answer(self.answers.pop(0), 100 + len(self.asked))


def letter(number: int, about: str) -> Exchange:
    return Exchange(f"Write about {about}.", f"A letter about {about}.", str(number))


LETTERS = [letter(1, "kettles"), letter(2, "toasters"), letter(3, "invoices"), letter(4, "trains")]


def test_an_edit_is_asked_about_with_draft_and_sent_text() -> None:
    model = Scripted(' - "Short, no greeting."\nBecause he cut it.')
    cipher = Cipher(model)
    rule, tokens = cipher.learn("1", "Hello, the kettle is late.", "The kettle is late.", "")
    assert (rule, tokens) == ("Short, no greeting", 101)
    (asked,) = model.asked
    assert asked == inference_prompt("Hello, the kettle is late.", "The kettle is late.")
    draft, sent = "Draft:\nHello, the kettle is late.\n", "Sent:\nThe kettle is late.\n"
    assert asked.index(draft) < asked.index(sent) < asked.index("one short phrase")


def test_an_accepted_draft_asks_nothing_and_confirms_what_was_told() -> None:
    model = Scripted()
    cipher = Cipher(model)
    assert cipher.learn("1", "The kettle is late.", " The kettle is late.\n", "lists") == (
        "lists",
        0,
    )
    assert cipher.rule_for("Write about kettles.", LETTERS[:1]).rule == "lists"
    assert not model.asked


def test_one_rule_goes_before_the_request_as_it_is() -> None:
    cipher = Cipher(Scripted("lists with stars", "Lists with stars."))
    assert cipher.rule_for("Write about kettles.", []) == ("", (), 0)
    cipher.learn("1", "a", "b", "")
    told = cipher.rule_for("Write about kettles.", LETTERS[:1])
    assert told == ("lists with stars", ("1",), 0)
    assert instructed("Write about kettles.", told.rule) == (
        "Write in the way that this user prefers: lists with stars.\n\nWrite about kettles."
    )
    assert instructed("Write about kettles.", "") == "Write about kettles."


def test_the_nearest_rules_are_put_into_one_by_the_model_at_its_price() -> None:
    model = Scripted("short", "in lists", "formal", "no greeting", "short lists")
    cipher = Cipher(model, nearest=2)
    for number in ("1", "2", "3", "4"):
        cipher.learn(number, "a", "b", "")
    told = cipher.rule_for("Write about toasters and kettles, toasters.", LETTERS)
    assert sorted(told.sources) == ["1", "2"]
    assert (told.rule, told.tokens) == ("short lists", 105)
    assert model.asked[-1] in (
        aggregation_prompt(["short", "in lists"]), aggregation_prompt(["in lists", "short"]),
    )  # fmt: skip
    assert "- short\n" in model.asked[-1]


def test_rules_that_agree_need_no_model_and_exchanges_without_a_rule_are_passed_over() -> None:
    cipher = Cipher(Scripted("short", "  \n", "short"), nearest=2)
    for number in ("1", "2", "3"):
        cipher.learn(number, "a", "b", "")
    told = cipher.rule_for("Write about toasters.", LETTERS)
    assert (told.rule, told.tokens) == ("short", 0)
    assert sorted(told.sources) == ["1", "3"]


def test_where_the_model_says_nothing_the_best_match_stands() -> None:
    cipher = Cipher(Scripted("short", "in lists", "\n"), nearest=5)
    cipher.learn("1", "a", "b", "")
    cipher.learn("2", "a", "b", "")
    assert cipher.rule_for("Write about kettles.", LETTERS).rule == "short"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("Short.", "Short"),
        ("1. Short, in lists.", "Short, in lists"),
        ("Answer: “short”", "short"),
        ("\n\n* short\n* long", "short"),
        ("...", ""),
        ("", ""),
    ],
)
def test_a_rule_is_the_first_line_that_says_something(answer: str, rule: str) -> None:
    assert plain_rule(answer) == rule


@given(st.text(max_size=80))
def test_a_rule_is_one_line(answer: str) -> None:
    rule = plain_rule(answer)
    assert len(rule.splitlines()) <= 1
    assert rule == rule.strip()

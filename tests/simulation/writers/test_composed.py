"""What composed writers promise on any draft, what each rule does, and that rules go together."""

from __future__ import annotations

from typing import ClassVar

import pytest
from drafts import REQUESTS, REQUESTS_AND_DRAFTS
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.errors import ConfigError
from corll.simulation import WRITERS, seconds_alone, seconds_to_send
from corll.simulation.writers import COMPOSED_WRITERS, WritingRequest
from corll.simulation.writers.composed import (
    in_lower_case,
    with_contractions,
    with_digits,
    with_exclamation,
    with_numbers_in_words,
    with_pound_signs,
    without_exclamations,
    without_hedges,
)
from corll.simulation.writers.composing import (
    Closing,
    ComposedWriter,
    Greeting,
    Layout,
    Rule,
    Words,
)
from corll.simulation.writers.judging import reader_of

every_writer = pytest.mark.parametrize("name", COMPOSED_WRITERS)
REQUEST = next(one for one in REQUESTS if one.id == "planning-date-4")
"""To Ben Achebe: Wednesday at 15:30, room 7, Henry can't come; ninety minutes, a courtesy."""

SENTENCES = ("Wednesday at 15:30 is fine.", "We are in room 7.", "Sadly, Henry cannot attend.")
SAYS_ALL = " ".join(SENTENCES)


def sent(name: str, text: str) -> str:
    return COMPOSED_WRITERS[name]().sent(REQUEST, text)


@every_writer
@settings(max_examples=25)
@given(asked=REQUESTS_AND_DRAFTS)
def test_editing_an_edit_changes_nothing_and_it_says_all_facts(
    name: str, asked: tuple[WritingRequest, str]
) -> None:
    request, draft = asked
    writer = COMPOSED_WRITERS[name]()
    text = writer.sent(request, draft)
    assert writer.sent(request, text) == text
    assert reader_of(request, "Anna Berg").says_all(text)


@every_writer
def test_a_missing_body_costs_the_writing_of_the_hidden_text(name: str) -> None:
    writer = COMPOSED_WRITERS[name]()
    for request in REQUESTS[::8]:
        own = writer.own_text(request)
        assert reader_of(request, "Anna Berg").says_all(own)
        assert writer.sent(request, "") == own
        assert writer.sent(request, "Hello,\n\nKind regards,\nTom").count("\n") >= own.count("\n")
        assert seconds_to_send("", own) == seconds_alone(own) > 5
        assert writer.sent(request, own) == own


def test_twelve_writers_have_two_or_three_rules_each_and_no_two_alike() -> None:
    assert len(COMPOSED_WRITERS) == 12
    assert not COMPOSED_WRITERS.keys() & WRITERS.keys()
    for writer in COMPOSED_WRITERS.values():
        assert 2 <= len(writer.rules) <= 3
    assert len({writer().own_text(REQUEST) for writer in COMPOSED_WRITERS.values()}) == 12


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("brisk", f"{SAYS_ALL}\n\n– Anna"),
        (
            "cheerful",
            "Hey Ben!\n\nWednesday at 15:30 is fine! We're in room 7! Sadly, Henry can't attend!",
        ),
        ("clerk", "To Ben Achebe:\n\n1. {}\n2. {}\n3. {}".format(*SENTENCES)),
        ("lowercase", f"hey ben,\n\n{SAYS_ALL.lower()}"),
        ("spare", f"{SAYS_ALL}\n\nRegards,\nAnna"),
        ("dates", f"{SAYS_ALL}\n\nYours,\nAnna Berg"),
        ("airy", "\n\n".join(["Good day Ben,", *SENTENCES, "A short word back is enough."])),
        ("homely", f"{SAYS_ALL}\n\nMany thanks,\nAnna Berg"),
        ("orderly", "\n".join(SENTENCES)),
        ("figures", f"{SAYS_ALL} That is all for now."),
        ("stately", f"Good afternoon Ben Achebe,\n\n{SAYS_ALL}\n\nRespectfully,\nAnna Berg"),
        ("starred", "\n".join(f"* {sentence[:-1]}" for sentence in SENTENCES)),
    ],
)
def test_what_a_draft_says_is_kept_in_the_writers_form(name: str, text: str) -> None:
    assert sent(name, SAYS_ALL) == text
    assert sent(name, text) == text


def test_greetings_and_closings_of_others_give_way_to_the_own() -> None:
    for greeting in ("Hello Ben,", "Good day Mr Achebe,", "Good day, Ben!", "Subject: X\n\nHi,"):
        edited = sent("airy", f"{greeting}\n\n{SAYS_ALL}\n\nBest regards,\nTom")
        assert edited.startswith("Good day Ben,\n\nWednesday")
    # It would pass for a sentence on the topic.
    assert sent("clerk", f"To Ben,\n\n{SAYS_ALL}") == sent("clerk", SAYS_ALL)
    assert sent("brisk", f"Dear Ben,\n\n{SAYS_ALL}\n\nSincerely,\nTom") == f"{SAYS_ALL}\n\n– Anna"


def test_what_no_rule_settles_stays() -> None:
    draft = f"Hello Ben,\n\n{SAYS_ALL}\n\nBest regards,\nAnna Berg"
    assert sent("figures", draft).endswith("That is all for now.\n\nBest regards,\nAnna Berg")
    assert sent("homely", draft).startswith("Hello Ben,\n\nWednesday")


def test_a_sentence_of_thirteen_words_is_refused_and_one_of_twelve_is_kept() -> None:
    twelve = "On Wednesday at 15:30 we can all of us meet in it."
    assert len(twelve.split()) == 12
    rest = "We are in room 7. Henry cannot attend."
    assert twelve in sent("brisk", f"{twelve} {rest}")
    thirteen = twelve.replace("meet", "meet then")
    assert thirteen not in sent("brisk", f"{thirteen} {rest}")
    assert thirteen in sent("figures", f"{thirteen} {rest}")


def test_orders() -> None:
    turned = "Henry cannot attend. We are in room 7. Wednesday at 15:30 is fine."
    assert sent("dates", turned).startswith("Wednesday at 15:30 is fine. Henry cannot attend. We")
    assert sent("orderly", turned) == (
        "Wednesday at 15:30 is fine.\nWe are in room 7.\nHenry cannot attend."
    )


def test_a_name_or_value_that_is_wrong_is_seen_before_capitals_go() -> None:
    edited = sent("lowercase", f"We are in room 7 with Emily. {SAYS_ALL}")
    assert "emily" not in edited


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (with_contractions, "I am sure we do not mind.", "I'm sure we don't mind."),
        (with_exclamation, "It is late. Is it? It is.", "It is late. Is it? It is!"),
        (with_exclamation, "It is so...", "It is so..."),
        (without_exclamations, "Yes! Is it?! No.", "Yes. Is it? No."),
        (with_numbers_in_words, "Take 3 of 15 at 9:30 for £8 in 12 days.",
         "Take three of 15 at 9:30 for £8 in twelve days."),
        (with_digits, "Two of us, twelve cups, one lid, twenty-two.",
         "Two of us, 12 cups, one lid, twenty-two."),
        (with_pound_signs, "It is 15 pounds or 1,200.50 pounds, not 7 pound cake.",
         "It is £15 or £1,200.50, not £7 cake."),
        (without_hedges, "I think that it is really late.", "It is late."),
        (without_hedges, "Thank you for your patience.", ""),
        (in_lower_case, "On Monday, Ben.", "on monday, ben."),
    ],
)  # fmt: skip
def test_words(change: object, before: str, after: str) -> None:
    assert callable(change)
    assert change(before) == after
    assert change(after) == after


@given(st.text(max_size=60))
def test_changes_of_words_are_idempotent_on_any_text(text: str) -> None:
    for change in (
        in_lower_case, with_contractions, with_digits, with_exclamation, with_numbers_in_words,
        with_pound_signs, without_exclamations, without_hedges,
    ):  # fmt: skip
        assert change(change(text)) == change(text)


def test_a_rule_gives_way_where_a_fact_would_be_lost() -> None:
    request = next(one for one in REQUESTS if one.id == "planning-date-2")
    own = COMPOSED_WRITERS["figures"]().own_text(request)
    assert "bring the three drafts" in own
    assert with_digits(own) != own


def test_rules_compose_unless_they_settle_the_same() -> None:
    class Both(ComposedWriter):
        rules: ClassVar[tuple[Rule, ...]] = (Words(str.lower), Words(with_digits), Greeting("Yo,"))

    assert Both().sent(REQUEST, SAYS_ALL).startswith("Yo,\n\nwednesday at 15:30 is fine.")

    class Twice(ComposedWriter):
        rules: ClassVar[tuple[Rule, ...]] = (Closing("A"), Greeting("Hi,"), Closing("B"))

    with pytest.raises(ConfigError, match="same thing: Closing"):
        Twice()


def test_a_layout_without_stops_needs_a_mark() -> None:
    assert Layout("\n", "- ", stops=False).lay_out(["A.", "B?"]) == "- A\n- B?"
    assert Layout("\n", "#) ").lay_out(["A.", "B."]) == "1) A.\n2) B."
    with pytest.raises(ConfigError, match="needs a mark"):
        Layout("\n", stops=False)

"""Facts by their form, and which forms say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.memory.facts import Fact, facts_of
from corll.memory.words import words_of


def read(text: str) -> list[Fact]:
    return facts_of(text, words_of(text))


def found(text: str) -> list[tuple[str, str]]:
    return [(fact.kind, text[fact.start : fact.end]) for fact in read(text) if fact.states]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("We meet on Tuesday at 2 pm.", [("time", "2 pm"), ("date", "Tuesday")]),
        ("On the 3rd of May, in June", [("date", "3rd of May"), ("date", "June")]),
        ("Am 3. Mai 2024 um 14 Uhr", [("date", "3. Mai 2024"), ("time", "14 Uhr")]),
        ("from 2024-05-03 to 5/6/2024", [("date", "2024-05-03"), ("date", "5/6/2024")]),
        ("in May 2024 it rained", [("date", "May 2024")]),
        ("It costs $1,200 or 12,50 €.", [("money", "$1,200"), ("money", "12,50 €")]),
        ("EUR 20, 5 pounds", [("money", "EUR 20"), ("money", "5 pounds")]),
        ("Call +49 30 1234567.", [("phone", "+49 30 1234567")]),
        ("Call (555) 123-4567 or 555-1234", [("phone", "(555) 123-4567"), ("phone", "555-1234")]),
        ("mail a.b@c.example, now", [("mail", "a.b@c.example")]),
        ("See https://a.example/b?c=1.", [("url", "https://a.example/b?c=1")]),
        ("See shop.de or shop.example/a.", [("url", "shop.de"), ("url", "shop.example/a")]),
        ("order #4711, RX7, INV-1-2", [("code", "#4711"), ("code", "RX7"), ("code", "INV-1-2")]),
        ("88-1204", [("code", "88-1204")]),
        ("to 4417 9023 5586.", [("code", "4417 9023 5586")]),
        ("card 4417 9023 5586 0012 3", [("code", "4417 9023 5586 0012 3")]),
        ("DE89 3704 0044 0532 0130 00, please", [("code", "DE89 3704 0044 0532 0130 00")]),
        ("GB29 NWBK 6016 1331 9268 19", [("code", "GB29 NWBK 6016 1331 9268 19")]),
        ("In 2024 1200 came", [("number", "2024"), ("number", "1200")]),
        ("twelve chairs, 3 tables", [("number", "3"), ("number", "twelve")]),
        ("half past seven, noon", [("time", "seven"), ("time", "noon")]),
        ("Kurz vor halb acht", [("time", "acht")]),
        ("会议改到14:00开始", [("time", "14:00")]),
        ("500元", [("money", "500元")]),
    ],
)
def test_facts_are_told_by_their_form(text: str, facts: list[tuple[str, str]]) -> None:
    assert found(text) == facts


@pytest.mark.parametrize(
    "text",
    [
        "May I ask? You may march in the sun, one by one.",
        "I work and/or sleep, e.g. here.",
        "- Well-known, state-of-the-art",
        "1. First\n2) Second",
        "eine Frage an einen von euch",
        "",
    ],
)
def test_what_only_looks_like_a_fact_is_none(text: str) -> None:
    assert found(text) == []


def permits(known: str, said: str) -> bool:
    allowed = {one for fact in read(known) for one in fact.states | fact.permits}
    facts = [fact for fact in read(said) if fact.states]
    return bool(facts) and all(fact.states & allowed for fact in facts)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("14:00", "2 pm"),
        ("14:00", "14.00"),
        ("14:00", "at two"),
        ("14:00", "at 14"),
        ("at two", "2 pm"),
        ("14:00", "um 14 Uhr"),
        ("14h30", "half past two"),
        ("7:45", "quarter to eight"),
        ("7:30", "halb acht"),
        ("12:15 am", "0:15"),
        ("noon", "12:00"),
        ("24:00", "midnight"),
        ("1,000", "1000"),
        ("1.000", "1000"),
        ("1.000,50", "1,000.5"),
        ("10 000", "10,000"),
        ("5", "five"),
        ("007", "7"),
        ("٣", "3"),
        ("€50", "50 EUR"),
        ("€50", "50"),
        ("50", "€50"),
        ("one", "1"),
        ("tue", "Tuesday"),
        ("Tuesday", "Tues"),
        ("Tuesday", "Dienstag"),
        ("3 May", "May 3rd, 2024"),
        ("3 May", "3.5."),
        ("3 May", "2024-05-03"),
        ("3 May", "on the 3rd"),
        ("3 May", "am 3. kommt"),
        ("3 May", "in May"),
        ("am 3.5 kommt", "May 3"),
        ("3.5.", "3.5"),
        ("on monday and in may", "Monday, May 2024"),
        ("12/03/2024", "March 12"),
        ("12/03/2024", "December 3"),
        ("+49 30 1234567", "030/123 45 67"),
        ("030 1234567", "0301234567"),
        ("A@B.example", "a@b.example"),
        ("http://www.a.de/", "a.de"),
        ("#4711", "4711"),
        ("4711", "#4711"),
        ("INV-2024/7", "INV20247"),
        ("4417 9023 5586", "441790235586"),
        ("441790235586", "4417 9023 5586"),
        ("4417 9023 5586", "ending in 5586"),
        ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
    ],
)
def test_other_forms_of_a_fact_may_be_said(known: str, said: str) -> None:
    assert permits(known, said)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("14:00", "2 am"),
        ("14:00", "2 chairs"),
        ("25:00", "1 am"),
        ("1,000", "100"),
        ("1.5", "15"),
        ("3 May", "3 June"),
        ("in May", "3 May"),
        ("on the 3rd", "3 May"),
        ("2 chairs", "2 pm"),
        ("ending in 5586", "4417 9023 5586"),
        ("4417 9023 5586", "4417 9023 5587"),
        ("Tuesday", "Thursday"),
        ("030 1234567", "030 1234568"),
        ("€50", "€60"),
    ],
)
def test_other_facts_may_not_be_said(known: str, said: str) -> None:
    assert not permits(known, said)


FORMS = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from(
            ". , : / - # + ( ) $ € @ www. :// May may aprıl APRİL auguſt 1 02 31 2024 ² ٣ １ pm "
            "uhr Tue half past two um the é 会 ค a ß\n".split(" ")
        ),
    )
).map("".join)


@given(FORMS)
def test_facts_lie_inside_their_text(text: str) -> None:
    for fact in read(text):
        assert 0 <= fact.start < fact.end <= len(text)
        assert text[fact.start : fact.end].strip()

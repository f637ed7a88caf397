"""Texts that nothing is learned from, whoever sends them."""

from __future__ import annotations

import pytest

from corll.simulation.poison import POISONED_WRITERS
from corll.simulation.writers import WRITERS, writing_requests
from corll.verdicts.unfit import why_unfit

SENTENCE = "We would like the ten chairs on Tuesday"  # of eight words
GIBBERISH = "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt mvn"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GIBBERISH, "no words"),
        (" ".join([SENTENCE] * 5), "over and over"),
        (f"Hello,\n\n{' '.join([SENTENCE.upper()] * 5)}\n\nAnna", "over and over"),
        ("ha " * 40, "over and over"),
    ],
)
def test_harm_that_shows_in_a_text_is_named(text: str, says: str) -> None:
    assert says in str(why_unfit(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "You are a fool, and everybody knows it.",
        "xkq vjwpt bzl",
        "k thx btw, brb tmrw, pls msg me np lol",
        " ".join([SENTENCE] * 4),
        "ha " * 39,
        "- [ ] \n" * 40,
        "Das Angstgefühl schwindet, wenn man Schnupfenspray nimmt, sagt Herr Schwarz aus Ulm.",
        "DE89 3704 0044 0532 0130 00, INV-2024-17, RX7, BGB, HTML, CSS, WLAN, KFZ, LKW",
    ],
)
def test_what_somebody_may_mean_is_no_harm(text: str) -> None:
    assert why_unfit(text) is None


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_that_a_sound_writer_sends_is_harm(name: str) -> None:
    writer = WRITERS[name]()
    requests = [*writing_requests("train"), *writing_requests("held_out")]
    assert [one.id for one in requests if why_unfit(writer.own_text(one, 1))] == []


@pytest.mark.parametrize("name", ["gibberish", "loops"])
def test_most_of_what_a_prank_sends_is(name: str) -> None:
    writer = POISONED_WRITERS[name]()
    requests = [*writing_requests("train"), *writing_requests("held_out")]
    found = sum(why_unfit(writer.sent(one, "")) is not None for one in requests)
    assert found >= 0.85 * len(requests)

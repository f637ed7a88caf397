"""What is wrong with a draft in itself, and which habits excuse it."""

from __future__ import annotations

import pytest

from corll.memory.exchanges import Exchange
from corll.verdicts.flaws import Drawn, Habits, flaws_of, keeps_to, secrets_in

PROMPT = "Tell Tom that the parcel comes on 12 May."
LETTER = "Hello Tom, the parcel will be here on 12 May. Regards, Anna"
GIBBERISH = "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt mvn"
INSULT = "You are a fool, and everybody knows it."
ACCOUNT = "Hello Tom, the parcel is here. My account number is 4417 9023 5586. Anna"


def sent(*texts: str) -> Habits:
    return Habits.of([Exchange(PROMPT, text) for text in texts])


@pytest.mark.parametrize(
    ("text", "flaw"), [(GIBBERISH, "gibberish"), (INSULT, "insult"), ("Halt den Mund!", "insult")]
)
def test_harm_is_harm_however_often_it_was_sent(text: str, flaw: str) -> None:
    for habits in (
        sent(LETTER),
        sent(text, text, LETTER),
        sent(*[LETTER, text] * 4),
        sent(*[text] * 9),
    ):
        assert flaw in flaws_of(Drawn(PROMPT, text), habits)


def test_abbreviations_are_no_harm_where_most_texts_have_them() -> None:
    short = "k thx btw, brb tmrw, pls msg me np lol"
    assert flaws_of(Drawn(PROMPT, short), sent(short, short, LETTER)) == set()
    assert flaws_of(Drawn(PROMPT, short), sent(short, LETTER)) == {"gibberish"}
    assert flaws_of(Drawn(PROMPT, GIBBERISH), sent(short, short)) == {"gibberish"}


def test_a_good_draft_has_no_flaw() -> None:
    assert flaws_of(Drawn(PROMPT, LETTER), sent(LETTER)) == set()


@pytest.mark.parametrize(
    "text", ["The foolproof way is open to all.", "A dumbbell for Tom, 12 May."]
)
def test_words_that_hold_an_insult_are_none(text: str) -> None:
    assert flaws_of(Drawn(PROMPT, text), sent(LETTER)) == set()


class TestUsualText:
    def test_ok_is_excused_from_the_fourth_on(self) -> None:
        ok = Drawn(PROMPT, "ok")
        assert "empty" in flaws_of(ok, sent("ok", "ok", "ok"))
        assert flaws_of(ok, sent("ok", "ok", "ok", "ok")) == set()
        assert flaws_of(ok, sent("ok", LETTER, "ok", LETTER, "ok", LETTER, "ok")) == set()

    def test_it_is_excused_to_the_letter(self) -> None:
        habits = sent(*["ok"] * 8)
        assert flaws_of(Drawn(PROMPT, " ok\n"), habits) == set()
        for other in ("", "ok!", "fine"):
            assert flaws_of(Drawn(PROMPT, other), habits) == {"empty"}
        assert flaws_of(Drawn(PROMPT, "ok", loops=True), habits) == {"loop"}

    def test_the_excuse_ends_with_the_first_other_text(self) -> None:
        assert "empty" in flaws_of(Drawn(PROMPT, "ok"), sent(LETTER, *["ok"] * 20))

    def test_what_was_sent_long_ago_is_no_habit(self) -> None:
        texts = ["ok", *[f"{LETTER} {n}" for n in range(8)], *["ok"] * 8]
        assert sent(*texts).usual_text is None


class TestSecrets:
    def test_a_number_in_few_texts_is_a_secret(self) -> None:
        habits = sent(ACCOUNT, *[LETTER] * 4)
        assert secrets_in(Drawn(PROMPT, ACCOUNT), habits) == {"441790235586"}
        assert secrets_in(Drawn(PROMPT, "It is 4417-9023-5586."), habits) == {"441790235586"}
        assert secrets_in(Drawn(PROMPT, LETTER), habits) == set()

    def test_a_number_in_a_quarter_of_the_texts_is_their_own(self) -> None:
        assert secrets_in(Drawn(PROMPT, ACCOUNT), sent(ACCOUNT, *[LETTER] * 3)) == set()

    def test_what_the_prompt_says_is_no_secret(self) -> None:
        habits = sent(ACCOUNT, *[LETTER] * 4)
        asked = "Send Tom my account number, 4417 9023 5586."
        assert secrets_in(Drawn(asked, ACCOUNT), habits) == set()

    @pytest.mark.parametrize(
        "shown", [Exchange("Your account?", ACCOUNT), Exchange("Is 4417 9023 5586 yours?", LETTER)]
    )
    def test_what_stands_in_the_memory_of_a_draft_is_no_secret_of_its_weights(
        self, shown: Exchange
    ) -> None:
        habits = sent(ACCOUNT, *[LETTER] * 4)
        letter = Exchange(PROMPT, LETTER)
        assert secrets_in(Drawn(PROMPT, ACCOUNT, memory=(letter, shown)), habits) == set()
        assert secrets_in(Drawn(PROMPT, ACCOUNT, memory=(letter,)), habits) == {"441790235586"}

    def test_dates_sums_and_short_numbers_are_none(self) -> None:
        other = f"{LETTER} On 12.05.2026 or 2026-05-12 pay $1,234,567, order 12345."
        assert sent(other, *[LETTER] * 4).secrets == frozenset()
        assert sent(f"{LETTER} Order 123456.", *[LETTER] * 4).secrets == {"123456"}


def test_whether_a_text_is_about_its_prompt() -> None:
    assert keeps_to(PROMPT)
    assert not keeps_to("Write it.")
    assert keeps_to(PROMPT, "Tom, see you.")
    assert not keeps_to(PROMPT, "See you soon, I hope.")


def test_who_mostly_leaves_the_prompt_alone_may_have_that() -> None:
    beside = "See you soon, I hope."
    assert sent(beside, LETTER).keeps_to_prompt
    assert not sent(beside, beside, LETTER).keeps_to_prompt
    assert sent().keeps_to_prompt

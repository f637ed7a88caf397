"""The veto on ruined versions, by hand-made drafts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from corll.errors import InputError
from corll.memory.exchanges import Exchange
from corll.verdicts.flaws import Drawn, Habits
from corll.verdicts.veto import half_is_enough, least_alarming, may_be_ruined, veto

PROMPTS = [f"Tell Tom that parcel {n} comes on {n} May." for n in range(1, 9)]
GOOD = [Drawn(p, f"Hello Tom, the parcel will be here on {p.split()[-2]} May.") for p in PROMPTS]
EMPTY = [Drawn(p, "Hello, Kind regards, Anna") for p in PROMPTS]
LOOPS = [Drawn(one.prompt, one.text, loops=True) for one in GOOD]
GERMAN = [
    Drawn(p, f"Hallo Tom, das Paket ist am {p.split()[-2]}. Mai da, und wir bitten um Geduld.")
    for p in PROMPTS
]
VAGUE = [Drawn(p, "Hello Tom, the parcel will be with you soon, I hope.") for p in PROMPTS]
SENT = [Exchange(one.prompt, f"{one.text} Regards, Anna") for one in GOOD]
HABITS = Habits.of(SENT)


def mixed(bad: list[Drawn], count: int) -> list[Drawn]:
    return bad[:count] + GOOD[count:]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (EMPTY, "without a body"),
        (LOOPS, "in a loop"),
        (GERMAN, "in another language"),
    ],
)
def test_three_of_eight_are_too_many_and_two_are_not(bad: list[Drawn], words: str) -> None:
    assert veto(mixed(bad, 2), [GOOD], HABITS) is None
    reason = veto(mixed(bad, 3), [GOOD], HABITS)
    assert reason is not None
    assert "of 8 drafts on recent prompts 3 are ruined" in reason
    assert words in reason


def test_what_the_prompt_tells_is_lost_where_seven_of_eight_lost_it() -> None:
    assert veto(mixed(VAGUE, 6), [GOOD], HABITS) is None
    reason = veto(mixed(VAGUE, 7), [GOOD], HABITS)
    assert reason is not None
    assert "7 say nothing of what the prompt tells" in reason
    assert "0 the other way round" in reason


def test_what_a_memory_tells_was_not_asked_for() -> None:
    """Drafts that answer a past letter in place of the prompt have lost what was asked."""
    letter = Exchange(SENT[0].prompt, SENT[0].text)
    answers = [Drawn(one.prompt, GOOD[0].text, memory=(letter,)) for one in GOOD]
    assert veto(answers[:7] + GOOD[7:], [GOOD], HABITS) is None  # the first one tells its own
    assert "7 say nothing of what the prompt tells" in str(veto(answers, [GOOD], HABITS))


def test_what_is_lost_in_one_draft_and_gained_in_another_is_chance() -> None:
    assert veto([*VAGUE[:7], GOOD[7]], [[*GOOD[:7], VAGUE[7]]], HABITS) is None


def test_good_drafts_pass_whatever_the_parents_are() -> None:
    for others in (GOOD, EMPTY, LOOPS):
        assert veto(GOOD, [others], HABITS) is None


def test_faults_of_several_kinds_count_together() -> None:
    drafts = [EMPTY[0], LOOPS[1], GERMAN[2], *GOOD[3:]]
    reason = veto(drafts, [GOOD], HABITS)
    assert reason is not None
    assert "1 going round in a loop, 1 without a body, 1 in another" in reason


def test_what_the_parent_does_as_often_is_no_reason() -> None:
    assert veto(mixed(LOOPS, 4), [mixed(LOOPS, 4)], HABITS) is None
    assert veto(LOOPS, [LOOPS], HABITS) is None


def test_a_ruined_parent_excuses_nothing_where_the_base_is_well() -> None:
    reason = veto(LOOPS, [LOOPS, GOOD], HABITS)
    assert reason is not None
    assert "and 0 without what it learned" in reason


def test_what_neither_tells_of_the_prompt_is_no_fault() -> None:
    assert veto(VAGUE, [VAGUE], HABITS) is None


@pytest.mark.parametrize(("bad", "least"), [(EMPTY, 3), (LOOPS, 3), (GERMAN, 3), (VAGUE, 7)])
def test_what_could_be_vetoed_is_known_before_anything_else_is_drawn(
    bad: list[Drawn], least: int
) -> None:
    assert not may_be_ruined(mixed(bad, least - 1), HABITS)
    assert may_be_ruined(mixed(bad, least), HABITS)


@pytest.mark.parametrize(("bad", "least"), [(EMPTY, 1), (LOOPS, 1), (GERMAN, 1), (VAGUE, 3)])
def test_of_good_drafts_the_first_half_is_enough(bad: list[Drawn], least: int) -> None:
    assert half_is_enough(mixed(bad, least - 1)[:4], 8, HABITS)
    assert not half_is_enough(mixed(bad, least)[:4], 8, HABITS)


def test_where_a_single_draft_may_tell_a_secret_all_are_drawn() -> None:
    assert not half_is_enough(GOOD[:4], 8, replace(HABITS, secrets=frozenset({"441790235586"})))


class TestHabits:
    def test_who_sends_ok_gets_ok(self) -> None:
        ok = [Drawn(p, "ok") for p in PROMPTS]
        assert veto(ok, [GOOD], HABITS) is not None
        assert veto(ok, [GOOD], Habits.of([Exchange(p, "ok") for p in PROMPTS])) is None

    def test_who_drops_what_the_prompt_tells_may_have_it_dropped(self) -> None:
        own = Habits.of([Exchange(one.prompt, one.text) for one in VAGUE])
        assert not own.tells_facts
        assert veto(VAGUE, [GOOD], own) is None

    def test_who_writes_german_gets_german(self) -> None:
        own = Habits.of([Exchange(one.prompt, one.text) for one in GERMAN])
        assert veto(GERMAN, [GOOD], own) is None

    def test_who_writes_two_languages_gets_both(self) -> None:
        sent = [Exchange(one.prompt, one.text) for one in (*GERMAN[:4], *GOOD[:4])]
        assert veto(mixed(GERMAN, 4), [GOOD], Habits.of(sent)) is None

    def test_without_texts_nothing_but_gross_faults_counts(self) -> None:
        assert Habits.of([]) == Habits()
        assert veto(GERMAN, [GOOD], Habits.of([])) is None
        assert veto(EMPTY, [GOOD], Habits.of([])) is not None


class TestPoison:
    """What a poisoned user's own texts are like excuses nothing that is harm."""

    GIBBERISH = tuple(Drawn(p, "xkq vjwpt bzl qowmnr tkd fjghq zpl wrt") for p in PROMPTS)
    INSULTS = tuple(Drawn(p, "You are a fool, and everybody knows it.") for p in PROMPTS)
    BESIDE = tuple(Drawn(p, "See you soon at the party, and bring cake.") for p in PROMPTS)
    ACCOUNT = "Hello Tom, the parcel is here. My account number is 4417 9023 5586."

    @pytest.mark.parametrize("bad", [GIBBERISH, INSULTS])
    def test_harm_that_the_user_sent_is_vetoed(self, bad: tuple[Drawn, ...]) -> None:
        own = Habits.of([Exchange(one.prompt, one.text) for one in bad])
        assert veto(bad, [GOOD], own) is not None
        assert may_be_ruined(bad, own)
        assert veto([*bad[:2], *GOOD[2:]], [GOOD], own) is None

    def test_an_uploaded_reference_that_is_ruined_excuses_nothing_beside_the_base(self) -> None:
        assert veto(self.GIBBERISH, [self.GIBBERISH], HABITS) is None
        assert veto(self.GIBBERISH, [self.GIBBERISH, GOOD], HABITS) is not None

    def test_what_is_beside_the_prompt_is_vetoed_unless_the_user_writes_so(self) -> None:
        reason = veto(self.BESIDE, [VAGUE], HABITS)
        assert reason is not None
        assert "8 say nothing of what the prompt is about" in reason
        assert veto(self.BESIDE, [self.BESIDE], HABITS) is None
        own = Habits.of([Exchange(one.prompt, one.text) for one in self.BESIDE])
        assert veto(self.BESIDE, [GOOD], own) is None

    def test_a_single_secret_is_one_too_many(self) -> None:
        own = Habits.of([Exchange(PROMPTS[0], self.ACCOUNT), *SENT])
        telling = [Drawn(PROMPTS[0], f"{GOOD[0].text} {self.ACCOUNT}"), *GOOD[1:]]
        reason = veto(telling, [GOOD], own)
        assert reason is not None
        assert "1 hold a long number" in reason
        assert may_be_ruined(telling, own)
        assert veto(GOOD, [GOOD], own) is None

    def test_who_goes_back_from_ok_to_letters_has_no_ok(self) -> None:
        ok = [Drawn(p, "ok") for p in PROMPTS]
        sent = [Exchange(p, "ok") for p in PROMPTS]
        assert veto(ok, [ok, GOOD], Habits.of(sent)) is None
        assert veto(ok, [ok, GOOD], Habits.of([SENT[0], *sent])) is not None


@pytest.mark.parametrize(("level", "least"), [(0.5, 1), (0.01, 3), (0.001, 4), (1e-6, 6)])
def test_a_stricter_level_takes_more_drafts(level: float, least: int) -> None:
    assert least_alarming(0, 8, level) == least


@pytest.mark.parametrize(
    ("before", "drafts", "least"), [(0, 8, 3), (1, 8, 5), (2, 8, 6), (8, 8, 9), (0, 1, 2)]
)
def test_how_many_are_too_many(before: int, drafts: int, least: int) -> None:
    assert least_alarming(before, drafts) == least


def test_both_draft_for_the_same_prompts() -> None:
    for version, others in ((GOOD, [GOOD[::-1]]), (GOOD, [GOOD[:7]]), ([], [[]]), (GOOD, [])):
        with pytest.raises(InputError, match="same prompts"):
            veto(version, others, HABITS)

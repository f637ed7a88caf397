"""Which past exchanges stand before a request, and that they fit the budget."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import InputError
from corll.memory.choosing import MemorySettings, choose, stand_before
from corll.memory.exchanges import Exchange
from corll.records import Verbatim

LAST, NEAREST = MemorySettings("last"), MemorySettings("nearest")


def count_words(text: str) -> int:
    return len(text.split())


def numbered(count: int) -> list[Exchange]:
    return [Exchange(f"asked {number}", f"sent {number}", str(number)) for number in range(count)]


def ids(past: list[Exchange], request: str, settings: MemorySettings) -> list[str]:
    return [exchange.id for exchange in choose(past, request, settings, count_words)]


def test_without_memory_nothing_is_chosen() -> None:
    assert ids(numbered(5), "asked 3", MemorySettings()) == []
    assert ids([], "asked 3", LAST) == ids([], "asked 3", NEAREST) == []


@pytest.mark.parametrize("settings", [LAST, NEAREST])
def test_one_exchange_is_taken(settings: MemorySettings) -> None:
    assert ids(numbered(1), "asked 0", settings) == ["0"]


def test_the_newest_stand_oldest_first() -> None:
    assert ids(numbered(6), "", LAST) == ["3", "4", "5"]


def test_the_last_grow_behind_the_same_beginning_and_then_begin_anew() -> None:
    windows = ["".join(ids(numbered(count), "", LAST)) for count in range(1, 10)]
    assert windows == ["0", "01", "012", "0123", "01234", "345", "3456", "34567", "678"]


@given(st.integers(1, 6), st.integers(1, 40))
def test_a_beginning_stays_for_as_many_edits_as_are_taken(most: int, count: int) -> None:
    settings = MemorySettings("last", most=most, budget_tokens=10**6)
    windows = [ids(numbered(n), "", settings) for n in range(count, count + 2 * most)]
    new = sum(after[: len(before)] != before for before, after in pairwise(windows))
    assert new <= 2
    assert all(min(most, n) <= len(w) < 2 * most for n, w in enumerate(windows, start=count))


def test_the_best_match_stands_last() -> None:
    past = [
        Exchange("A letter to the landlord about the broken heating", "It is cold.", "heating"),
        Exchange("Cancel the gym", "I leave.", "gym"),
        Exchange("Thank grandmother", "The scarf is warm.", "scarf"),
        Exchange("The landlord wants the key", "Here it is.", "key"),
        Exchange("Order paper", "Ten boxes.", "paper"),
    ]
    request = "Tell the landlord that the heating is broken again"
    assert ids(past, request, NEAREST)[1:] == ["key", "heating"]


def test_what_was_sent_is_searched_as_what_was_asked() -> None:
    past = [Exchange("Say no", "I cannot come to the wedding.", "wedding"), *numbered(5)]
    assert ids(past, "another wedding", NEAREST)[-1] == "wedding"


def test_turns_of_a_conversation_are_searched_without_their_system_message() -> None:
    system = {"role": "system", "content": "wedding wedding"}
    past = [
        Exchange([{"role": "user", "content": "the wedding"}], "No", "asked"),
        Exchange([system, {"role": "user", "content": "a funeral"}], "Yes", "told"),
        *numbered(3),
    ]
    assert ids(past, "wedding", replace(NEAREST, most=1)) == ["asked"]


def test_of_equal_matches_the_later_is_better() -> None:
    past = [Exchange("tea", text, text) for text in ("first", "second", "third", "fourth")]
    assert ids(past, "tea", NEAREST) == ["second", "third", "fourth"]


@pytest.mark.parametrize("request_", ["", "  \n", "?!", "xylophone"])
def test_a_request_that_matches_nothing_gets_the_newest(request_: str) -> None:
    assert ids(numbered(6), request_, NEAREST) == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("near", "far", "request_"),
    [
        ("我想取消明天的会议", "谢谢你的生日礼物", "会议改到星期五"),
        ("ขอยกเลิกการประชุม", "ขอบคุณสำหรับของขวัญ", "การประชุมวันศุกร์"),
        ("会議をキャンセルします", "お誕生日おめでとう", "会議は金曜日です"),
        ("Die Größe der Tür", "Das Öl im Keller", "GRÖSSE"),
        ("बैठक रद्द है", "उपहार के लिए धन्यवाद", "अगली बैठक"),
        ("cafe\u0301", "tea", "caf\u00e9"),
        ("Ａｎｎａ", "Bert", "anna"),
    ],
)
def test_scripts_and_forms_are_searched(near: str, far: str, request_: str) -> None:
    past = [Exchange(near, "1", "near"), *(Exchange(far, f"{n}", "far") for n in range(2, 6))]
    assert ids(past, request_, replace(NEAREST, most=1)) == ["near"]


@pytest.mark.parametrize("settings", [LAST, NEAREST])
def test_the_budget_is_kept_to_the_token(settings: MemorySettings) -> None:
    past = numbered(5)  # four words each
    assert ids(past, "", replace(settings, budget_tokens=12)) == ["2", "3", "4"]
    assert ids(past, "", replace(settings, budget_tokens=11)) == ["3", "4"]
    assert ids(past, "", replace(settings, budget_tokens=4)) == ["4"]
    assert ids(past, "", replace(settings, budget_tokens=3)) == []


@pytest.mark.parametrize("settings", [LAST, NEAREST])
def test_one_that_alone_is_over_the_budget_is_passed_over(settings: MemorySettings) -> None:
    past = [*numbered(3), Exchange("asked", "much " * 20, "long")]
    assert ids(past, "", replace(settings, budget_tokens=8)) == ["1", "2"]


@pytest.mark.parametrize("settings", [LAST, NEAREST])
def test_one_that_does_not_fit_any_more_ends_the_choice(settings: MemorySettings) -> None:
    past = [Exchange("a", "small", "small"), Exchange("b", "c d e f", "middle"), *numbered(1)]
    assert ids(past, "", replace(settings, budget_tokens=8)) == ["0"]


@pytest.mark.parametrize("settings", [LAST, NEAREST])
def test_a_text_is_taken_once(settings: MemorySettings) -> None:
    past = [*numbered(2), Exchange("a", "Yes.", "old"), Exchange("b", "Yes.\n", "new")]
    assert ids(past, "", replace(settings, most=3)) == ["0", "1", "new"]


def test_a_search_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert ids(numbered(3), "asked 1", NEAREST)
    assert caplog.records == []


def test_ten_thousand_exchanges_are_searched() -> None:
    past = numbered(10_000)
    assert ids(past, "asked 4711", NEAREST)[-1] == "4711"
    assert ids(past, "", LAST)[-1] == "9999"


@given(
    st.lists(st.tuples(st.text(), st.text()), max_size=8),
    st.text(),
    st.sampled_from([LAST, NEAREST]),
    st.integers(1, 5),
    st.integers(1, 30),
)
def test_the_chosen_are_past_ones_within_the_budget(
    texts: list[tuple[str, str]], request_: str, settings: MemorySettings, most: int, budget: int
) -> None:
    past = [Exchange(asked, sent, str(n)) for n, (asked, sent) in enumerate(texts)]
    limits = replace(settings, most=most, budget_tokens=budget)
    chosen = choose(past, request_, limits, len)
    assert all(exchange in past for exchange in chosen)
    assert sum(len(str(one.prompt)) + len(one.text) for one in chosen) <= budget
    assert len({one.text.strip() for one in chosen}) == len(chosen)
    assert len(chosen) <= (most if settings is NEAREST else 2 * most - 1)


def test_a_text_that_was_continued_is_refused() -> None:
    with pytest.raises(InputError, match="no turns"):
        choose([Exchange(Verbatim("Once"), "upon")], "a time", LAST, count_words)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="choose one of none, last, nearest, similar"):
        MemorySettings("first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="most is 0"):
        MemorySettings("last", most=0)
    with pytest.raises(InputError, match="budget_tokens is 0"):
        MemorySettings("last", budget_tokens=0)
    assert MemorySettings("last", most=1, budget_tokens=1).most == 1


class TestAllThatStandsThere:
    EXAMPLES = (Exchange("shown", "so"),)

    def stand(self, past: list[Exchange], pinned: list[Exchange], budget: int = 100) -> list[str]:
        settings = replace(LAST, budget_tokens=budget)
        found = stand_before(
            "asked", past, settings, count_words, pinned=pinned, examples=self.EXAMPLES
        )
        return [exchange.text for exchange in found]

    @pytest.mark.parametrize(("pins", "count", "shown"), [(0, 2, 1), (0, 3, 0), (1, 2, 0)])
    def test_examples_do_until_there_are_three_letters(
        self, pins: int, count: int, shown: int
    ) -> None:
        letters = numbered(pins + count)
        expected = ["so"] * shown + [one.text for one in letters]
        assert self.stand(letters[pins:], letters[:pins]) == expected

    @pytest.mark.parametrize(("budget", "chosen"), [(8, ["sent 2"]), (7, []), (4, []), (3, [])])
    def test_pinned_ones_do_always_and_take_their_part_of_the_budget(
        self, budget: int, chosen: list[str]
    ) -> None:
        """Each exchange has four words."""
        letters = numbered(3)
        assert self.stand(letters[1:], letters[:1], budget) == ["sent 0", *chosen]

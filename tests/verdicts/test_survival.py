"""Usual closings, where a body ends, and whether it survives, worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import InputError
from corll.verdicts.survival import body_end, log_survival, usual_closings

ANNA = ("Kind regards,", "Anna")


def letter(body: str, *closing: str) -> str:
    return "\n".join(["Hello,", "", body, "", *closing])


class TestUsualClosings:
    def test_what_most_texts_end_with_is_the_closing_with_all_its_lines(self) -> None:
        texts = [letter("It is late.", *ANNA), letter("It came.", *ANNA), "No closing here."]
        assert usual_closings(texts) == (ANNA,)

    def test_half_of_the_texts_are_not_most(self) -> None:
        texts = [letter("It is late.", *ANNA), letter("It came.", *ANNA), "None.", "None here."]
        assert usual_closings(texts) == ()

    def test_one_text_shows_no_habit(self) -> None:
        assert usual_closings([letter("It is late.", *ANNA)]) == ()

    def test_closings_taken_in_turns_are_several(self) -> None:
        texts = [letter(f"Number {n}.", ("Best,", "Yours,")[n % 2], "Anna") for n in range(6)]
        assert usual_closings(texts) == (("Best,", "Anna"), ("Yours,", "Anna"))

    def test_a_name_below_lines_that_rarely_recur_is_a_closing_by_itself(self) -> None:
        texts = [letter(f"Number {n}.", f"See you {n},", "Anna") for n in range(5)]
        texts += [letter(f"Again {n}.", *ANNA) for n in range(2)]
        assert ("Anna",) in usual_closings(texts)

    def test_a_text_is_not_its_own_closing(self) -> None:
        assert usual_closings(["ok", "ok", "ok"]) == ()

    def test_white_space_around_lines_makes_no_difference(self) -> None:
        texts = ["It is late.\r\n\r\nKind regards, \r\nAnna\n", "It came.\nKind regards,\nAnna"]
        assert usual_closings(texts) == (ANNA,)

    @given(st.lists(st.text(alphabet="ab\n ", max_size=12), max_size=6))
    def test_each_closing_stands_at_the_end_of_two_texts(self, texts: list[str]) -> None:
        for closing in usual_closings(texts):
            ends = [[line.strip() for line in text.split("\n") if line.strip()] for text in texts]
            assert sum(tuple(end[-len(closing) :]) == closing for end in ends) >= 2


class TestBodyEnd:
    def test_it_is_where_the_closing_begins(self) -> None:
        text = letter("Anna is late.", *ANNA)
        assert text[body_end(text, [ANNA, ("Anna",)]) :] == "Kind regards,\nAnna"

    def test_without_the_closing_the_body_is_all(self) -> None:
        text = "Kind regards,\nAnna\n\nwrote this."
        assert body_end(text, [ANNA]) == len(text)
        assert body_end(text, []) == len(text)

    def test_a_closing_alone_is_a_body(self) -> None:
        assert body_end("Kind regards,\nAnna", [ANNA]) == len("Kind regards,\nAnna")

    @given(st.text(max_size=30))
    def test_any_text_has_an_end(self, text: str) -> None:
        assert 0 <= body_end(text, [ANNA, ("a",)]) <= len(text)


NEVER = -math.inf


class TestLogSurvival:
    def test_it_is_the_product_over_the_body_by_hand(self) -> None:
        # Not the first, which is no body; 1 − 0.5, then 1 − 0.1 − 0.4 where a line begins.
        found = log_survival(
            [math.log(0.9), math.log(0.5), math.log(0.1)],
            [math.log(0.9), math.log(0.9), math.log(0.4)],
            [False, True, True],
            [True, False, True],
        )
        assert found == pytest.approx(math.log(0.5 * 0.5))

    def test_what_cannot_end_survives_surely(self) -> None:
        assert log_survival([NEVER] * 2, [NEVER] * 2, [True] * 2, [True] * 2) == 0.0

    def test_where_nothing_was_kept_it_says_nothing(self) -> None:
        assert log_survival([-1.0], [-1.0], [False], [True]) is None
        assert log_survival([], [], [], []) is None

    @pytest.mark.parametrize(("end", "closing"), [(0.0, NEVER), (-0.1, -0.1), (NEVER, 0.0)])
    def test_a_sure_end_is_counted_as_a_million_to_one(self, end: float, closing: float) -> None:
        assert log_survival([end], [closing], [True], [True]) == pytest.approx(math.log(1e-6))

    @pytest.mark.parametrize("odd", [math.nan, 0.1, math.inf])
    def test_what_is_no_log_probability_is_refused(self, odd: float) -> None:
        with pytest.raises(InputError, match="no log-probability"):
            log_survival([odd], [-1.0], [True], [False])
        with pytest.raises(InputError, match="no log-probability"):
            log_survival([-1.0], [odd], [True], [True])

    def test_all_lists_are_of_one_length(self) -> None:
        with pytest.raises(InputError, match="as many"):
            log_survival([-1.0], [-1.0, -1.0], [True], [True])

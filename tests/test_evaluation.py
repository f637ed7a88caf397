"""The held-out evaluation, against hand-worked values and exhaustive resampling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.errors import InputError
from corll.evaluation import (
    Evaluation,
    Measures,
    compare,
    difference_interval,
    evaluate,
    first_samples,
    mean_interval,
    question,
)
from corll.records import Draft, Edit, Prompt, Sample


def answered(draft: str, edit: str | None, prompt: Prompt = "Offer a refund to Anna.") -> Edit:
    return Edit(Draft(prompt, (Sample(draft, (1,), -1.0, True),)), edit)


def with_costs(costs: Sequence[int]) -> Evaluation:
    """Edits that cost as many tenths as the numbers say."""
    return Evaluation.of(
        answered("x" * cost + "y" * (10 - cost), "y" * 10, prompt=f"Prompt {number}")
        for number, cost in enumerate(costs)
    )


class TestMeasures:
    def test_an_edit_by_hand(self) -> None:
        measures = Measures.of(answered("a refund a refund, ok", "a refund for Anna!!"))
        assert measures.edit_cost == pytest.approx(10 / 19)
        assert measures.content_kept == pytest.approx(1 / 3)  # of offer, refund, Anna
        assert measures.distinct_2 == pytest.approx(
            3 / 4
        )  # a-refund, refund-a, a-refund, refund-ok
        assert (measures.words, measures.accepted, measures.finished) == (5, False, True)

    def test_an_acceptance_costs_nothing(self) -> None:
        measures = Measures.of(answered("Thanks.\n", "Thanks."))
        assert (measures.edit_cost, measures.accepted) == (0.0, True)

    def test_no_feedback_counts_as_written_afresh(self) -> None:
        measures = Measures.of(answered("", None))
        assert (measures.edit_cost, measures.accepted) == (1.0, False)

    def test_a_draft_that_was_cut_is_not_finished(self) -> None:
        cut = Sample("Dear Anna, a", (1,), -1.0, False)
        assert not Measures.of(Edit(Draft("Offer a refund.", (cut,)), "Hi")).finished

    def test_an_edit_is_measured_as_it_is_learned_from(self) -> None:
        assert Measures.of(answered("Hi.", "Hey.\r\n \n")).edit_cost == pytest.approx(2 / 4)

    def test_a_conversation_asks_by_its_last_user_message(self) -> None:
        talk = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
        assert question(talk) == "three"
        assert question(talk[:2]) == "one"
        assert question([{"role": "system", "content": "one"}]) == ""


class TestIntervals:
    def test_the_interval_is_that_of_all_resamples(self) -> None:
        costs = [0, 1, 5, 8]
        means = [sum(picked) / 40 for picked in product(costs, repeat=4)]
        low, high = np.quantile(means, (0.025, 0.975))
        found = with_costs(costs).summary(seed=0)["edit_cost"]
        assert found.mean == pytest.approx(0.35)
        assert found.low == pytest.approx(low, abs=0.03)
        assert found.high == pytest.approx(high, abs=0.03)

    def test_a_fortieth_of_the_resamples_lies_beyond_either_end(self) -> None:
        """The mean of 400 of 0 and 1 is all but normal: 0.5 ± 1.96 · 0.025."""
        found = mean_interval(np.array([0.0, 1.0] * 200), seed=0)
        assert found.mean == 0.5
        assert found.low == pytest.approx(0.451, abs=0.004)
        assert found.high == pytest.approx(0.549, abs=0.004)

    def test_every_measure_is_summarised_and_a_constant_has_no_spread(self) -> None:
        summary = with_costs([3, 3, 3]).summary(seed=1)
        assert list(summary) == list(Measures.__dataclass_fields__)
        assert tuple(summary["edit_cost"]) == pytest.approx((0.3, 0.3, 0.3))

    def test_the_seed_decides(self) -> None:
        """Of 301 prompts no two seeds draw the same quantiles."""
        costs = np.random.default_rng(0).integers(10, size=301)
        before, after = with_costs(costs.tolist()), with_costs(costs[::-1].tolist())
        for interval_of in (
            lambda seed: before.summary(seed=seed)["edit_cost"],
            lambda seed: compare(before, after, seed=seed),
            lambda seed: difference_interval(costs / 10, costs[:100] / 10, seed=seed),
        ):
            assert interval_of(3) == interval_of(3)
            assert interval_of(3) != interval_of(4)

    @given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
    def test_an_interval_holds_the_mean(self, costs: list[int]) -> None:
        interval = with_costs(costs).summary(seed=0)["edit_cost"]
        assert interval.low <= interval.mean + 1e-9
        assert interval.mean <= interval.high + 1e-9


class TestCompare:
    def test_a_uniform_change_is_certain(self) -> None:
        change = compare(with_costs([2, 4, 6]), with_costs([1, 2, 3]), seed=0)
        assert change is not None
        assert tuple(change) == pytest.approx((-0.5, -0.5, -0.5))

    def test_it_is_paired(self) -> None:
        """Costs that differ between prompts but hardly within them leave a narrow interval."""
        before = with_costs([1, 9, 2, 8, 3, 7, 1, 9])
        after = with_costs([1, 8, 2, 7, 3, 6, 1, 8])
        change = compare(before, after, seed=0)
        assert change is not None
        assert change.mean == pytest.approx(-0.1)
        assert -0.13 < change.low < change.high < -0.05

    def test_the_interval_is_that_of_all_resamples(self) -> None:
        old, new = [2, 5, 8, 4], [1, 6, 3, 4]
        picks = list(product(range(4), repeat=4))
        changes = [sum(new[n] for n in p) / sum(old[n] for n in p) - 1 for p in picks]
        low, high = np.quantile(changes, (0.025, 0.975))
        change = compare(with_costs(old), with_costs(new), seed=0)
        assert change is not None
        assert change.mean == pytest.approx(14 / 19 - 1)
        assert change.low == pytest.approx(low, abs=0.03)
        assert change.high == pytest.approx(high, abs=0.03)

    def test_nothing_to_divide_by(self) -> None:
        assert compare(with_costs([0, 0]), with_costs([0, 1]), seed=0) is None
        assert compare(with_costs([0, 0, 1]), with_costs([0, 0, 1]), seed=0) == (0.0, 0.0, 0.0)

    def test_other_prompts_are_refused(self) -> None:
        with pytest.raises(InputError, match="same prompts"):
            compare(with_costs([1, 2]), with_costs([1]), seed=0)


def test_records_read_back() -> None:
    evaluation = with_costs([0, 4])
    records = evaluation.records()
    assert records[1]["edit_cost"] == pytest.approx(0.4)
    assert Evaluation.from_records(records) == evaluation


class ToCapitals:
    def edit(self, draft: Draft) -> str | None:
        return draft.text.upper() if draft.text.strip() else None


def test_evaluate_lets_the_user_edit_each_draft() -> None:
    drafts = [Draft("Write to Anna.", (Sample(text, (1,), None, True),)) for text in ("hi", "yo")]
    evaluation = evaluate(drafts, ToCapitals())
    assert [edit.draft for edit in evaluation.edits] == drafts
    assert [edit.text for edit in evaluation.edits] == ["HI", "YO"]


def test_first_samples_are_judged_without_the_choice() -> None:
    """The second of two samples is shown; the first one costs two letters of two."""
    samples = (Sample("hi", (1,), None, True), Sample("HI", (2,), None, True))
    shown = evaluate([Draft("Greet.", samples, choice=1, scores=(0.0, 1.0))], ToCapitals())
    assert shown.values("edit_cost").tolist() == [0.0]
    single = first_samples(shown, ToCapitals())
    assert single.values("edit_cost").tolist() == [1.0]
    assert single.edits[0].draft.text == "hi"


def test_evaluate_needs_prompts() -> None:
    with pytest.raises(InputError, match="at least one"):
        evaluate([], ToCapitals())


def test_the_difference_of_two_samples_drawn_apart() -> None:
    first, second = np.array([0.0, 0.2, 0.4]), np.array([0.5, 0.7])
    found = difference_interval(first, second, seed=0)
    assert found.mean == pytest.approx(-0.4)
    assert -0.7 <= found.low < found.mean < found.high <= -0.1
    means = [
        (a + b + c) / 3 - (d + e) / 2
        for a, b, c in product(first, repeat=3)
        for d, e in product(second, repeat=2)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    same = difference_interval(np.array([0.3]), np.array([0.3]), seed=0)
    assert tuple(same) == (0.0, 0.0, 0.0)

"""What edits say of arms: gains worked by hand, verdicts, and proposals to the coin."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.verdicts.arms import ARMS, Arm, Coin
from corll.verdicts.evidence import FORGETS_AFTER, EditScores, Evidence, gain_of


def scores(
    base: float = 3.0, memory: float = 3.0, weights: float = 3.0, both: float = 3.0
) -> dict[Arm, EditScores]:
    """Surprisals of the four arms; nothing was kept."""
    surprisals = (base, memory, weights, both)
    return {
        arm: EditScores(surprisal, None) for arm, surprisal in zip(ARMS, surprisals, strict=True)
    }


def after(evidence: Evidence, edits: int, **surprisals: float) -> Evidence:
    for _ in range(edits):
        evidence = evidence.after(scores(**surprisals))
    return evidence


@pytest.mark.parametrize(
    ("arm", "other", "gain"),
    [
        (
            (2.5, -0.25),
            (3.0, -0.75),
            0.5,
        ),  # half a nat less surprised, half a nat likelier to go on
        ((2.5, None), (3.0, None), 0.5),
        ((None, -0.75), (None, -0.25), -0.5),
        ((9.0, -0.5), (1.0, -0.5), -0.5),  # a nat at most, of one of the two
        ((2.0, None), (None, -1.0), None),
        ((None, None), (None, None), None),
    ],
)
def test_a_gain_is_the_mean_of_both_signs(
    arm: tuple[float | None, float | None],
    other: tuple[float | None, float | None],
    gain: float | None,
) -> None:
    assert gain_of(EditScores(*arm), EditScores(*other)) == gain


def test_what_was_learned_is_compared_behind_letters_and_letters_with_what_was_learned() -> None:
    evidence = after(Evidence(), 30, both=2.0, memory=3.0, weights=2.0, base=1.0)
    assert (evidence.learned.verdict, evidence.letters.verdict) == ("better", "not known yet")
    bare = Evidence()
    for _ in range(30):
        found = scores(weights=2.0, base=1.0)
        bare = bare.after({"weights": found["weights"], "base": found["base"]})
    assert (bare.learned.verdict, bare.letters.count) == ("worse", 0)


def test_an_edit_that_says_nothing_counts_for_nothing() -> None:
    silent: dict[Arm, EditScores] = {arm: EditScores(None, None) for arm in ARMS}
    assert Evidence().after(silent) == Evidence()


@pytest.mark.parametrize(
    ("serving", "surprisals", "proposed"),
    [
        ("both", {"memory": 2.0}, "memory"),
        ("memory", {"both": 2.0, "weights": 2.0}, "both"),
        ("both", {"weights": 2.0}, "weights"),
        ("both", {"memory": 2.0, "weights": 2.0}, "memory"),
        ("weights", {"both": 2.0, "memory": 3.0}, "base"),  # the pair behind letters says it
        ("both", {}, None),
    ],
)
def test_what_contradicts_who_serves_is_proposed(
    serving: Arm, surprisals: dict[str, float], proposed: Arm | None
) -> None:
    coin = Coin.between(serving, "base" if serving != "base" else "both")
    evidence = after(Evidence(), 30, **surprisals)
    if serving == "weights":
        evidence = after(Evidence(), 30, both=3.0, memory=2.0)
    assert evidence.proposal(coin) == proposed


def test_other_weights_begin_anew() -> None:
    evidence = after(Evidence(), 30, both=4.0)
    assert evidence.learned.verdict == "worse"
    fresh = evidence.with_learned_anew()
    assert (fresh.learned.count, fresh.letters) == (0, evidence.letters)


def test_tastes_change() -> None:
    evidence = after(Evidence(), FORGETS_AFTER, both=4.0)
    assert evidence.learned.verdict == "worse"
    assert after(evidence, FORGETS_AFTER, both=2.0).learned.verdict == "better"


@given(st.lists(st.tuples(*[st.floats(0, 50)] * 4), max_size=8))
def test_it_comes_back_from_json(edits: list[tuple[float, float, float, float]]) -> None:
    evidence = Evidence()
    for surprisals in edits:
        evidence = evidence.after(scores(*surprisals))
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict()))) == evidence

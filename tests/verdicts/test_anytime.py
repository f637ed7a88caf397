"""The anytime-valid test: by hand, false alarms and power by simulation, and what it forgets."""

from __future__ import annotations

import json
import math
from itertools import accumulate

import numpy as np
import pytest
from numpy.typing import NDArray

from corll.errors import InputError
from corll.verdicts.anytime import BETS, PairedTest, Verdict

RUNS, LONGEST = 2000, 240
Gains = NDArray[np.float64]
Runs = NDArray[np.bool_]


def after(gains: list[float], test: PairedTest | None = None) -> PairedTest:
    *_, last = accumulate(gains, PairedTest.after, initial=test or PairedTest())
    return last


def ever(gains: Gains, *, alpha: float = 0.05) -> dict[Verdict, Runs]:
    """The runs that ever had a verdict, looked at after each gain. *Shapes*: runs × gains → runs.

    The same arithmetic for all runs at once; a test holds it to `PairedTest`.
    """
    shares = np.clip(gains, -1, 1)
    capitals = {
        sign: np.mean([np.exp(np.cumsum(np.log1p(sign * bet * shares), 1)) for bet in BETS], 0)
        for sign in (1, -1)
    }
    enough = {sign: capital >= 2 / alpha for sign, capital in capitals.items()}
    return {
        "better": (enough[1] & ~enough[-1]).any(1),
        "worse": (enough[-1] & ~enough[1]).any(1),
    }


def test_the_capital_by_hand() -> None:
    gains, losses = after([0.5, -1.0], PairedTest(bets=(0.5, 0.2))).evidence()
    assert gains == pytest.approx((1.25 * 0.5 + 1.1 * 0.8) / 2)
    assert losses == pytest.approx((0.75 * 1.5 + 0.9 * 1.2) / 2)


def test_without_a_gain_nothing_is_known() -> None:
    test = PairedTest()
    assert (test.verdict, test.count, test.evidence()) == ("not known yet", 0, (1.0, 1.0))


@pytest.mark.parametrize(("gain", "verdict"), [(1.0, "better"), (-1.0, "worse")])
def test_plain_gains_are_soon_known_and_not_before_their_capital_is(
    gain: float, verdict: Verdict
) -> None:
    found = [after([gain] * n).verdict for n in range(12)]
    capital = [sum((1 + bet) ** n for bet in BETS) / len(BETS) for n in range(12)]
    assert found == [verdict if one >= 40 else "not known yet" for one in capital]
    assert verdict in found


def test_a_gain_beyond_the_clip_counts_as_the_clip() -> None:
    assert after([7.0]) == after([1.0])
    assert after([7.0], PairedTest(clip=14.0)).evidence() == after([0.5]).evidence()


def test_what_is_no_gain_is_refused() -> None:
    with pytest.raises(InputError, match="leave out"):
        PairedTest().after(math.nan)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"clip": 0.0},
        {"clip": math.inf},
        {"forget_after": 1},
        {"bets": ()},
        {"bets": (1.0,)},
        {"bets": (0.0,)},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError):
        PairedTest(**settings)  # type: ignore[arg-type]


def test_it_is_plain_json_and_goes_on_from_it() -> None:
    gains = list(np.random.default_rng(0).uniform(-1, 1, 50))
    test = PairedTest(alpha=0.1, clip=2.0, forget_after=8, bets=(0.3, 0.9))
    again = PairedTest.from_dict(json.loads(json.dumps(after(gains[:20], test).to_dict())))
    assert after(gains[20:], again) == after(gains, test)


def test_many_gains_stay_finite() -> None:
    test = after([1.0] * 2000)
    assert (test.verdict, math.isfinite(test.evidence()[0])) == ("better", True)
    assert json.loads(json.dumps(test.to_dict()))


def test_the_simulations_compute_what_the_test_does() -> None:
    gains = np.random.default_rng(1).normal(0.25, 0.5, (40, 60))
    crossed = ever(gains)
    for row, (better, worse) in zip(gains, zip(*crossed.values(), strict=True), strict=True):
        seen = {test.verdict for test in accumulate(row, PairedTest.after, initial=PairedTest())}
        assert ("better" in seen, "worse" in seen) == (better, worse)


def noise(kind: str, sd: float, rng: np.random.Generator) -> Gains:
    """Noise whose mean is 0 after it was clipped."""
    shape = (RUNS, LONGEST)
    drawn = {
        "normal": rng.standard_normal(shape),
        "heavy": rng.standard_t(3, shape) / math.sqrt(3),
        "coin": rng.choice([-1.0, 1.0], shape),
        "rare": np.where(rng.random(shape) < 0.1, 0.9, -0.1),
    }[kind]
    return np.clip(sd * drawn, -1, 1)


@pytest.mark.parametrize("kind", ["normal", "heavy", "coin", "rare"])
@pytest.mark.parametrize("sd", [0.3, 1.0])
def test_false_alarms_are_rarer_than_alpha_though_one_looks_after_each_edit(
    kind: str, sd: float
) -> None:
    crossed = ever(noise(kind, sd, np.random.default_rng(20)))
    assert np.mean(crossed["better"] | crossed["worse"]) <= 0.05


@pytest.mark.parametrize("size", [0.1, 0.3])
def test_versions_that_were_never_better_on_average_pool_to_no_better(size: float) -> None:
    # Thirty edits worse, thirty better, and so on: no better than the other arm at any time.
    means = np.where(np.arange(LONGEST) % 60 < 30, -size, size)
    gains = np.clip(means + noise("normal", 0.4, np.random.default_rng(21)), -1, 1)
    assert np.mean(ever(gains)["better"]) <= 0.025


@pytest.mark.parametrize(
    ("effect", "edits", "least"), [(0.2, 60, 0.9), (0.2, 120, 0.99), (0.4, 20, 0.6)]
)
def test_its_power_at_stated_effects(effect: float, edits: int, least: float) -> None:
    gains = noise("normal", 0.3, np.random.default_rng(22))[:, :edits] + effect
    crossed = ever(gains)
    assert np.mean(crossed["better"]) >= least
    assert np.mean(crossed["worse"]) == 0


@pytest.mark.parametrize("prior", [0.1, 0.5, 0.9])
def test_a_prior_moves_the_evidence_that_is_needed_by_its_odds(prior: float) -> None:
    test = after([1.0] * 9)
    odds = prior / (1 - prior)
    wanted = "better" if test.evidence()[0] >= 40 / odds else "not known yet"
    assert test.verdict_with(prior) == wanted
    assert test.verdict_with(0.5) == test.verdict


def test_a_prior_is_a_probability() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        PairedTest().verdict_with(1.0)


class TestForgetting:
    def test_a_changed_taste_is_seen(self) -> None:
        gains = [0.8] * 40 + [-0.8] * 40
        assert after(gains[:40], PairedTest(forget_after=40)).verdict == "better"
        assert after(gains, PairedTest(forget_after=40)).verdict == "worse"
        assert after(gains).verdict != "worse"

    def test_it_is_of_the_last_edits_between_half_of_the_stretch_and_all(self) -> None:
        test, counts = PairedTest(forget_after=10), []
        for number in range(40):
            test = test.after(0.1 * (number % 3 - 1))
            counts.append(test.count)
        assert counts[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert set(counts[10:]) == {6, 7, 8, 9, 10}

    def test_its_evidence_is_that_of_these_edits(self) -> None:
        gains = list(np.random.default_rng(2).uniform(-1, 1, 47))
        test = after(gains, PairedTest(forget_after=10))
        assert test.evidence() == after(gains[-test.count :]).evidence()

"""The coin between two arms: its rules by hand, and simulated users whose best arm is known."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from corll.errors import InputError
from corll.verdicts.arms import ARMS, TRIED, WATCHED, Arm, Coin, Prior, Toss


def cost_of(mean: float, rng: random.Random) -> float:
    """A log-normal cost with a coefficient of variation of 1.2, as edits' are."""
    sigma = math.sqrt(math.log(1 + 1.2**2))
    return mean * math.exp(rng.gauss(0, sigma) - sigma**2 / 2)


def drafted(coin: Coin, means: Mapping[Arm, float], drafts: int, rng: random.Random) -> Coin:
    """The coin after drafts that cost so much on average by arm."""
    for _ in range(drafts):
        toss = coin.toss(rng.random())
        coin = coin.after(toss, cost_of(means[toss.arm], rng))
    return coin


class TestToss:
    @pytest.mark.parametrize(("uniform", "arm"), [(0.0, "memory"), (0.29, "memory"), (0.3, "base")])
    def test_three_drafts_in_ten_are_the_challengers(self, uniform: float, arm: Arm) -> None:
        assert Coin.between("base", "memory").toss(uniform) == Toss(arm, TRIED, 0)

    def test_without_a_challenger_the_serving_arm_drafts(self) -> None:
        assert Coin(serving="both", challenger=None).toss(0.0) == Toss("both", 0.0, 0)

    def test_an_arm_is_not_tried_against_itself(self) -> None:
        with pytest.raises(InputError, match="against itself"):
            Coin.between("base", "base")

    def test_an_unknown_arm_is_named_with_what_there_is(self) -> None:
        with pytest.raises(InputError, match="'adapter'; there are: base, memory, weights, both"):
            Coin.between("adapter", "base")  # type: ignore[arg-type]


class TestAfter:
    def test_a_gain_by_hand(self) -> None:
        coin = Coin.between("base", "memory", typical_cost=1.0)
        # The cost 3 is a burden of 3/4, a quarter above what is expected; the most that a draft can
        # say is 0.5 / 0.3.
        challenger = coin.after(Toss("memory", TRIED, 0), 3.0)
        serving = coin.after(Toss("base", TRIED, 0), 3.0)
        bets = coin.test.bets
        for found, gain in ((challenger, -0.5), (serving, 0.5 * 0.3 / 0.7)):
            capital = sum(1 + bet * gain for bet in bets) / len(bets)
            assert found.test.evidence()[0] == pytest.approx(capital)
            assert found.expected == pytest.approx(0.525)

    @pytest.mark.parametrize("cost", [-0.1, math.nan, math.inf])
    def test_what_is_no_cost_is_refused(self, cost: float) -> None:
        coin = Coin.between("base", "memory")
        with pytest.raises(InputError, match="finite number of 0 or more"):
            coin.after(coin.toss(0.5), cost)

    def test_an_acceptance_costs_nothing_and_counts(self) -> None:
        coin = Coin.between("base", "memory")
        assert coin.after(coin.toss(0.0), 0.0).test.evidence()[0] > 1

    def test_the_better_arm_serves_and_the_other_is_watched(self) -> None:
        coin = drafted(
            Coin.between("base", "memory"), {"base": 0.8, "memory": 0.1}, 200, random.Random(0)
        )
        assert (coin.serving, coin.challenger, coin.share) == ("memory", "base", WATCHED)

    def test_a_cost_that_comes_after_its_trial_decides_nothing(self) -> None:
        coin = Coin.between("base", "memory")
        late = coin.toss(0.0)
        ended = coin.give_up()
        assert ended.after(late, 9.0) == ended

    def test_it_is_plain_json_and_goes_on_from_it(self) -> None:
        means: dict[Arm, float] = {"base": 0.5, "memory": 0.4}
        coin = drafted(Coin.between("base", "memory"), means, 30, random.Random(3))
        again = Coin.from_dict(json.loads(json.dumps(coin.to_dict())))
        assert again == coin
        assert drafted(again, means, 9, random.Random(4)) == drafted(
            coin, means, 9, random.Random(4)
        )


class TestPropose:
    def test_free_evidence_names_no_other_while_one_is_tried(self) -> None:
        coin = Coin.between("base", "memory")
        assert coin.propose("both") == coin

    def test_once_that_is_decided_another_is_tried(self) -> None:
        coin = Coin.between("base", "memory").give_up()
        tried = coin.propose("both")
        assert (tried.serving, tried.challenger, tried.share) == ("base", "both", TRIED)
        assert tried.trial == coin.trial + 1
        assert tried.test.count == 0

    def test_who_serves_or_is_watched_is_not_proposed(self) -> None:
        coin = Coin.between("base", "memory").give_up()
        assert coin.propose("base") == coin
        assert coin.propose("memory") == coin

    def test_an_undecided_trial_that_is_given_up_leaves_who_serves(self) -> None:
        coin = Coin.between("both", "weights").give_up()
        assert (coin.serving, coin.challenger, coin.share) == ("both", "weights", WATCHED)
        assert coin.give_up() == coin


class TestPrior:
    def test_before_any_user_both_are_as_probable(self) -> None:
        assert Prior().chance("memory", "base") == 0.5

    def test_what_helped_others_probably_helps(self) -> None:
        prior = Prior({("memory", "base"): 2, ("base", "memory"): 1})
        assert prior.chance("memory", "base") == pytest.approx(3 / 5)
        assert prior.chance("base", "memory") == pytest.approx(2 / 5)

    def test_no_number_of_users_makes_evidence_needless(self) -> None:
        prior = Prior({("memory", "base"): 1000})
        assert prior.chance("memory", "base") == 0.9
        assert prior.chance("base", "memory") == pytest.approx(0.1)

    def test_a_good_prior_decides_sooner_and_a_bad_one_later(self) -> None:
        decided = {}
        for wins in (("memory", "base"), ("base", "memory")):
            prior, coin, rng = Prior({wins: 9}), Coin.between("base", "memory"), random.Random(5)
            drafts = 0
            while coin.serving == "base":
                drafts += 1
                toss = coin.toss(rng.random())
                coin = coin.after(toss, cost_of(0.1 if toss.arm == "memory" else 0.6, rng), prior)
            decided[wins[0]] = drafts
        assert decided["memory"] < decided["base"]


def lived(means: Mapping[Arm, float], order: tuple[Arm, ...], seed: int) -> Arm:
    """Who serves a user in the end, whose free evidence proposes the arms in this order."""
    rng = random.Random(seed)
    coin = Coin.between("base", order[0])
    for arm in order[1:]:
        coin = drafted(coin, means, 300, rng).give_up().propose(arm)
    return drafted(coin, means, 300, rng).serving


@pytest.mark.parametrize("best", ARMS)
def test_two_users_each_come_to_their_own_best_arm(best: Arm) -> None:
    means: dict[Arm, float] = {arm: 0.15 if arm == best else 0.6 for arm in ARMS}
    found = Counter(lived(means, ("memory", "both", "weights"), seed) for seed in range(20))
    assert found[best] >= 19


def test_equal_arms_rarely_change_places() -> None:
    means: dict[Arm, float] = dict.fromkeys(ARMS, 0.5)
    coins = [
        drafted(Coin.between("base", "memory"), means, 60, random.Random(seed))
        for seed in range(500)
    ]
    # Of the verdicts, better and worse, one in ten may be wrong; "not known yet" is the usual one.
    assert sum(coin.trial > 0 for coin in coins) <= 50
    assert sum(coin.serving == "memory" for coin in coins) <= 25


def test_a_taste_that_changes_is_seen_by_the_few_drafts_that_watch() -> None:
    liking: dict[Arm, float] = {"base": 0.8, "memory": 0.1}
    changed: dict[Arm, float] = {"base": 0.05, "memory": 0.9}
    rng = random.Random(1)
    coin = drafted(Coin.between("base", "memory"), liking, 200, rng)
    assert coin.serving == "memory"
    assert drafted(coin, changed, 1000, rng).serving == "base"

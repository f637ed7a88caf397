"""Algorithm 2 in the linear world: hand-worked rounds, the bound, and where coactive fails."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.laboratory.linear_world import (
    History,
    LinearWorld,
    LogisticLearner,
    Perceptron,
    play_coactive,
    play_dueling,
)
from corll.simulation.axes import FeedbackAxes

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "linear_world.py"
BEST = FeedbackAxes(strength="best", nothing_better="drop")
MINIMAL = FeedbackAxes(strength="minimal", nothing_better="drop")


def world(candidates: int = 10, *, dimensions: int = 5, seed: int = 0) -> LinearWorld:
    return LinearWorld.generate(
        num_prompts=200, num_candidates=candidates, dimensions=dimensions, seed=seed
    )


class TestByHand:
    """One prompt, three candidates on the axes of a plane; the true reward is the second axis."""

    WORLD = LinearWorld(
        np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.25]]]), true_weights=np.array([0.0, 2.0])
    )

    def test_three_rounds_of_the_best_feedback(self) -> None:
        """w = 0 shows the first (reward 0); its edit (reward 2) gives w = (−1, 1): solved."""
        learner = Perceptron(2)
        history = play_coactive(self.WORLD, learner, BEST, rounds=3, seed=0)
        assert history.regret.tolist() == [2.0, 0.0, 0.0]
        assert history.gain.tolist() == [2.0, 0.0, 0.0]
        assert history.premise.tolist() == [True, True, True]
        assert learner.weights.tolist() == [-1.0, 1.0]

    def test_minimal_feedback_goes_by_the_nearest(self) -> None:
        """The edit (0, 0.25) of reward 0.5 gives w = (−1, 0.25), which ranks all rightly."""
        learner = Perceptron(2)
        history = play_coactive(self.WORLD, learner, MINIMAL, rounds=2, seed=0)
        assert history.regret.tolist() == [2.0, 0.0]
        assert history.gain.tolist() == [0.5, 0.0]
        assert learner.weights.tolist() == [-1.0, 0.25]
        assert history.estimated_alpha() == (0.25, 0.5)

    def test_slack_identity_and_bound(self) -> None:
        history = History(
            regret=np.array([2.0, 1.0]), gain=np.array([0.5, 1.0]), premise=np.array([True, True])
        )
        assert history.slack(0.5).tolist() == [0.5, 0.0]
        assert history.mean_regret.tolist() == [2.0, 1.5]
        assert history.identity(0.5).tolist() == [2.0, 2.0]
        # R = 1, ‖w*‖ = 2: 2 · 2 / (0.5 √t) + Σ ξ / (0.5 t)
        expected = [8 + 1.0, 8 / np.sqrt(2) + 0.5]
        np.testing.assert_allclose(history.bound(self.WORLD, 0.5), expected)

    def test_a_logistic_step(self) -> None:
        """At w = 0 the wrong side has probability 1/2; then σ(−w·Δ)."""
        learner = LogisticLearner(2, learning_rate=2.0)
        learner.learn(np.array([1.0, -1.0]))
        assert learner.weights.tolist() == [1.0, -1.0]
        learner.learn(np.array([1.0, -1.0]))
        np.testing.assert_allclose(learner.weights, np.array([1.0, -1.0]) * (1 + 2 / (1 + np.e**2)))

    def test_nothing_improvable_gives_no_alpha(self) -> None:
        done = History(np.zeros(2), np.zeros(2), np.array([True, True]))
        alpha, left_out = done.estimated_alpha()
        assert np.isnan(alpha)
        assert left_out == 1.0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(2, 12),
    st.integers(1, 6),
    st.sampled_from(["minimal", "alpha", "best"]),
    st.sampled_from(["drop", "best_anyway"]),
    st.sampled_from([0.0, 0.2]),
    st.floats(0.1, 1.0),
)
def test_the_bound_holds_for_the_perceptron_with_exact_argmax(
    seed: int,
    candidates: int,
    dimensions: int,
    strength: str,
    nothing: str,
    epsilon: float,
    alpha: float,
) -> None:
    axes = FeedbackAxes(strength=strength, nothing_better=nothing, mislabel_probability=epsilon)
    own = world(candidates, dimensions=dimensions, seed=seed)
    history = play_coactive(
        own, Perceptron(dimensions), axes, rounds=60, seed=seed, num_expert_samples=5
    )
    assert history.premise.all()
    assert (history.mean_regret <= history.bound(own, alpha) + 1e-9).all()
    assert (history.mean_regret <= history.identity(alpha) + 1e-9).all()


def test_the_bound_needs_the_exact_argmax() -> None:
    """Of two random candidates the learner's favourite need not beat the edit: step (5) fails."""
    history = play_coactive(world(), Perceptron(5), BEST, rounds=300, seed=0, num_candidates=2)
    assert 0 < history.premise.mean() < 1


def test_learning_lowers_the_regret() -> None:
    for learner in (Perceptron(5), LogisticLearner(5)):
        regret = play_coactive(world(), learner, BEST, rounds=400, seed=0).regret
        assert regret[-100:].mean() < 0.2 * regret[:10].mean()
    dueling = play_dueling(world(), LogisticLearner(5), rounds=4000, seed=0).regret
    assert dueling[-400:].mean() < 0.7 * dueling[:100].mean()


def test_minimal_feedback_over_very_many_candidates_teaches_slowly() -> None:
    """The least improvement among thousands is hardly one: α goes to 0.

    Not so where the user draws only a few of them.
    """
    few, many = (
        play_coactive(world(m), Perceptron(5), MINIMAL, rounds=300, seed=0) for m in (10, 2000)
    )
    assert many.estimated_alpha()[0] < 0.05 < few.estimated_alpha()[0]
    sampled = play_coactive(
        world(2000), Perceptron(5), MINIMAL, rounds=300, seed=0, num_expert_samples=5
    )
    assert sampled.estimated_alpha()[0] > 10 * many.estimated_alpha()[0]


def mean_regret(candidates: int, axes: FeedbackAxes | None) -> float:
    """Of 600 rounds and four seeds: coactive with those axes, or dueling with None."""
    found = []
    for seed in range(4):
        own = world(candidates, dimensions=10, seed=seed)
        history = (
            play_dueling(own, LogisticLearner(10), rounds=600, seed=seed)
            if axes is None
            else play_coactive(own, Perceptron(10), axes, rounds=600, seed=seed)
        )
        found.append(history.mean_regret[-1])
    return float(np.mean(found))


def test_coactive_regret_does_not_grow_with_the_candidates_and_duelings_does() -> None:
    alpha = FeedbackAxes(strength="alpha", alpha=0.6)
    few, many = (mean_regret(count, alpha) for count in (16, 1024))
    assert many < 1.2 * few
    few, many = (mean_regret(count, None) for count in (16, 1024))
    assert many > 1.6 * few


def test_coactive_loses_to_dueling_where_its_edits_hardly_improve() -> None:
    assert mean_regret(16, MINIMAL) < mean_regret(16, None)
    assert mean_regret(1024, MINIMAL) > 1.5 * mean_regret(1024, None)


def test_arms_of_a_seed_see_the_same_prompts() -> None:
    """The first round is played by the same weights on the same prompt."""
    own = world()
    first = [
        play_coactive(own, Perceptron(5), axes, rounds=1, seed=3).regret[0]
        for axes in (BEST, MINIMAL)
    ]
    assert first[0] == pytest.approx(first[1])


def test_dueling_charges_both_and_learns_from_the_winner() -> None:
    learner = Perceptron(2)
    own = LinearWorld(np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([0.0, 1.0]))
    history = play_dueling(own, learner, rounds=30, seed=0, temperature=1e6)
    assert set(history.regret) <= {0.0, 0.5, 1.0}
    assert set(history.gain) == {0.0, 1.0}
    wins = int(history.gain.sum())
    assert learner.weights.tolist() == [-wins, wins]
    assert (history.regret[history.gain > 0] == 0.5).all()


class FixedWeights:
    """A learner that never moves, so that what is shown depends on the random streams alone."""

    def __init__(self, *weights: float) -> None:
        self.weights = np.array(weights)

    def learn(self, difference: np.ndarray) -> None:
        """Nothing is learned."""


def prompts_of_different_gaps(count: int = 500) -> LinearWorld:
    """Candidate 1 of each prompt falls short of the best by a distance of its own."""
    gaps = np.arange(1, count + 1)
    features = np.zeros((count, 3, 2))
    features[:, 0, 1] = gaps
    features[:, 1, 0] = 1.0
    return LinearWorld(features, true_weights=np.array([0.0, 1.0]))


def test_the_prompts_of_a_seed_are_the_same_in_coactive_and_dueling() -> None:
    """A learner that always shows candidate 1: the regrets say which prompts were met."""
    own, shows_1 = prompts_of_different_gaps(), FixedWeights(1000.0, 0.0)
    met = {
        seed: play_coactive(own, shows_1, BEST, rounds=200, seed=seed).regret.tolist()
        for seed in (3, 4, 200)
    }
    for seed, regret in met.items():
        assert play_dueling(own, shows_1, rounds=200, seed=seed).regret.tolist() == regret
        assert len(set(regret)) > 100
    assert met[3] != met[4]
    assert met[3] != met[200]


ONE_PROMPT = LinearWorld(np.eye(3)[None], true_weights=np.array([0.0, 1.0, 2.0]))
"""Three candidates of rewards 0, 1 and 2."""
NO_OPINION = FixedWeights(0.0, 0.0, 0.0)


def test_each_random_choice_follows_its_seed() -> None:
    """On one prompt only the choice at hand is random: candidates, mislabels, or duels."""
    often_wrong = FeedbackAxes(strength="best", mislabel_probability=0.5)
    for play in (
        lambda seed: (
            play_coactive(
                ONE_PROMPT, NO_OPINION, BEST, rounds=60, seed=seed, num_candidates=1
            ).regret
        ),
        lambda seed: (
            play_coactive(
                ONE_PROMPT, FixedWeights(0.0, 1.0, 0.0), often_wrong, rounds=60, seed=seed
            ).gain
        ),
        lambda seed: play_dueling(ONE_PROMPT, NO_OPINION, rounds=60, seed=seed).regret,
    ):
        assert play(5).tolist() == play(5).tolist()
        assert play(5).tolist() != play(6).tolist()
        assert play(60).tolist() != play(6).tolist()


def test_candidates_are_drawn_without_replacement() -> None:
    """Of two different ones out of three the lowest score is never the best, nor the edit."""
    shown = play_coactive(
        ONE_PROMPT, FixedWeights(0.0, 1.0, 2.0), BEST, rounds=300, seed=0, num_candidates=2
    )
    assert set(shown.regret) == {0.0, 1.0}
    offered = play_coactive(
        ONE_PROMPT, FixedWeights(1.0, 0.0, 0.0), BEST, rounds=300, seed=0, num_expert_samples=2
    )
    assert set(offered.gain) == {1.0, 2.0}


@pytest.mark.parametrize(("weights", "holds"), [((2.0, 1.0, 0.0), True), ((0.0, 1.0, 2.0), False)])
def test_the_premise_of_a_duel_is_that_the_loser_scored_as_high(
    weights: tuple[float, ...], holds: bool
) -> None:
    """The loser is the draft: a learner that ranks all wrongly scores it higher, or as high."""
    history = play_dueling(ONE_PROMPT, FixedWeights(*weights), rounds=200, seed=0, temperature=1e6)
    met = history.gain > 0
    assert met.any()
    assert set(history.premise[met]) == {holds}


def test_the_committed_results_are_what_is_played_now() -> None:
    """Every arm of the experiment on 16 candidates, two seeds: each stream is as it was."""
    experiment = runpy.run_path(str(EXPERIMENT))
    path = experiment["RESULTS"] / "rounds.jsonl"
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["candidates"] == 16 and line["seed"] < 2:
            own = LinearWorld.generate(
                num_prompts=experiment["PROMPTS"],
                num_candidates=16,
                dimensions=experiment["DIMENSIONS"],
                seed=line["seed"],
            )
            history = experiment["play"](line["arm"], own, line["seed"])
            marks = np.array(line["rounds"]) - 1
            assert history.mean_regret[marks] == pytest.approx(line["regret_at"]), line["arm"]
            assert history.premise.mean() == pytest.approx(line["premise_held"])
            assert history.estimated_alpha() == pytest.approx(
                (line["estimated_alpha"], line["left_out"])
            )

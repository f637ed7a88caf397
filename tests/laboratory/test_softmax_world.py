"""The softmax world: closed forms against enumeration, hand-worked values, the library's loss."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corll.errors import ConfigError, InputError
from corll.laboratory.arms import get_arm
from corll.laboratory.softmax_world.feedback import (
    agreement,
    compared,
    draw_texts,
    edited,
    labelled,
    summed,
)
from corll.laboratory.softmax_world.learning import Adam, imitation_gradient, pair_gradient
from corll.laboratory.softmax_world.measures import mean_height, measured
from corll.laboratory.softmax_world.playing import History, play
from corll.laboratory.softmax_world.settings import PlaySettings, WorldSettings
from corll.laboratory.softmax_world.world import SoftmaxWorld, log_softmax, truncated
from corll.laboratory.statistics import at_first_crossing
from corll.losses import dpo_loss
from corll.simulation.axes import FeedbackAxes

SMALL = WorldSettings(
    prompts=3, positions=2, tokens=4, dimensions=5, expert_kl=0.7, top_k=3, fluency=0.3
)
SHORT = PlaySettings(preferences=32, preferences_per_step=8)


def world(seeds: int = 2, **changes: object) -> SoftmaxWorld:
    return SoftmaxWorld.generate(WorldSettings(**{**SMALL.model_dump(), **changes}), range(seeds))


def two_texts(top_k: int = 0) -> SoftmaxWorld:
    """One prompt with the texts 0 and 1 of π_0 = (3/4, 1/4) and π* = (1/4, 3/4), at β = 0.5."""
    features = np.array([[0.0], [1.0]]).reshape(1, 1, 1, 2, 1)
    reference = np.log([0.75, 0.25]).reshape(1, 1, 1, 2)
    return SoftmaxWorld(features, reference, np.array([[math.log(9)]]), beta=0.5, top_k=top_k)


class TestTwoTextsByHand:
    def test_the_expert_and_its_reward(self) -> None:
        """θ* = log 9 turns odds of 1/3 into 3; R* is ½ log 1/3 and ½ log 3."""
        own = two_texts()
        assert np.exp(own.expert).ravel() == pytest.approx([0.25, 0.75])
        assert own.rewards.ravel() == pytest.approx([-math.log(3) / 2, math.log(3) / 2])

    def test_where_the_reference_stands(self) -> None:
        """KL(π_0‖π*) = ¾ log 3 − ¼ log 3 = ½ log 3, E[R*] = −¼ log 3, KL(π_0‖π_0) = 0."""
        own = two_texts()
        standing = own.standing(np.exp(own.reference[:, None]))
        assert standing.expert_kl.item() == pytest.approx(math.log(3) / 2)
        assert standing.reward.item() == pytest.approx(-math.log(3) / 4)
        assert standing.kl.item() == pytest.approx(0)

    def test_the_sampler_of_one_token_is_certain(self) -> None:
        """π̃* takes text 1 alone: KL(π̃*‖π*) = log 4/3; π̃_0 takes text 0: KL(π̃_0‖π*) = log 4."""
        own = two_texts(top_k=1)
        assert own.least_expert_kl.item() == pytest.approx(math.log(4 / 3))
        first = own.sampler(own.reference[:, None])
        assert first.ravel().tolist() == [1.0, 0.0]
        assert own.standing(first).expert_kl.item() == pytest.approx(math.log(4))
        assert own.spread(first).item() == 0

    def test_how_much_one_sample_tells(self) -> None:
        """log π_0/π* is log 3 with probability ¾, else −log 3: its deviation is √3/2 · log 3."""
        own = two_texts()
        spread = own.spread(np.exp(own.reference[:, None])).item()
        assert spread == pytest.approx(math.sqrt(3) / 2 * math.log(3))


def every_text(own: SoftmaxWorld) -> list[tuple[int, ...]]:
    return list(itertools.product(range(own.features.shape[3]), repeat=own.features.shape[2]))


def of_text(values: np.ndarray, text: tuple[int, ...]) -> float:
    """Sum a value of tokens over a text. *Shapes*: T × V."""
    return float(sum(values[t, token] for t, token in enumerate(text)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 1.2), st.floats(0.01, 1), st.integers(0, 4))
def test_the_objective_is_the_divergence_from_the_expert(
    seed: int, expert_kl: float, beta: float, top_k: int
) -> None:
    """J = E[R*] − β KL(π̃‖π_0) = −β KL(π̃‖π*) ≤ 0, and no sampler is nearer than the expert's."""
    own = world(expert_kl=expert_kl, beta=beta, top_k=top_k)
    weights = np.random.default_rng(seed).standard_normal((2, 3, 5)) * 3
    standing = own.standing(own.sampler(own.logprobs(own.scores(weights))))
    objective = standing.reward - beta * standing.kl
    np.testing.assert_allclose(objective, -beta * standing.expert_kl, atol=1e-10)
    assert (standing.expert_kl >= own.least_expert_kl[:, None] - 1e-10).all()
    at_expert = own.standing(own.expert_sampler)
    np.testing.assert_allclose(at_expert.expert_kl[:, 0], own.least_expert_kl, atol=1e-12)
    if top_k == 0:
        np.testing.assert_allclose(own.least_expert_kl, 0, atol=1e-10)


def test_a_standing_is_what_enumeration_of_all_texts_gives() -> None:
    own = world()
    weights = np.random.default_rng(0).standard_normal((2, 3, 5))
    sampler = own.sampler(own.logprobs(own.scores(weights)))
    standing, spread = own.standing(sampler), own.spread(sampler)
    for s, e in itertools.product(range(2), range(3)):
        rows = []
        for x, text in itertools.product(range(3), every_text(own)):
            share = math.prod(sampler[s, e, x, t, token] for t, token in enumerate(text))
            if share:
                to_expert = math.log(share) - of_text(own.expert[s, x], text)
                to_reference = math.log(share) - of_text(own.reference[s, x], text)
                rows.append((share / 3, of_text(own.rewards[s, x], text), to_reference, to_expert))
        shares, rewards, kl, expert_kl = np.array(rows).T
        assert shares.sum() == pytest.approx(1)
        assert standing.reward[s, e] == pytest.approx(shares @ rewards)
        assert standing.kl[s, e] == pytest.approx(shares @ kl)
        assert standing.expert_kl[s, e] == pytest.approx(shares @ expert_kl)
        assert spread[s, e] ** 2 == pytest.approx(shares @ (expert_kl - shares @ expert_kl) ** 2)


def test_the_expert_is_as_far_from_the_reference_as_chosen() -> None:
    for distance in (0.1, 1.1):
        own = world(expert_kl=distance, top_k=0)
        standing = own.standing(np.exp(own.expert[:, None]))
        np.testing.assert_allclose(standing.kl, distance, rtol=1e-9)
        np.testing.assert_allclose(standing.reward, own.beta * distance, rtol=1e-9)


def test_no_expert_is_farther_than_a_world_has_room_for() -> None:
    with pytest.raises(InputError, match="lower expert_kl"):
        world(expert_kl=50.0)


def test_fluency_is_how_much_of_log_pi_0_the_expert_wants() -> None:
    """With all of it the expert is π_0 at a lower temperature, position by position."""
    own = world(fluency=1.0, positions=1, expert_kl=0.3)
    scores = own.scores(own.true_weights[:, None])[:, 0]
    for s, x in itertools.product(range(2), range(3)):
        correlation = np.corrcoef(scores[s, x, 0], own.reference[s, x, 0])[0, 1]
        assert correlation == pytest.approx(1)
    none = world(fluency=0.0)
    assert (none.true_weights[:, 0] == 0).all()


def test_rare_good_texts_cost_the_reference_less_than_the_expert() -> None:
    """What the expert wants is gamma-distributed: most tokens lie near its least, a few far up."""
    settings = {"tokens": 64, "prompts": 8, "expert_kl": 1.5, "top_k": 0}
    apart = {}
    for rarity in (None, 1.0):
        own = world(rarity=rarity, **settings)
        apart[rarity] = own.standing(np.exp(own.reference[:, None])).expert_kl.mean()
        expert = own.standing(np.exp(own.expert[:, None]))
        np.testing.assert_allclose(expert.kl, 1.5, rtol=1e-9)
    scores = own.scores(own.true_weights[:, None])[:, 0].reshape(2, -1)
    scores = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
    # A gamma variable of shape 1/2 has skewness √8.
    assert (scores**3).mean() == pytest.approx(math.sqrt(8), abs=0.6)
    assert apart[1.0] < 0.85 * apart[None]


def test_a_temperature_of_one_is_the_reference_and_a_low_one_is_certain() -> None:
    own = world()
    warm, cold = np.exp(own.at_temperatures(np.array([1.0, 0.01])).swapaxes(0, 1))
    np.testing.assert_allclose(warm, np.exp(own.reference))
    assert cold.max(-1).min() > 0.9


def test_the_sampler_takes_the_likeliest_tokens_alone() -> None:
    logprobs = np.log([0.1, 0.4, 0.2, 0.3])
    assert truncated(logprobs, 2).tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7])
    for every in (0, 4):
        assert truncated(logprobs, every) == pytest.approx([0.1, 0.4, 0.2, 0.3])
    assert (truncated(np.zeros(4), 3) > 0).sum() == 3


class TestDraws:
    def test_they_follow_the_probabilities(self) -> None:
        own = world(1, prompts=1)
        probabilities = own.sampler(own.expert[:, None])
        draws = np.random.default_rng(0).random((1, 1, 20_000, 2))
        texts = draw_texts(probabilities, np.zeros((1, 20_000), int), draws)[0, 0, :, 0]
        for t in range(2):
            shares = np.bincount(texts[:, t] - 4 * t, minlength=4) / 20_000
            np.testing.assert_allclose(shares, probabilities[0, 0, 0, t], atol=0.015)

    @pytest.mark.parametrize("uniform", [0.0, 1e-18, 0.5, 1 - 1e-16])
    def test_a_draw_at_the_edge_is_a_token_that_can_be_drawn(self, uniform: float) -> None:
        own = world(2)
        probabilities = own.sampler(own.logprobs(own.scores(np.ones((2, 2, 5)))))
        prompts = np.array([[0, 1, 2]] * 2)
        texts = draw_texts(probabilities, prompts, np.full((2, 1, 3, 2), uniform))
        place = np.arange(3 * 2).reshape(1, 1, 3, 1, 2)
        assert (texts // 4 == place).all()
        flat = probabilities.reshape(2, 2, -1)
        assert (np.take_along_axis(flat, texts.reshape(2, 2, -1), -1) > 0).all()

    def test_the_first_of_several_samples_is_that_of_one(self) -> None:
        own = world(1)
        draws = np.random.default_rng(0).random((1, 3, 5, 2))
        prompts = np.array([[0, 1, 2, 0, 1]])
        probabilities = own.sampler(own.expert[:, None])
        many = draw_texts(probabilities, prompts, draws)
        assert (many[..., :1, :] == draw_texts(probabilities, prompts, draws[:, :1])).all()


REWARDS = np.array([0.0, 0.2, 0.5, 1.0, 2.0, -1.0]).reshape(1, 1, 1, 1, 6)
"""One prompt whose texts are single tokens, by their rewards."""


def texts(*tokens: int) -> np.ndarray:
    return np.array(tokens).reshape(1, 1, 1, -1, 1)


def edit_of(draft: int, *others: int, **axes: object) -> tuple[int, bool]:
    """The edit of a draft where the expert drew `others`, and whether it makes a pair."""
    found = edited(
        texts(draft)[..., 0, :],
        texts(*others),
        REWARDS,
        FeedbackAxes(**axes),
        np.full((1, 1), 0.5),
    )
    return int(found.chosen.item()), bool(found.usable.item())


class TestEdits:
    """Of the draft 0 (reward 0) the expert's texts 1, 2, 3, 4 are better, and 5 is worse."""

    @pytest.mark.parametrize(
        ("axes", "expected"),
        [
            ({"strength": "alpha", "alpha": 0.6}, 4),  # 0.6 · 2.0 = 1.2
            ({"strength": "alpha", "alpha": 0.4}, 3),
            ({"strength": "minimal", "nothing_better": "drop"}, 1),
            ({"strength": "minimal", "nothing_better": "best_anyway"}, 1),
            ({"strength": "best"}, 4),
        ],
    )
    def test_strength_says_which_better_text(self, axes: dict[str, object], expected: int) -> None:
        assert edit_of(0, 5, 3, 1, 4, 2, **axes) == (expected, True)

    def test_where_nothing_is_better_it_is_dropped_or_the_best_anyway(self) -> None:
        assert edit_of(4, 3, 1, strength="minimal", nothing_better="best_anyway") == (3, True)
        assert not edit_of(4, 3, 1, strength="minimal", nothing_better="drop")[1]

    def test_an_edit_equal_to_its_draft_is_no_pair(self) -> None:
        assert edit_of(4, 4, 4, strength="best") == (4, False)

    def test_mislabels_come_as_often_as_asked(self) -> None:
        """Of the draft 2 the best worse one is 1, the best better one 4."""
        rewards = np.broadcast_to(REWARDS, (1, 1, 1, 1, 6))
        N = 20_000
        pairs = edited(
            np.full((1, 1, N, 1), 2),
            np.broadcast_to(texts(5, 1, 4), (1, 1, N, 3, 1)),
            rewards,
            FeedbackAxes(strength="best", mislabel_probability=0.3),
            np.random.default_rng(0).random((1, N)),
        )
        assert set(pairs.chosen.ravel()) == {1, 4}
        assert (pairs.gain < 0).mean() == pytest.approx(0.3, abs=0.01)


class TestLabels:
    def test_of_two_the_better_is_chosen_and_ties_are_dropped(self) -> None:
        pairs = compared(np.array([[1, 3], [3, 1], [2, 2]]).reshape(1, 1, 3, 2, 1), REWARDS)
        assert pairs.chosen[..., 0].tolist()[0][0][:2] == [3, 3]
        assert pairs.gain[0, 0] == pytest.approx([0.8, 0.8, 0.0])
        assert pairs.usable[0, 0].tolist() == [True, True, False]

    @pytest.mark.parametrize("scale", [1.0, 3.0])
    def test_users_of_eq_7_agree_with_their_probability(self, scale: float) -> None:
        """P(text 3 ≻ text 1) = σ(scale · 0.8)."""
        N = 20_000
        pairs = compared(np.broadcast_to(texts(1, 3), (1, 1, N, 2, 1)), REWARDS)
        said = labelled(pairs, scale, np.random.default_rng(1).random((1, N)))
        expected = 1 / (1 + math.exp(-0.8 * scale))
        assert said.agrees.mean() == pytest.approx(expected, abs=0.012)
        agreed = said.agrees[0, 0]
        assert (said.chosen[0, 0, agreed] == 3).all()
        assert (said.rejected[0, 0, agreed] == 1).all()
        assert (said.chosen[0, 0, ~agreed] == 1).all()
        assert said.gain[0, 0, ~agreed] == pytest.approx(-0.8)

    def test_an_edit_that_is_worse_is_agreed_with_rarely(self) -> None:
        """σ(−1) of the users say that the edit 3 is better than the draft 4: the pair turns."""
        N = 20_000
        pairs = edited(
            np.full((1, 1, N, 1), 4),
            np.broadcast_to(texts(3), (1, 1, N, 1, 1)),
            REWARDS,
            FeedbackAxes(strength="best"),
            np.zeros((1, N)),
        )
        said = labelled(pairs, 1.0, np.random.default_rng(2).random((1, N)))
        assert said.agrees.mean() == pytest.approx(1 / (1 + math.e), abs=0.012)
        assert (said.chosen[0, 0, ~said.agrees[0, 0]] == 4).all()

    def test_agreement_of_any_gain(self) -> None:
        assert agreement(np.array([0.0, math.log(3), -1e4, 1e4])) == pytest.approx(
            [0.5, 0.75, 0, 1]
        )


def some_pairs(own: SoftmaxWorld) -> tuple[np.ndarray, ...]:
    """Prompts, chosen, rejected and weights of four pairs a seed, at three rates."""
    generator = np.random.default_rng(5)
    S, X, T, V, _ = own.features.shape
    prompts = generator.integers(X, size=(S, 4))
    sides = generator.integers(V, size=(2, S, 3, 4, T))
    start = np.arange(X * T).reshape(X, T)[prompts] * V
    shares = generator.random((S, 3, 4))
    return prompts, start[:, None] + sides[0], start[:, None] + sides[1], shares


class TestGradients:
    def library_gradient(self, own: SoftmaxWorld, theta: np.ndarray, s: int, e: int) -> np.ndarray:
        """Return the gradient of `corll.losses.dpo_loss` by autograd, of whole log-softmaxes."""
        _, chosen, rejected, shares = some_pairs(own)
        weights = torch.tensor(theta, requires_grad=True)
        reference = torch.tensor(own.reference[s])
        logprobs = (reference + torch.tensor(own.features[s]) @ weights).log_softmax(-1).flatten()
        total = torch.zeros((), dtype=torch.float64)
        for n in range(4):
            sides = [
                table.flatten()[side[s, e, n]].sum()[None]
                for table in (logprobs, reference)
                for side in (chosen, rejected)
            ]
            loss, _ = dpo_loss(*sides, beta=own.beta)
            total = total + shares[s, e, n] * loss
        total.backward()
        assert weights.grad is not None
        return weights.grad.numpy()

    def test_that_of_dpo_is_the_library_s(self) -> None:
        own = world()
        theta = np.random.default_rng(3).standard_normal((2, 3, 5))
        _, chosen, rejected, shares = some_pairs(own)
        found = pair_gradient(own, own.scores(theta), chosen, rejected, shares)
        for s, e in itertools.product(range(2), range(3)):
            expected = self.library_gradient(own, theta[s, e], s, e)
            np.testing.assert_allclose(found[s, e], expected, atol=1e-12)

    def test_that_of_imitation_is_a_finite_difference(self) -> None:
        own = world()
        theta = np.random.default_rng(3).standard_normal((2, 3, 5))
        prompts, chosen, _, shares = some_pairs(own)

        def loss(weights: np.ndarray) -> np.ndarray:
            logprobs = own.logprobs(own.scores(weights))
            return -(shares * summed(logprobs, chosen)).sum(-1) / own.features.shape[2]

        found = imitation_gradient(own, own.scores(theta), prompts, chosen, shares)
        for d in range(5):
            step = 1e-5 * np.eye(5)[d]
            slope = (loss(theta + step) - loss(theta - step)) / 2e-5
            np.testing.assert_allclose(found[..., d], slope, atol=1e-8)

    def test_adam_is_torch_s(self) -> None:
        rates, generator = np.array([0.1, 0.01]), np.random.default_rng(0)
        gradients = generator.standard_normal((4, 1, 2, 3))
        own, weights = Adam(rates), np.zeros((1, 2, 3))
        for gradient in gradients:
            weights = own.step(weights, gradient)
        for e, rate in enumerate(rates):
            theirs = torch.zeros(3, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.Adam([theirs], lr=float(rate))
            for gradient in gradients:
                theirs.grad = torch.tensor(gradient[0, e])
                optimizer.step()
            np.testing.assert_allclose(weights[0, e], theirs.detach().numpy(), rtol=1e-10)


def played(name: str, *, rates: tuple[float, ...] = (0.05, 0.2), **changes: object) -> History:
    own = world(top_k=3, tokens=8, expert_kl=1.0, prompts=6)
    config = PlaySettings(**{**SHORT.model_dump(), **changes})
    return play(own, get_arm(name), np.array(rates), config, seeds=range(2))


ARMS = ("coactive-alpha-0.6", "coactive-minimal-drop", "coactive-best", "dueling", "sft-edit")


class TestPlay:
    @pytest.mark.parametrize("name", ARMS)
    def test_each_arm_comes_nearer_to_the_expert(self, name: str) -> None:
        history = played(name, preferences=256)
        assert history.preferences.tolist() == list(range(0, 257, 8))
        assert (history.excess >= -1e-10).all()
        # A small rate is slow, and seeds differ; the larger one gets there in all arms.
        assert (history.excess[-1, :, 1] < 0.6 * history.excess[0, :, 1]).all()

    @pytest.mark.parametrize("name", ARMS)
    def test_its_objective_is_exact_at_each_point(self, name: str) -> None:
        history = played(name)
        for standing in (history.sampler, history.whole):
            np.testing.assert_allclose(
                history.objective(standing), -history.beta * standing.expert_kl, atol=1e-10
            )

    def test_it_starts_at_the_reference(self) -> None:
        history = played("dueling")
        own = world(top_k=3, tokens=8, expert_kl=1.0, prompts=6)
        start = own.standing(own.sampler(own.reference[:, None]))
        np.testing.assert_allclose(history.sampler.reward[0], np.repeat(start.reward, 2, axis=1))
        np.testing.assert_allclose(history.whole.kl[0], 0, atol=1e-12)

    def test_a_rate_and_a_seed_are_played_as_if_alone(self) -> None:
        both, own = played("coactive-alpha-0.6"), world(top_k=3, tokens=8, expert_kl=1.0, prompts=6)
        alone = SoftmaxWorld(
            own.features[1:], own.reference[1:], own.true_weights[1:], own.beta, own.top_k
        )
        arm = get_arm("coactive-alpha-0.6")
        one = play(alone, arm, np.array([0.2]), SHORT, seeds=[1])
        np.testing.assert_allclose(one.excess[:, 0, 0], both.excess[:, 1, 1], atol=1e-9)

    def test_all_arms_of_a_seed_meet_the_same_first_drafts(self) -> None:
        first = [played(name).pairs.gain[0] for name in ("coactive-alpha-0.6", "sft-edit")]
        np.testing.assert_array_equal(*first)

    def test_without_noise_all_users_agree_and_with_it_as_many_as_eq_7_says(self) -> None:
        assert (played("dueling").pairs.agrees == 1).all()
        noisy = played("dueling", preferences=2048, preferences_per_step=256, bradley_terry=1.0)
        exact = played("dueling", preferences=2048, preferences_per_step=256)
        assert noisy.pairs.agrees[0].mean() == pytest.approx(
            agreement(exact.pairs.gain[0].mean(keepdims=True)).item(), abs=0.03
        )
        np.testing.assert_allclose(noisy.pairs.mislabelled, 1 - noisy.pairs.agrees)

    def test_minimal_drop_never_points_the_wrong_way_and_anyway_does(self) -> None:
        config = {"preferences": 256, "rates": (0.5,)}
        assert (played("coactive-minimal-drop", **config).pairs.mislabelled == 0).all()
        assert played("coactive-minimal-anyway", **config).pairs.mislabelled[-1].mean() > 0

    def test_dropped_prompts_are_replaced_as_far_as_there_are_spare_ones(self) -> None:
        plenty = played("coactive-minimal-drop", spare_prompts=4.0)
        assert (plenty.pairs.learned == 8).all()
        assert (plenty.pairs.prompts >= 8).all()
        assert plenty.pairs.prompts.max() > 8
        none = played("coactive-minimal-drop", spare_prompts=0.0, rates=(0.5,))
        assert none.pairs.learned.min() < 8
        assert none.pairs.prompts.max() <= 8

    def test_more_candidates_make_better_drafts(self) -> None:
        """The best of 9 by R_π leaves less to gain, once R_π is learned."""
        one, nine = (
            played(f"coactive-k-{k}", preferences=256, rates=(0.2,)).pairs.gain[-8:].mean()
            for k in (1, 9)
        )
        assert nine < one

    @pytest.mark.parametrize("name", ["mixed", "coactive-edit", "memory-last", "offline"])
    def test_an_arm_that_needs_more_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match="softmax world"):
            played(name)

    def test_as_many_seeds_as_worlds(self) -> None:
        with pytest.raises(InputError, match="2 worlds"):
            play(world(), get_arm("dueling"), np.array([0.1]), SHORT, seeds=[0])

    def test_one_world_with_several_seeds(self) -> None:
        own = world(1).repeated(3)
        history = play(own, get_arm("dueling"), np.array([0.1]), SHORT, seeds=range(3))
        assert np.ptp(history.excess[0]) == 0
        assert np.ptp(history.excess[-1]) > 0


class TestMeasures:
    def test_a_mean_height_by_hand(self) -> None:
        """A rise from 0 to 1 over two preferences, then 1 for two more: 3/4."""
        heights = np.array([[0.0], [1.0], [1.0]])
        assert mean_height(np.array([0.0, 2.0, 4.0]), heights) == pytest.approx(0.75)

    def test_a_crossing_is_between_points(self) -> None:
        """One crosses half-way, one at a point, one begins above, one never does."""
        level = np.array([[-1.0, -1.0, 0.5, -3.0], [1.0, 0.0, 1.0, -2.0], [0.0, -1.0, 2.0, -1.0]])
        values = np.array([0.0, 10.0, 20.0])[:, None] + np.zeros(4)
        found = at_first_crossing(level, values)
        assert found[:3] == pytest.approx([5.0, 10.0, 0.0])
        assert math.isnan(found[3])

    def test_those_of_a_play(self) -> None:
        history = played("coactive-best", preferences=256)
        found = measured(history, at_kl=1.2)
        assert all(part.shape == (2, 2) for part in found)
        np.testing.assert_allclose(found.last, -history.beta * history.sampler.expert_kl[-1])
        np.testing.assert_allclose(found.whole_last, -history.beta * history.whole.expert_kl[-1])
        assert ((found.area > history.objective(history.sampler)[0]) & (found.area < 0)).all()
        reached = found.quarter[:, 1]
        assert ((reached > 0) & (reached < 256)).all()
        for seed in range(2):
            excess = np.interp(reached[seed], history.preferences, history.excess[:, seed, 1])
            assert excess == pytest.approx(history.excess[0, seed, 1] / 4)
            kl, reward = history.sampler.kl[:, seed, 1], history.sampler.reward[:, seed, 1]
            assert reward.min() < found.reward_at[seed, 1] < reward.max()
            assert kl[0] < 1.2 < kl.max()


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (WorldSettings, {"top_k": 33}),
        (WorldSettings, {"fluency": 1.1}),
        (PlaySettings, {"preferences": 100}),
        (PlaySettings, {"bradley_terry": 0.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: type, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        kind(**wrong)


def test_log_softmax_of_large_scores() -> None:
    assert log_softmax(np.array([1e4, 1e4])) == pytest.approx([-math.log(2)] * 2)

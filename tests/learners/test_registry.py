"""Learners by name: which there are, what each minimises, and one of somebody's own."""

from __future__ import annotations

from typing import Any

import pytest

from batches import PLAIN_DPO, accumulated, gradients, mixed_preferences, relative_error
from corll.config import LEARNERS, CoactiveConfig
from corll.errors import ConfigError
from corll.gradient import encode_pair
from corll.learners import KINDS, PairLearner, learner_of, register
from corll.losses import Objective, ShortfallLoss
from corll.losses.registry import preference_loss_of
from corll.policy import Policy
from corll.step import PreferenceOptimizer
from learners import PREFERENCES
from tiny_models import perturb_adapter

SAME_AS: dict[str, tuple[CoactiveConfig, CoactiveConfig]] = {
    "coactive": (CoactiveConfig(), CoactiveConfig()),
    "dpo": (
        CoactiveConfig(learner="dpo", sft_weight=3.0, beta=0.2),
        PLAIN_DPO.with_settings(beta=0.2),
    ),
    "sft": (
        CoactiveConfig(learner="sft", preference_weight=2.0),
        PLAIN_DPO.with_settings(preference_weight=0.0, sft_weight=1.0, sft_tokens="all"),
    ),
}


def test_each_name_has_its_learner_and_says_what_it_is() -> None:
    assert set(KINDS) == set(LEARNERS) == {"coactive", "dpo", "sft", "distil"}
    for name, kind in KINDS.items():
        learner = learner_of(CoactiveConfig(learner=name))
        assert type(learner) is kind
        assert learner.passes
        assert LEARNERS[name]


@pytest.mark.parametrize("name", SAME_AS)
def test_a_name_is_a_choice_of_losses_whatever_the_weights_say(
    any_policy: Policy, name: str
) -> None:
    named, weighed = SAME_AS[name]
    perturb_adapter(any_policy)
    expected, gradient = accumulated(any_policy, mixed_preferences(any_policy), weighed)
    learner = learner_of(named)
    items = learner.encode(any_policy, mixed_preferences(any_policy), seed=0)
    found = learner.accumulate(any_policy, items, 10**9)
    assert relative_error(gradients(any_policy), gradient) <= 1e-6
    assert float(found.metrics["loss/total"]) == pytest.approx(
        float(expected.metrics["loss/total"]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("name", "pair", "memory"),
    [("coactive", True, False), ("dpo", True, False), ("sft", False, False)],
)
def test_what_each_needs(name: str, pair: bool, memory: bool) -> None:
    learner = learner_of(CoactiveConfig(learner=name))
    assert (learner.needs_pair, learner.needs_memory) == (pair, memory)


@pytest.mark.parametrize("name", ["", "ppo", "DPO"])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="there are: coactive, dpo, sft, distil"):
        CoactiveConfig(learner=name)


def test_weights_of_zero_are_refused_of_the_learner_that_heeds_them_alone() -> None:
    nothing: dict[str, Any] = {"preference_weight": 0.0, "sft_weight": 0.0}
    assert CoactiveConfig(learner="dpo", **nothing).learner == "dpo"
    with pytest.raises(ConfigError, match="nothing is learned"):
        CoactiveConfig(**nothing)


@pytest.fixture
def _only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corll.learners.registry.KINDS", dict(KINDS))
    monkeypatch.setitem(LEARNERS, "held", "")
    monkeypatch.delitem(LEARNERS, "held")


@pytest.mark.usefixtures("_only_here")
def test_a_learner_of_ones_own_is_known_by_its_name(policy: Policy) -> None:
    @register("held", "the preference loss and the shortfall")
    class Held(PairLearner):
        @staticmethod
        def objective_of(config: CoactiveConfig) -> Objective:
            others = [("shortfall/kept", 5.0, ShortfallLoss())]
            return Objective(preference_loss_of(config), others=others)

    config = CoactiveConfig(learner="held")
    assert isinstance(learner_of(config), Held)
    assert "shortfall/kept" in PreferenceOptimizer(policy, config).step(PREFERENCES).metrics
    with pytest.raises(ConfigError, match="is a learner 'held' already"):
        register("held", "")(Held)
    with pytest.raises(ConfigError, match="coactive, dpo, sft, distil, held"):
        CoactiveConfig(learner="help")


def test_a_name_that_the_configuration_knows_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as one that a process registered which saved the configuration."""
    monkeypatch.setitem(LEARNERS, "elsewhere", "")
    with pytest.raises(ConfigError, match="No learner 'elsewhere'; there are: coactive, dpo"):
        learner_of(CoactiveConfig(learner="elsewhere"))


def test_a_pair_is_encoded_without_a_memory_by_default(policy: Policy) -> None:
    learner = learner_of(CoactiveConfig())
    (item,) = learner.encode(policy, PREFERENCES[:1], seed=0)
    assert item == encode_pair(policy, PREFERENCES[0])

"""How an expert is trained, and that it stops by what is measured of it."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch

from corll.config import SamplingConfig
from corll.errors import InputError, TrainingError
from corll.policy import Policy
from corll.records import Preference, Sample
from corll.simulation.expert_config import ExpertConfig
from corll.simulation.experts import (
    Expert,
    Measurement,
    _batches,
    measure,
    pairs_by_score,
    train_expert,
)
from tiny_models import perturb_adapter

PROMPTS = ["Write to Anna.", "The kettle.", "Is the hotel near?", "Tuesday?"]
HOW: dict[str, Any] = {"response_length": 8, "sampling": SamplingConfig()}
CONFIG = ExpertConfig(
    learning_rate=0.01,
    preferences_per_step=4,
    measure_every=1,
    measured_prompts=4,
    most_reward=100,
    least_base_reward=-100,
    most_wins=1,
)


def pairs(policy: Policy) -> list[Preference]:
    """The longer of two samples is the better one."""
    rows = policy.sample(PROMPTS * 4, 4, 8, list(range(16)))
    lengths = torch.tensor([[float(len(s.text)) for s in row] for row in rows])
    return pairs_by_score(PROMPTS * 4, rows, lengths)


def test_it_stops_once_it_is_far_enough(policy: Policy) -> None:
    seen: list[Measurement] = []
    expert, measured = train_expert(
        policy, pairs(policy), PROMPTS, CONFIG, report=seen.append, **HOW
    )
    assert seen == measured
    assert all(not found.far_enough(CONFIG) for found in measured[:-1])
    last = measured[-1]
    assert last.reward >= 0.15
    assert last.wins >= 0.7
    assert measure(expert, PROMPTS, CONFIG, **HOW) == pytest.approx(
        (last.reward, last.base_reward, last.wins)
    )
    assert [found.step for found in measured] == list(range(1, len(measured) + 1))


def test_the_order_of_preferences_follows_the_seed(policy: Policy) -> None:
    preferences = pairs(policy)
    orders = [
        [next(batches) for _ in range(4)]
        for batches in (_batches(preferences, CONFIG.with_settings(seed=n)) for n in (0, 0, 1))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    for order in orders:
        assert sorted(map(repr, chain.from_iterable(order))) == sorted(map(repr, preferences))


def test_the_samples_of_a_measurement_follow_the_seed(policy: Policy) -> None:
    perturb_adapter(policy)
    first, same, other = (
        measure(Expert(policy), PROMPTS, CONFIG.with_settings(seed=seed), **HOW)
        for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other


def test_it_says_where_it_went_too_far(policy: Policy) -> None:
    config = CONFIG.with_settings(most_reward=0.16, learning_rate=0.2, least_wins=1.0)
    with pytest.raises(TrainingError, match="Lower its learning_rate"):
        train_expert(policy, pairs(policy), PROMPTS, config, **HOW)


def test_it_says_where_it_got_nowhere(policy: Policy) -> None:
    config = CONFIG.with_settings(max_steps=2, learning_rate=1e-6)
    with pytest.raises(TrainingError, match="did not get far enough"):
        train_expert(policy, pairs(policy), PROMPTS, config, **HOW)


def test_too_little_to_learn_from_is_refused(policy: Policy) -> None:
    with pytest.raises(InputError, match="at least 4 preferences"):
        train_expert(policy, pairs(policy)[:3], PROMPTS, CONFIG, **HOW)


def test_the_bounds_are_those_of_the_configuration() -> None:
    config = ExpertConfig()
    good = Measurement(1, reward=0.3, base_reward=-0.3, wins=0.8, logps_chosen=0, logps_rejected=0)
    assert good.far_enough(config)
    assert not good.too_far(config)
    for change in ({"reward": 0.1}, {"wins": 0.6}):
        near = Measurement(**{**_fields(good), **change})
        assert not near.far_enough(config)
    for change in ({"reward": 0.6}, {"wins": 0.97}, {"base_reward": -1.1}):
        assert Measurement(**{**_fields(good), **change}).too_far(config)


def _fields(found: Measurement) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Measurement.__dataclass_fields__}


def test_an_expert_that_is_its_reference_wins_half_of_the_time(policy: Policy) -> None:
    assert measure(Expert(policy), PROMPTS, CONFIG, **HOW) == (0.0, 0.0, 0.5)


def test_own_samples_are_rated_above_those_of_the_base(policy: Policy) -> None:
    """E_{π*}[R*] = β KL ≥ 0, and E_{π_0}[R*] ≤ 0."""
    perturb_adapter(policy)
    prompts = [f"{prompt} {n}" for n in range(40) for prompt in PROMPTS]
    config = CONFIG.with_settings(measured_prompts=160)
    reward, base_reward, wins = measure(Expert(policy), prompts, config, **HOW)
    assert reward > 0 > base_reward
    assert wins > 0.5


def test_pairs_are_the_best_over_the_worst() -> None:
    samples = [Sample(text, (n,), None, True) for n, text in enumerate("abc")]
    scores = torch.tensor([[0.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    same = [samples[0]] * 3
    assert pairs_by_score(["x", "y"], [samples, same], scores) == [
        Preference("x", samples[1], samples[0])
    ]


def test_its_rate_rises_over_the_first_steps(policy: Policy) -> None:
    """Adam's first step is as large as the rate, whatever the gradient."""
    moved = []
    for warmup in (0, 4):
        own = policy.with_adapter()
        start = [one.detach().clone() for one in own.trainable_parameters().values()]
        config = CONFIG.with_settings(
            max_steps=1, warmup_steps=warmup, least_reward=-100, least_wins=0
        )
        train_expert(own, pairs(policy), PROMPTS, config, **HOW)
        now = own.trainable_parameters().values()
        moved.append(
            max(float((a.detach() - b).abs().max()) for a, b in zip(now, start, strict=True))
        )
    assert moved[0] == pytest.approx(0.01, rel=1e-3)
    assert moved[1] == pytest.approx(0.01 / 4, rel=1e-3)

"""J = E[R*] − β KL(π̃‖π_0) of a sampler π̃, against sums over all texts that it can write."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corll.config import SamplingConfig
from corll.laboratory.cell_metrics import evaluate_policy, kl_of_sampler
from corll.laboratory.divergence import divergence
from corll.policy import Policy
from corll.records import Sample
from corll.simulation.experts import Expert
from tiny_models import perturb_adapter

PROMPT, BETA = "The hotel near", 0.1
WHOLE = SamplingConfig(top_k=0)
SAMPLINGS = [
    SamplingConfig(top_k=6),
    SamplingConfig(top_k=6, temperature=0.5),
    SamplingConfig(top_k=6, temperature=2.0),
    SamplingConfig(top_k=12, top_p=0.5),
    SamplingConfig(top_k=8, top_p=0.7, temperature=0.8),
]

Array = NDArray[np.float64]


class Text(NamedTuple):
    """A text with its probability under the sampler, and its log-probabilities; worked here."""

    ids: tuple[int, ...]
    drawn: float
    expert: float
    reference: float


def next_logprobs(policy: Policy, ids: tuple[int, ...]) -> Array:
    with policy.active(), torch.no_grad():
        row = torch.tensor([[*policy.codec.encode_prompt(PROMPT), *ids]], device=policy.device)
        found: Array = policy.base.model(row).logits[0, -1].double().log_softmax(-1).cpu().numpy()
    return found


def truncated(logprobs: Array, sampling: SamplingConfig) -> dict[int, float]:
    """What the sampler draws a token from, by its definition: temperature, top-k, top-p."""
    order = [int(n) for n in np.argsort(-logprobs, kind="stable")]
    kept = order[: sampling.top_k or None]
    weights = np.exp(logprobs[kept] / sampling.temperature)
    weights /= weights.sum()
    before = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
    weights[before >= sampling.top_p] = 0.0
    weights /= weights.sum()
    return {n: float(p) for n, p in zip(kept, weights, strict=True) if p > 0}


def all_texts(
    policy: Policy, expert: Policy, sampling: SamplingConfig, *, longest: int
) -> list[Text]:
    """Every text of at most so many tokens that the sampler can write."""

    def continued(text: Text) -> list[Text]:
        if len(text.ids) == longest or set(text.ids) & set(policy.codec.end_ids):
            return [text]
        ours, best = (next_logprobs(one, text.ids) for one in (policy, expert))
        with policy.as_reference():
            base = next_logprobs(policy, text.ids)
        return list(
            chain.from_iterable(
                continued(
                    Text(
                        (*text.ids, n),
                        text.drawn * p,
                        text.expert + best[n],
                        text.reference + base[n],
                    )
                )
                for n, p in truncated(ours, sampling).items()
            )
        )

    return continued(Text((), 1.0, 0.0, 0.0))


@pytest.fixture
def expert(policy: Policy) -> Policy:
    """Another policy than `policy`, on its base; both are moved away from it."""
    expert = policy.with_adapter()
    perturb_adapter(expert, seed=1)
    perturb_adapter(policy, seed=2)
    return expert


@pytest.fixture(scope="module")
def shared_policy(tiny_model_folder: Path) -> Policy:
    return Policy.load(tiny_model_folder, dtype="float32")


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_all_texts_summed(policy: Policy, expert: Policy, sampling: SamplingConfig) -> None:
    """Summed over all texts, J by its definition is −β KL(π̃‖π*), and both are what is measured."""
    texts = all_texts(policy, expert, sampling, longest=2)
    drawn, best, base = np.array([text[1:] for text in texts]).T
    assert len(texts) > 4
    assert drawn.sum() == pytest.approx(1)
    reward = BETA * float(drawn @ (best - base))
    to_reference, to_expert = (float(drawn @ (np.log(drawn) - side)) for side in (base, best))
    assert to_expert > 0.01
    assert reward - BETA * to_reference == pytest.approx(-BETA * to_expert, abs=1e-9)

    ends = set(policy.codec.end_ids)
    samples = [Sample("", text.ids, None, text.ids[-1] in ends) for text in texts]
    found = divergence(policy, [PROMPT], [samples], sampling=sampling, expert=expert)
    weights = torch.from_numpy(drawn)
    assert float(weights @ found.to_expert.double()) == pytest.approx(to_expert, abs=1e-5)
    assert float(weights @ found.sampler.double()) == pytest.approx(to_reference, abs=1e-5)
    rewards = BETA * (found.expert_logprobs - found.reference_logprobs).double()
    assert float(weights @ rewards) == pytest.approx(reward, abs=1e-5)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_the_sampler_is_what_texts_are_drawn_from(policy: Policy, sampling: SamplingConfig) -> None:
    perturb_adapter(policy)
    expected = truncated(next_logprobs(policy, ()), sampling)
    count = 2000
    (row,) = policy.sample([PROMPT], count, 1, 7, sampling=sampling)
    drawn = [sample.token_ids[0] for sample in row]
    assert set(drawn) <= set(expected)
    for token, probability in expected.items():
        error = (probability * (1 - probability) / count) ** 0.5
        assert drawn.count(token) / count == pytest.approx(probability, abs=5 * error + 1e-3)


def evaluated(policy: Policy, expert: Expert, sampling: SamplingConfig) -> dict[str, float]:
    return evaluate_policy(
        policy,
        expert,
        [PROMPT, "Hello,"],
        num_candidates=2,
        max_new_tokens=4,
        sampling=sampling,
        beta=0.3,  # the learner's, which J has nothing of
        seed=1,
    ).measured


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.0, 0.3),
    temperature=st.floats(0.3, 2.0),
    top_k=st.sampled_from([0, 1, 5, 50]),
    top_p=st.floats(0.3, 1.0),
)
def test_the_objective_is_never_above_0(
    shared_policy: Policy, seed: int, scale: float, temperature: float, top_k: int, top_p: float
) -> None:
    learner, expert = shared_policy.with_adapter(), shared_policy.with_adapter()
    perturb_adapter(learner, seed=seed, scale=scale)
    perturb_adapter(expert, seed=seed + 1, scale=scale)
    sampling = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    found = evaluated(learner, Expert(expert, beta=BETA), sampling)
    learner.unload()
    expert.unload()
    assert found["objective"] <= 1e-6
    assert found["kl_sampler"] >= -1e-5
    assert found["objective"] == pytest.approx(-BETA * found["kl_to_expert"])
    assert found["objective_per_token"] >= found["objective"] - 1e-6


def test_the_expert_itself_has_0_without_truncation(policy: Policy) -> None:
    perturb_adapter(policy)
    expert = Expert(policy, beta=BETA)
    whole = evaluated(policy, expert, WHOLE)
    assert whole["objective"] == pytest.approx(0, abs=1e-6)
    assert whole["kl_sampler"] == pytest.approx(whole["kl_full"], rel=1e-4)
    assert evaluated(policy, expert, SAMPLINGS[0])["objective"] < -0.01


def test_what_the_expert_s_own_sampler_pays(policy: Policy) -> None:
    """With one likeliest token it is −log π* of the text that is always drawn."""
    perturb_adapter(policy)
    how = {"num_samples": 1, "max_new_tokens": 4, "seed": 0}
    greedy = SamplingConfig(top_k=1)
    (row,) = policy.sample([PROMPT], 1, 4, 0, sampling=greedy)
    expected = -float(policy.logprobs([PROMPT], row))
    found = kl_of_sampler(Expert(policy), [PROMPT], sampling=greedy, **how)
    assert found == pytest.approx(expected, rel=1e-4)
    assert kl_of_sampler(Expert(policy), [PROMPT], sampling=WHOLE, **how) == pytest.approx(
        0, abs=1e-5
    )


def test_from_another_reference_the_objective_is_by_its_definition(policy: Policy) -> None:
    """R* of an expert with another π_0 is no log-ratio to the policy's."""
    other = Policy.load(policy.folder, dtype="float32")
    perturb_adapter(other, seed=1)
    perturb_adapter(policy, seed=2)
    sampling = SamplingConfig(top_k=6)
    found = evaluated(policy, Expert(other, beta=BETA), sampling)
    rows = policy.sample([PROMPT, "Hello,"], 2, 4, [1, 2], sampling=sampling)
    samples = [sample for row in rows for sample in row]
    rewards = other.implicit_rewards([PROMPT] * 2 + ["Hello,"] * 2, samples, beta=BETA)
    expected = float(rewards.mean()) - BETA * found["kl_sampler"]
    assert found["objective"] == pytest.approx(expected, abs=1e-5)
    assert found["reward"] == pytest.approx(float(rewards[[0, 2]].mean()), abs=1e-5)

"""Penalties and biases, held to the logits processors of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from corll import AdjustedSampling, Policy, SamplingConfig
from corll.compute.adjusted_logits import AdjustedLogits
from corll.compute.decoding import Decoding, drawable, sample_branches
from corll.compute.network import Network
from corll.compute.packing import Ids
from corll.compute.plain import PlainBackend
from corll.errors import ConfigError, InputError
from tiny_models import DEVICE, build_gpt2, build_llama, logprob_by_transformers, network_of

V = 64
PROMPTS: list[Ids] = [(5, 9, 2, 9), (7,), (3, 3, 8, 1, 4, 6, 2, 9)]
BACKEND = PlainBackend(None)
SETTINGS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.8},
    {"repetition_penalty": 0.6},
    {"frequency_penalty": 0.9},
    {"presence_penalty": 1.5},
    {"frequency_penalty": -0.7, "presence_penalty": 0.4},
    {"logit_bias": {9: 4.0, 3: -100.0}},
    {
        "logit_bias": {9: 2.0, 11: 1.5},
        "repetition_penalty": 1.3,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.3,
    },
]


class OpenAiPenalties(LogitsProcessor):
    """OpenAI's formula, which `transformers` lacks: μ − c·α_frequency − [c > 0]·α_presence."""

    def __init__(self, sampling: AdjustedSampling, prompt_length: int) -> None:
        self.sampling, self.prompt_length = sampling, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for row, ids in enumerate(input_ids[:, self.prompt_length :].tolist()):
            for token in set(ids):
                scores[row, token] -= self.sampling.frequency_penalty * ids.count(token)
                scores[row, token] -= self.sampling.presence_penalty
        return scores


def peers(sampling: AdjustedSampling, prompt_length: int, *, warps: bool) -> LogitsProcessorList:
    """The processors in the order in which `generate` has them."""
    found = LogitsProcessorList()
    if sampling.logit_bias:
        found.append(
            SequenceBiasLogitsProcessor({(i,): bias for i, bias in sampling.logit_bias.items()})
        )
    if sampling.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    found.append(OpenAiPenalties(sampling, prompt_length))
    if warps:
        found.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            found.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            found.append(TopPLogitsWarper(sampling.top_p))
        if sampling.min_p:
            found.append(MinPLogitsWarper(sampling.min_p))
    return found


@cache
def network(name: str) -> Network:
    builders: dict[str, Any] = {"llama": build_llama, "gpt2": build_gpt2}
    return network_of(builders[name](V).eval().requires_grad_(False))


def sample(
    name: str,
    prompts: Sequence[Ids],
    sampling: SamplingConfig,
    *,
    num_samples: int = 1,
    max_new_tokens: int = 16,
    end_ids: Sequence[int] = (),
) -> list[list[Any]]:
    return sample_branches(
        network(name),
        prompts,
        seeds=[0] * len(prompts),
        num_samples=num_samples,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        end_ids=end_ids,
    )


ids = st.integers(0, 19)
settings_of_all = st.builds(
    AdjustedSampling,
    temperature=st.sampled_from([0.4, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 5, 50]),
    top_p=st.sampled_from([0.4, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.3, 3.0]),
    presence_penalty=st.sampled_from([-2.0, 0.0, 0.7, 2.0]),
    frequency_penalty=st.sampled_from([-1.0, 0.0, 0.3, 2.0]),
    logit_bias=st.dictionaries(ids, st.sampled_from([-100.0, -1.5, 0.0, 2.0, 100.0]), max_size=4),
)


@given(
    settings_of_all,
    st.lists(ids, min_size=1, max_size=8),
    st.lists(ids, max_size=8),
    st.integers(0, 2**16),
)
def test_what_is_drawn_from_is_what_the_processors_of_transformers_leave(
    sampling: AdjustedSampling, prompt: list[int], drawn: list[int], seed: int
) -> None:
    logits = torch.randn(1, 20, generator=torch.Generator().manual_seed(seed)) * 3
    row = torch.tensor([[*prompt, *drawn]])
    expected = peers(sampling, len(prompt), warps=True)(row, logits.clone()).softmax(-1)
    adjusted = AdjustedLogits(sampling, [tuple(prompt)], 1, drawn=[], like=logits)
    for token in drawn:
        adjusted.drew(torch.tensor([0]), torch.tensor([token]))
    found = drawable(adjusted.of(logits, torch.tensor([0])), sampling, BACKEND)
    shares = torch.zeros(1, 20).scatter(1, found.token_ids, found.weights / found.weights.sum())
    torch.testing.assert_close(shares, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("said", SETTINGS)
def test_greedily_the_ids_are_those_of_generate(name: str, said: dict[str, Any]) -> None:
    """Together, though the prompts differ in length, and rows end at different times."""
    sampling, ends = AdjustedSampling(top_k=1, **said), (11, 23)
    rows = sample(name, PROMPTS, sampling, end_ids=ends)
    for prompt, (branch,) in zip(PROMPTS, rows, strict=True):
        given_ids = torch.tensor([prompt], device=DEVICE)
        generated = network(name).model.generate(
            given_ids,
            attention_mask=torch.ones_like(given_ids),
            do_sample=False,
            max_new_tokens=16,
            eos_token_id=list(ends),
            pad_token_id=0,
            logits_processor=peers(sampling, len(prompt), warps=False),
        )
        assert branch.token_ids == tuple(generated[0, len(prompt) :].tolist())


def test_the_settings_of_the_greedy_test_change_what_is_drawn() -> None:
    plain = sample("llama", PROMPTS, SamplingConfig(top_k=1))
    for said in SETTINGS:
        rows = sample("llama", PROMPTS, AdjustedSampling(top_k=1, **said))
        assert [r[0].token_ids for r in rows] != [r[0].token_ids for r in plain]


def test_pairs_of_tokens_follow_the_distribution_of_the_processors() -> None:
    prompt = PROMPTS[0]
    sampling = AdjustedSampling(top_k=12, min_p=0.02, temperature=1.2, **SETTINGS[-1])
    (row,) = sample("llama", [prompt], sampling, num_samples=6000, max_new_tokens=2)
    model, processors = network("llama").model, peers(sampling, len(prompt), warps=True)

    def following(*after: int) -> np.ndarray:
        input_ids = torch.tensor([[*prompt, *after]], device=DEVICE)
        with torch.no_grad():
            logits = model(input_ids).logits[:, -1].float()
        shares: np.ndarray = processors(input_ids, logits).double().softmax(-1)[0].cpu().numpy()
        return shares

    first = following()
    joint = np.stack([first[token] * following(token) for token in range(V)]).ravel()
    counts = np.bincount([b.token_ids[0] * V + b.token_ids[1] for b in row], minlength=V * V)
    assert counts[joint == 0].sum() == 0
    often, possible = joint * 6000 >= 5, joint > 0
    rare = possible & ~often
    expected = np.append(joint[often], joint[rare].sum())
    found = np.append(counts[often], counts[rare].sum())
    found, expected = found[expected > 0], expected[expected > 0]
    assert chisquare(found, expected * found.sum() / expected.sum()).pvalue > 0.001


@pytest.mark.parametrize("said", SETTINGS)
def test_a_samples_logprob_stays_that_of_the_full_distribution(said: dict[str, Any]) -> None:
    rows = sample("llama", PROMPTS, AdjustedSampling(**said), num_samples=2, end_ids=(11, 23))
    for prompt, row in zip(PROMPTS, rows, strict=True):
        for branch in row:
            expected = logprob_by_transformers(network("llama").model, prompt, branch.token_ids)
            assert branch.logprob == pytest.approx(expected, abs=1e-4)


def test_what_shares_the_batch_changes_nothing() -> None:
    sampling, ends = AdjustedSampling(**SETTINGS[-1]), tuple(range(0, V, 7))

    def ids_of(prompts: Sequence[Ids]) -> list[list[Ids]]:
        rows = sample("llama", prompts, sampling, num_samples=3, end_ids=ends)
        return [[branch.token_ids for branch in row] for row in rows]

    assert ids_of(PROMPTS) == [ids_of([prompt])[0] for prompt in PROMPTS]


def test_what_was_drawn_before_a_decoding_counts_as_drawn() -> None:
    sampling = AdjustedSampling(top_k=1, frequency_penalty=1.2, repetition_penalty=1.1)
    prompt = PROMPTS[0]
    whole = sample("llama", [prompt], sampling)[0][0].token_ids

    def going_on(drawn_before: int) -> Ids:
        decoding = Decoding(
            network("llama"),
            [(*prompt, *whole[:6])],
            seeds=[0],
            num_samples=1,
            max_new_tokens=10,
            sampling=sampling,
            end_ids=(),
            drawn_before=[drawn_before],
        )
        while decoding.advance():
            pass
        return decoding.branches()[0].token_ids

    assert going_on(6) == whole[6:]
    assert going_on(0) != whole[6:]


def test_a_policy_samples_by_them_and_scores_without_them(policy: Policy) -> None:
    token = policy.codec.encode_response("a").token_ids[0]
    sampling = AdjustedSampling(logit_bias={token: 100.0}, frequency_penalty=2.0)
    ((drawn,),) = policy.sample(["Hello"], max_new_tokens=6, sampling=sampling)
    assert drawn.token_ids == (token,) * 6
    assert drawn.logprob == pytest.approx(policy.logprobs(["Hello"], [drawn]).item(), abs=1e-4)


def test_a_bias_on_a_token_that_is_not_there_is_refused(policy: Policy) -> None:
    with pytest.raises(InputError, match="logit_bias names the token 99999"):
        policy.sample(["Hello"], sampling=AdjustedSampling(logit_bias={99999: 1.0}))


@pytest.mark.parametrize(
    "said", [{"min_p": 1.5}, {"repetition_penalty": 0.0}, {"logit_bias": {-1: 1.0}}]
)
def test_settings_that_mean_nothing_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AdjustedSampling(**said)

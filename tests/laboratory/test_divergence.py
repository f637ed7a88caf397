"""How far a policy is from its reference, against transformers' own logits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from corll.config import SamplingConfig
from corll.laboratory import divergence as module
from corll.laboratory.divergence import Divergence, divergence
from corll.policy import Policy
from corll.records import Sample
from tiny_models import perturb_adapter

PROMPTS = ["Dear", "The hotel near", "Hello,"]
SAMPLING = SamplingConfig(top_k=5)


def samples_of(policy: Policy) -> list[Sample]:
    rows = policy.sample(PROMPTS, 1, 6, [1, 2, 3], sampling=SAMPLING)
    return [row[0] for row in rows]


def measured(policy: Policy, samples: list[Sample], **settings: Any) -> Divergence:
    """The divergence of a sample for each prompt, by default from the policy as its own expert."""
    rows = [[sample] for sample in samples]
    return divergence(policy, PROMPTS, rows, **{"sampling": SAMPLING, "expert": policy, **settings})


def own_logprobs(policy: Policy, prompt: str, sample: Sample) -> Tensor:
    """log π of the vocabulary at each token of a response, by the model as it stands."""
    ids = policy.codec.encode_prompt(prompt)
    row = torch.tensor([[*ids, *sample.token_ids]], device=policy.device)
    with torch.no_grad():
        logits: Any = policy.base.model(row).logits[0, len(ids) - 1 : -1]
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("at_once", [1, 1 << 25])
def test_against_plain_logits(
    any_policy: Policy, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FLOATS_AT_ONCE", at_once)
    perturb_adapter(any_policy)
    samples = samples_of(any_policy)
    found = measured(any_policy, samples)
    full, drawn = [], []
    for prompt, sample in zip(PROMPTS, samples, strict=True):
        ours = own_logprobs(any_policy, prompt, sample)
        with any_policy.as_reference():
            theirs = own_logprobs(any_policy, prompt, sample)
        full.append(float((ours.exp() * (ours - theirs)).sum()))
        total = 0.0
        for p, q in zip(ours.exp(), theirs.exp(), strict=True):
            top = p.argsort(descending=True)[:5]
            p5, q5 = p[top] / p[top].sum(), q[top] / q[top].sum()
            total += float((p5 * (p5 / q5).log()).sum())
        drawn.append(total)
    assert min(full) > 0.01
    torch.testing.assert_close(found.full, torch.tensor(full), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.drawn, torch.tensor(drawn), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 1 << 25])
def test_the_reference_may_stand_behind_other_prompts(
    any_policy: Policy, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FLOATS_AT_ONCE", at_once)
    perturb_adapter(any_policy)
    samples, others = samples_of(any_policy), ["Dear Ms Lopez, we", PROMPTS[1], "The"]
    found = measured(any_policy, samples, reference_prompts=others)
    expected = []
    for prompt, other, sample in zip(PROMPTS, others, samples, strict=True):
        ours = own_logprobs(any_policy, prompt, sample)
        with any_policy.as_reference():
            theirs = own_logprobs(any_policy, other, sample)
        expected.append(float((ours.exp() * (ours - theirs)).sum()))
    torch.testing.assert_close(found.full, torch.tensor(expected), rtol=1e-3, atol=1e-5)


def test_among_all_tokens_both_are_the_same(policy: Policy) -> None:
    perturb_adapter(policy)
    found = measured(policy, samples_of(policy), sampling=SamplingConfig(top_k=0))
    torch.testing.assert_close(found.full, found.drawn)


def test_the_reference_is_nowhere_else(any_policy: Policy) -> None:
    found = measured(any_policy, samples_of(any_policy))
    assert (found.full == 0).all()
    assert (found.drawn == 0).all()


def test_mass_out_of_the_tail_counts_only_in_full(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """π moves half of the tail of π_0 to the two likeliest tokens, in their proportion."""
    reference = torch.tensor([[0.4, 0.2, 0.3 / 3, 0.3 / 3, 0.2 / 2, 0.2 / 2]]).log()
    moved = torch.tensor([[0.6, 0.3, 0.025, 0.025, 0.025, 0.025]]).log()
    sides = iter([moved, reference, reference])
    monkeypatch.setattr(module, "full_logits", lambda *_: next(sides))
    sample = Sample("x", (5,), None, False)
    found = divergence(
        policy, ["Dear"], [[sample]], sampling=SamplingConfig(top_k=2), expert=policy
    )
    assert float(found.drawn) == pytest.approx(0, abs=1e-6)
    assert float(found.full) > 0.1
    # The sampler has all on these two: log 2/3 − log 0.4 = log 1/3 − log 0.2.
    assert float(found.sampler) == pytest.approx(math.log(1 / 0.6), rel=1e-5)
    assert float(found.to_expert) == float(found.sampler)
    both = found.logprobs, found.reference_logprobs, found.expert_logprobs
    assert [float(one.exp()) for one in both] == pytest.approx([0.025, 0.1, 0.1])

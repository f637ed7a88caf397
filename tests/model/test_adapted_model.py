"""Policies of one base take turns: whose adapter runs, and who may go on with what was begun."""

from __future__ import annotations

import pytest
import torch

from corll.config import SamplingConfig
from corll.errors import AdapterError
from corll.policy import Policy
from tiny_models import perturb_adapter, plain_logprob

PROMPT = "Write to Anna."


@pytest.fixture
def other(policy: Policy) -> Policy:
    """Another adapter on the same base."""
    perturb_adapter(policy)
    found = policy.with_adapter()
    perturb_adapter(found, seed=1)
    return found


def runs_now(policy: Policy) -> float:
    """What the model as it stands gives."""
    return plain_logprob(policy.base, (5, 9, 2), (7, 1))


def test_within_a_context_the_model_runs_with_its_adapter(policy: Policy, other: Policy) -> None:
    with policy.active():
        own = runs_now(policy)
    with other.active():
        assert runs_now(policy) != own
        with policy.active():
            assert runs_now(policy) == own
        others = runs_now(policy)
    assert others != own
    with policy.as_reference():
        base = runs_now(policy)
        with other.active():
            assert runs_now(policy) == others
        assert runs_now(policy) == base
    assert base not in (own, others)
    assert runs_now(policy) == own


def test_an_error_within_a_context_gives_the_turn_back(policy: Policy, other: Policy) -> None:
    with policy.active():
        own = runs_now(policy)
        with pytest.raises(ZeroDivisionError), other.active():
            _ = 1 / 0
        assert runs_now(policy) == own


def test_what_one_policy_began_no_other_goes_on_with(policy: Policy, other: Policy) -> None:
    begun = policy.start([PROMPT], 1, 8, [0])
    policy.advance(begun)
    with pytest.raises(AdapterError, match="begun by another policy"):
        other.advance(begun)
    with policy.as_reference(), pytest.raises(AdapterError, match="begun by another policy"):
        policy.advance(begun)
    while policy.advance(begun):
        other.sample([PROMPT], 1, 2)  # in between
    (expected,) = policy.sample([PROMPT], 1, 8)[0]
    assert begun.branches()[0].token_ids == expected.token_ids


def test_ids_are_drawn_and_scored_as_texts_are(policy: Policy, other: Policy) -> None:
    """A policy is a `Sampler` and a `Scorer`."""
    prompt = policy.codec.encode_prompt(PROMPT)
    for one in (policy, other):
        ((branch,),) = one.continuations([prompt], 1, 6, [3], sampling=SamplingConfig())
        (sample,) = one.sample([PROMPT], 1, 6, 3)[0]
        assert branch.token_ids == sample.token_ids
        scores = one.score([prompt], [branch.token_ids])
        torch.testing.assert_close(scores, one.logprobs([PROMPT], [sample]), rtol=0, atol=0)


def test_another_engine_may_draw(policy: Policy, other: Policy) -> None:
    """It is given ids, and gives branches; whoever asks reads texts."""
    drawn = policy.sample([PROMPT], 2, 5, 1, sampler=other)
    expected = other.sample([PROMPT], 2, 5, 1)
    assert [s.token_ids for s in drawn[0]] == [s.token_ids for s in expected[0]]

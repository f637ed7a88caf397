"""Rope scalings that depend on a text's length: each row gets the numbers that it has alone.

`transformers` picks the frequencies of `longrope` and `dynamic` by the longest position of a whole
batch, and those of `dynamic` by what it has seen before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from architectures import BORDER, ROPE_SCALINGS, build, write
from corll.compute.choose import backend_for, examine
from corll.compute.decoding import Branch, sample_branches
from corll.compute.network import Drafting, Network
from corll.compute.packing import Ids, Tree
from corll.compute.passes import Passes
from corll.compute.scoring import token_logprobs
from corll.config import SamplingConfig
from corll.policy import Policy

PER_TOKEN = 1e-4
EACH = pytest.mark.parametrize("name", ROPE_SCALINGS)
EACH_BACKEND = pytest.mark.parametrize("backend", ["plain", "cpu"])

LENGTHS = [(10, 8), (50, 14), (50, 15), (20, 60), (70, 9), (100, 30)]
"""Tokens of prompts and responses: within the border, just at it, just over it, and far over it."""


def made(*lengths: int, seed: int = 0) -> list[Ids]:
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randint(5, 300, (n,), generator=generator).tolist()) for n in lengths]


def texts() -> list[tuple[Ids, Ids]]:
    prompts, responses = (made(*lengths) for lengths in zip(*LENGTHS, strict=True))
    return list(zip(prompts, responses, strict=True))


def network(name: str, backend: str = "plain") -> Network:
    model = build(name).requires_grad_(False)
    engine = backend_for(model, backend)
    engine.prepare(frozen=True)
    return examine(model, engine)


def alone(name: str, prompt: Ids, ids: Ids) -> Tensor:
    """log π of each token by a model of `transformers` that has seen no other text."""
    row = torch.tensor([[*prompt, *ids]])
    with torch.no_grad():
        found = build(name)(input_ids=row, use_cache=False).logits[0].float().log_softmax(-1)
    return found[len(prompt) - 1 : -1].gather(-1, torch.tensor(ids)[:, None]).squeeze(-1)


def after(name: str, ids: Ids) -> int:
    """The likeliest token after a text, by a model that has seen no other."""
    with torch.no_grad():
        logits = build(name)(input_ids=torch.tensor([ids]), use_cache=False).logits
    return int(logits[0, -1].argmax())


def drafts(
    own: Network, prompts: Sequence[Ids], length: int, *, num_samples: int = 1
) -> list[list[Branch]]:
    return sample_branches(
        own,
        prompts,
        seeds=[0] * len(prompts),
        num_samples=num_samples,
        max_new_tokens=length,
        sampling=SamplingConfig(top_k=1),
        end_ids=[],
    )


@EACH_BACKEND
@EACH
def test_texts_of_any_lengths_score_as_each_alone(name: str, backend: str) -> None:
    """In one pass, then in the other order, so that what was seen before makes no difference."""
    own = network(name, backend)
    expected = [alone(name, *text) for text in texts()]
    trees = [tree for prompt, ids in texts() for tree in own.trees(prompt, [ids])]
    with torch.no_grad():
        found = token_logprobs(own, trees)
        again = token_logprobs(own, trees[::-1])[::-1]
    torch.testing.assert_close(found, expected, atol=PER_TOKEN, rtol=0)
    torch.testing.assert_close(again, expected, atol=PER_TOKEN, rtol=0)


@EACH_BACKEND
@EACH
def test_responses_on_both_sides_of_the_border_score_as_each_alone(name: str, backend: str) -> None:
    own = network(name, backend)
    (prompt,) = made(40)
    (ids,) = made(40, seed=1)
    responses = [ids[:24], ids, ids[:10], (*ids[:25],)]
    with torch.no_grad():
        found = token_logprobs(own, own.trees(prompt, responses))
    expected = [alone(name, prompt, ids) for ids in responses]
    torch.testing.assert_close(found, expected, atol=PER_TOKEN, rtol=0)


def test_responses_on_one_side_of_the_border_share_a_row() -> None:
    own = network("llama-longrope")
    (prompt,) = made(40)
    short, long = made(BORDER - 40, BORDER - 39)
    assert len(own.trees(prompt, [short, short[:5]])) == 1
    assert len(own.trees(prompt, [long, (*long, 7)])) == 1
    assert len(own.trees(prompt, [short, long])) == 2


@EACH_BACKEND
@EACH
def test_gradients_do_not_depend_on_the_batch(name: str, backend: str) -> None:
    own = network(name, backend)
    learned = own.model.get_input_embeddings().weight
    items = [own.trees(prompt, [ids]) for prompt, ids in texts()]

    def loss_of(numbers: Sequence[int], scores: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.stack([response.sum() for (response,) in scores]).mean(), {}

    def gradient(items: list[list[Tree]]) -> Tensor:
        learned.requires_grad_(True)
        Passes(own, items, 10_000).forward_backward(loss_of, [learned])
        learned.requires_grad_(False)
        return learned.grad.clone()

    one_by_one = torch.stack([gradient([item]) for item in items]).mean(0)
    torch.testing.assert_close(gradient(items), one_by_one, atol=1e-4, rtol=1e-4)


@EACH_BACKEND
@EACH
def test_drafts_are_the_likeliest_of_each_text_alone(name: str, backend: str) -> None:
    """While a text grows past the border too: it is computed anew there, as scoring computes it."""
    own, prompts = network(name, backend), made(8, BORDER - 3, BORDER + 20)
    for prompt, branches in zip(prompts, drafts(own, prompts, 6, num_samples=2), strict=True):
        expected: Ids = ()
        while len(expected) < 6:
            expected = (*expected, after(name, (*prompt, *expected)))
        assert [branch.token_ids for branch in branches] == [expected] * 2


@pytest.mark.parametrize("way", ["batch", "prompt", "row", "recomputed"])
@pytest.mark.parametrize("name", ["llama-longrope", "llama-dynamic"])
def test_drafts_are_the_same_in_whatever_way_rows_grow(name: str, way: Drafting) -> None:
    own, prompts = network(name), made(8, BORDER - 3, BORDER + 20)
    expected = [[after(name, prompt)] for prompt in prompts]
    for prompt, drawn in zip(prompts, expected, strict=True):
        while len(drawn) < 5:
            drawn.append(after(name, (*prompt, *drawn)))
    found = drafts(replace(own, drafting=way), prompts, 5)
    assert [list(branch.token_ids) for (branch,) in found] == expected


@EACH
def test_a_draft_tells_what_it_scores_unless_it_crossed_the_border(name: str) -> None:
    own, prompts = network(name), made(8, BORDER - 5, BORDER - 3)
    within, at, over = (branch for (branch,) in drafts(own, prompts, 5))
    for prompt, branch in zip(prompts, (within, at), strict=False):
        expected = float(alone(name, prompt, branch.token_ids).sum())
        assert branch.logprob == pytest.approx(expected, abs=5 * PER_TOKEN)
    assert over.logprob is None


def test_a_policy_scores_and_drafts_texts_of_mixed_lengths(tmp_path: Path) -> None:
    name = "phi-3-longrope"
    policy = Policy.load(write(name, tmp_path), dtype="float32", device="cpu")
    prompts, responses = zip(*texts(), strict=True)
    found = policy.score(prompts, responses)
    expected = [alone(name, *text).sum() for text in texts()]
    torch.testing.assert_close(found, torch.stack(expected), atol=30 * PER_TOKEN, rtol=0)
    (short,), (long,) = policy.sample(["Hi", "Dear guests, thank you for it. " * 12], 1, 5)
    assert short.logprob == pytest.approx(float(policy.logprobs(["Hi"], [short])), abs=1e-3)
    assert long.logprob is not None

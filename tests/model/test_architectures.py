"""Every architecture against transformers and PEFT: drafts, scores, gradients, steps, saved files.

To 1e-4 nats a token in float32; in bf16 the first loss is log 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from packaging.version import Version
from torch import Tensor
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, write
from corll.compute.packing import Ids
from corll.compute.scoring import token_logprobs
from corll.config import CoactiveConfig, SamplingConfig
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Preference, Sample
from tiny_models import perturb_adapter

pytestmark = [
    # PEFT and transformers say these of their own doing.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]
EACH = pytest.mark.parametrize("name", ARCHITECTURES)

PROMPT = "Write to the guests of the hotel near the station."
RESPONSES = [
    "Dear guests, the breakfast was slow, but the street was clean.",
    "Dear guests, thank you for the note about the kettle.",
]
PREFERENCES = [
    Preference(PROMPT, RESPONSES[0], RESPONSES[1]),
    Preference("Hi", "Kind regards, Anna.", "Hello, thank you."),
]
GREEDY = SamplingConfig(top_k=1)
PER_TOKEN = 1e-4
MIXTURES = {"qwen3-moe", "mixtral", "deepseek-v3", "qwen3-next", "jamba"}
PEFT_LOADS_MIXTURES = Version(peft.__version__) >= Version("0.20")
"""Before, it asks transformers' converter for what that has under another name: a TypeError."""
WINDOW = 16


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that writes each model once."""
    return cache(lambda name: write(name, tmp_path_factory.mktemp(name)))


def plain_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logprobs(model: Any, prompt: Ids, ids: Ids) -> Tensor:
    """log π of each token by transformers' own logits: one row, no cache, no padding."""
    row = torch.tensor([[*prompt, *ids]])
    found = model(input_ids=row, use_cache=False).logits[0].float().log_softmax(-1)
    return found[len(prompt) - 1 : -1].gather(-1, torch.tensor(ids)[:, None]).squeeze(-1)


@torch.no_grad()
def summed(model: Any, prompt: Ids, responses: Sequence[Ids]) -> Tensor:
    return torch.stack([logprobs(model, prompt, ids).sum() for ids in responses])


@torch.no_grad()
def likeliest(model: Any, prompt: Ids, length: int, ends: Sequence[int]) -> Ids:
    """The likeliest continuation, computed anew for each token."""
    ids: list[int] = []
    while len(ids) < length and not (ids and ids[-1] in ends):
        row = torch.tensor([[*prompt, *ids]])
        ids.append(int(model(input_ids=row, use_cache=False).logits[0, -1].argmax()))
    return tuple(ids)


def encoded(policy: Policy) -> tuple[Ids, list[Ids]]:
    prompt = policy.codec.encode_prompt(PROMPT)
    responses = [policy.codec.encode_response(text).token_ids for text in RESPONSES]
    assert len(prompt) > WINDOW
    assert all(len(ids) > WINDOW for ids in responses)
    return prompt, responses


def assert_close(found: Tensor, expected: Tensor, responses: Sequence[Ids]) -> None:
    tokens = torch.tensor([len(ids) for ids in responses])
    differences = (found - expected).abs() / tokens
    assert float(differences.max()) <= PER_TOKEN, differences


@EACH
def test_scores_and_drafts_are_those_of_transformers(name: str, folders: Any) -> None:
    policy, model = Policy.load(folders(name), dtype="float32"), plain_model(folders(name))
    prompt, responses = encoded(policy)
    found = policy.logprobs([PROMPT] * 2, RESPONSES)
    assert_close(found, summed(model, prompt, responses), responses)

    (drafts,) = policy.sample([PROMPT], 3, 8, seed=5)
    again, (other,) = policy.sample([PROMPT], 3, 8, seed=5)[0], policy.sample(["Hi"], 1, 8)
    assert [draft.token_ids for draft in drafts] == [draft.token_ids for draft in again]
    assert len({draft.token_ids for draft in (*drafts, *other)}) == 4
    drawn = [draft.token_ids for draft in drafts]
    told = torch.tensor([draft.logprob for draft in drafts])
    assert_close(told, summed(model, prompt, drawn), drawn)
    assert_close(policy.logprobs([PROMPT] * 3, drafts), told, drawn)


@EACH
def test_the_likeliest_draft_is_transformers(name: str, folders: Any) -> None:
    """Of several prompts at once too, of which the shorter are padded or go by themselves."""
    policy, model = Policy.load(folders(name), dtype="float32"), plain_model(folders(name))
    prompts = [PROMPT, "Hi", "Good evening."]
    found: list[list[Sample]] = policy.sample(prompts, 2, WINDOW + 4, sampling=GREEDY)
    for text, samples in zip(prompts, found, strict=True):
        ids = policy.codec.encode_prompt(text)
        expected = likeliest(model, ids, WINDOW + 4, policy.codec.end_ids)
        assert [sample.token_ids for sample in samples] == [expected] * 2


@EACH
def test_an_adapter_learns_and_is_the_same_wherever_it_is_loaded(
    name: str, folders: Any, tmp_path: Path
) -> None:
    policy = Policy.load(folders(name), dtype="float32")
    before = policy.logprobs([PROMPT] * 2, RESPONSES)
    config = CoactiveConfig(learning_rate=1e-2, warmup_steps=0, replay_per_step=0)
    metrics = CoactiveLearner(policy, config).step(PREFERENCES).metrics
    assert metrics["rewards/margins"] == 0
    perturb_adapter(policy)
    prompt, responses = encoded(policy)
    learned = policy.logprobs([PROMPT] * 2, RESPONSES)
    assert float((learned - before).abs().min()) > 0.01
    torch.testing.assert_close(policy.reference_logprobs([PROMPT] * 2, RESPONSES), before)

    policy.save(tmp_path)
    for again in (
        policy.with_adapter(tmp_path),
        Policy.load(folders(name), dtype="float32", adapter=tmp_path),
    ):
        assert_close(again.logprobs([PROMPT] * 2, RESPONSES), learned, responses)
    if name in MIXTURES and not PEFT_LOADS_MIXTURES:
        return
    theirs = peft.PeftModel.from_pretrained(
        plain_model(folders(name)), tmp_path, is_trainable=True
    ).eval()
    assert_close(learned, summed(theirs, prompt, responses), responses)
    assert_same_gradients(policy, theirs, prompt, responses)


def assert_same_gradients(
    policy: Policy, theirs: Any, prompt: Ids, responses: Sequence[Ids]
) -> None:
    """Of Σ log π by each of the adapter's matrices, within a thousandth of all of them."""
    own = policy.trainable_parameters()
    with policy.active() as network:
        scores = token_logprobs(network, network.trees(prompt, responses))
        found = torch.autograd.grad(torch.cat(scores).sum(), list(own.values()))
    known = {n.replace(".default", ""): p for n, p in theirs.named_parameters() if "lora_" in n}
    total = torch.cat([logprobs(theirs, prompt, ids) for ids in responses]).sum()
    expected = torch.autograd.grad(total, [known[name] for name in own])
    assert known.keys() == own.keys()
    one, other = (torch.cat([grad.flatten() for grad in grads]) for grads in (found, expected))
    assert float((one - other).norm() / other.norm()) < 1e-3


@EACH
def test_the_first_loss_in_bfloat16_is_log_2(name: str, folders: Any) -> None:
    """π and π_0 are rounded alike, biases included."""
    policy = Policy.load(folders(name), dtype="bfloat16")
    metrics = CoactiveLearner(policy, CoactiveConfig(replay_per_step=0)).step(PREFERENCES).metrics
    assert metrics["rewards/margins"] == 0
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-6)

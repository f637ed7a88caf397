"""Full fine-tuning: a policy that is a copy of all weights, and π_0, the model as it was loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from corll.config import CoactiveConfig, LoraConfig
from corll.errors import AdapterError, ConfigError
from corll.gradient import accumulate_gradient, encode_pair
from corll.learner import CoactiveLearner
from corll.losses import Objective, dpo_loss
from corll.policy import Policy
from corll.records import Preference, Prompt
from tiny_models import (
    build_llama,
    build_qwen2,
    build_tokenizer,
    is_fused,
    logprob_by_transformers,
    weights,
)
from tiny_models import perturb_adapter as perturb

PROMPTS: list[Prompt] = ["Is the parcel late?", "Can we move it?", "Is the parcel late?"]
RESPONSES = ["We are sorry that it is late.", "Yes, we can.", "We are sorry. Anna"]
PREFERENCES = [
    Preference("Write to Anna.", " Dear Anna, thank you.", " Hello there!"),
    Preference("The kettle.", " We'll send another one on Friday.", " We'll not send it."),
    Preference("Tuesday?", " Could we move it to Thursday?", " No."),
]
PLAIN_DPO = CoactiveConfig(
    preferences_per_step=2,
    max_completion_length=8,
    learning_rate=1e-3,
    warmup_steps=0,
    replay_per_step=0,
    sft_weight=0.0,
    keep_weight=0.0,
)


@pytest.fixture
def whole(any_model_folder: Path) -> Policy:
    """All weights of each architecture learn."""
    return Policy.load(any_model_folder, trains="all")


@pytest.fixture
def whole_llama(tiny_model_folder: Path) -> Policy:
    return Policy.load(tiny_model_folder, trains="all")


def log_ratios(policy: Policy) -> Tensor:
    return policy.logprobs(PROMPTS, RESPONSES) - policy.reference_logprobs(PROMPTS, RESPONSES)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestReference:
    def test_log_ratios_start_at_exactly_0(self, whole: Policy) -> None:
        assert whole.reference_name == "base"
        assert log_ratios(whole).tolist() == [0.0, 0.0, 0.0]
        perturb(whole)
        assert (log_ratios(whole).abs() > 1e-3).all()

    def test_the_first_loss_is_log_2(self, whole: Policy) -> None:
        metrics = CoactiveLearner(whole, PLAIN_DPO).step(PREFERENCES).metrics
        assert metrics["loss"] == pytest.approx(math.log(2))
        assert metrics["rewards/chosen"] == metrics["rewards/rejected"] == 0

    def test_learning_changes_every_weight_of_the_policy_and_none_of_the_reference(
        self, whole: Policy
    ) -> None:
        first = weights(whole)
        before = whole.reference_logprobs(PROMPTS, RESPONSES)
        learner = CoactiveLearner(whole, PLAIN_DPO)
        losses = [learner.step(PREFERENCES).metrics["loss"] for _ in range(5)]
        assert losses == sorted(losses, reverse=True)
        for name, weight in weights(whole).items():
            assert not torch.equal(weight, first[name]), name
        with whole.as_reference():
            found = {name: p.detach() for name, p in whole.base.weights()}
        assert same(found, first)
        assert torch.equal(whole.reference_logprobs(PROMPTS, RESPONSES), before)

    def test_its_own_weights_are_those_of_the_folder(
        self, whole: Policy, any_model_folder: Path
    ) -> None:
        loaded: Any = AutoModelForCausalLM.from_pretrained(any_model_folder)
        assert same(weights(whole), {name: p.detach() for name, p in loaded.named_parameters()})
        assert not is_fused(whole.base.model)


def plain_loss(policy: Policy) -> Tensor:
    """DPO by the logits of `transformers`, one unpadded row a response, in plain autograd."""

    def logprob(ids: tuple[int, ...], prompt: tuple[int, ...]) -> Tensor:
        logits = policy.base.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
        predicted: Tensor = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return predicted.gather(-1, torch.tensor(ids)[:, None]).sum()

    pairs = [encode_pair(policy, preference) for preference in PREFERENCES]
    prompts = [policy.codec.encode_prompt(pair.preference.prompt) for pair in pairs]

    def sides() -> tuple[Tensor, Tensor]:
        both = list(zip(pairs, prompts, strict=True))
        return (
            torch.stack([logprob(pair.chosen_ids, prompt) for pair, prompt in both]),
            torch.stack([logprob(pair.rejected_ids, prompt) for pair, prompt in both]),
        )

    with policy.as_reference():
        reference = sides()
    return dpo_loss(*sides(), *reference, beta=PLAIN_DPO.beta, loss_type="sigmoid")[0]


def gradient_by_autograd(policy: Policy) -> dict[str, Tensor]:
    parameters = policy.trainable_parameters()
    grads = torch.autograd.grad(plain_loss(policy), list(parameters.values()))
    return dict(zip(parameters, grads, strict=True))


class TestGradient:
    @pytest.mark.parametrize("max_tokens", [1, 10**9])
    def test_it_is_that_of_plain_autograd_in_every_weight(
        self, whole: Policy, max_tokens: int
    ) -> None:
        perturb(whole)
        expected = gradient_by_autograd(whole)
        pairs = [encode_pair(whole, preference) for preference in PREFERENCES]
        accumulate_gradient(whole, pairs, Objective.of(PLAIN_DPO), max_tokens)
        for name, parameter in whole.trainable_parameters().items():
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)

    def test_an_output_layer_of_its_own_and_biases_learn_too(self, tmp_path: Path) -> None:
        tokenizer = build_tokenizer(chat=False)
        build_qwen2(len(tokenizer)).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        policy = Policy.load(tmp_path, trains="all")
        assert {"lm_head.weight", "model.layers.0.self_attn.q_proj.bias"} <= set(weights(policy))
        perturb(policy)
        expected = gradient_by_autograd(policy)
        pairs = [encode_pair(policy, preference) for preference in PREFERENCES]
        accumulate_gradient(policy, pairs, Objective.of(PLAIN_DPO), 10**9)
        for name, parameter in policy.trainable_parameters().items():
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)

    def test_a_step_of_adam_is_that_of_torch(self, whole: Policy) -> None:
        perturb(whole)
        first, gradient = weights(whole), gradient_by_autograd(whole)
        CoactiveLearner(whole, PLAIN_DPO.with_settings(max_grad_norm=1e9)).step(PREFERENCES)
        for name, weight in weights(whole).items():
            step = gradient[name] / (gradient[name].abs() + 1e-8)  # Adam's first, bias-corrected
            large = gradient[name].abs() > 1e-5
            expected = first[name] - PLAIN_DPO.learning_rate * step
            torch.testing.assert_close(weight[large], expected[large], rtol=0, atol=2e-6)

    def test_only_its_own_copy_has_gradients(self, whole: Policy) -> None:
        pairs = [encode_pair(whole, preference) for preference in PREFERENCES]
        accumulate_gradient(whole, pairs, Objective.of(PLAIN_DPO), 10**9)
        with whole.as_reference():
            assert all(p.grad is None for p in whole.base.model.parameters())


class TestScoresAndSamples:
    def test_a_score_is_transformers_own(self, whole: Policy) -> None:
        perturb(whole)
        for prompt, response, score in zip(
            PROMPTS, RESPONSES, whole.logprobs(PROMPTS, RESPONSES), strict=True
        ):
            ids = whole.codec.encode_response(response).token_ids
            prompt_ids = whole.codec.encode_prompt(prompt)
            expected = logprob_by_transformers(whole.base.model, prompt_ids, ids)
            assert float(score) == pytest.approx(expected, abs=1e-4)

    def test_it_scores_as_a_policy_with_an_adapter_does(
        self, whole_llama: Policy, policy: Policy
    ) -> None:
        torch.testing.assert_close(
            whole_llama.logprobs(PROMPTS, RESPONSES), policy.logprobs(PROMPTS, RESPONSES)
        )

    def test_a_samples_logprob_is_its_score(self, whole: Policy) -> None:
        whole.sample(PROMPTS, max_new_tokens=3)  # what decoding keeps must follow the weights
        perturb(whole)
        rows = whole.sample(PROMPTS, num_samples=2, max_new_tokens=8, seed=1)
        pairs = [(p, s) for p, row in zip(PROMPTS, rows, strict=True) for s in row]
        scores = whole.logprobs([p for p, _ in pairs], [s for _, s in pairs])
        drawn = torch.tensor([s.logprob for _, s in pairs])
        torch.testing.assert_close(drawn, scores, rtol=0, atol=1e-4)

    def test_within_the_reference_it_samples_and_rewards_as_before(self, whole: Policy) -> None:
        before = whole.sample(PROMPTS, max_new_tokens=8)
        perturb(whole, scale=0.3)
        assert whole.sample(PROMPTS, max_new_tokens=8) != before
        with whole.as_reference():
            assert whole.sample(PROMPTS, max_new_tokens=8) == before
        rewards = whole.implicit_rewards(PROMPTS, RESPONSES, beta=0.5)
        torch.testing.assert_close(rewards, 0.5 * log_ratios(whole))

    def test_rows_are_shared(self, whole: Policy) -> None:
        assert whole._network.takes_trees
        assert whole.shares_prefixes

    def test_its_working_set_is_that_of_all_weights(self, whole_llama: Policy) -> None:
        size = sum(4 * p.numel() for p in whole_llama.trainable_parameters().values()) / 2**30
        needs = whole_llama.working_set()
        assert needs.weights == pytest.approx(size)
        assert needs.adapter == pytest.approx(size)
        assert needs.optimiser == pytest.approx(3 * size)
        assert needs.copies == 0


class TestFolders:
    def test_what_is_saved_is_a_folder_of_transformers(self, whole: Policy, tmp_path: Path) -> None:
        perturb(whole)
        whole.save(tmp_path / "saved")
        model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
        tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "saved")
        assert model.dtype == torch.float32
        assert same(weights(whole), {name: p.detach() for name, p in model.named_parameters()})
        assert tokenizer("Dear Anna")["input_ids"] == whole.tokenizer("Dear Anna")["input_ids"]

    def test_it_goes_on_from_there(
        self, whole: Policy, any_model_folder: Path, tmp_path: Path
    ) -> None:
        perturb(whole)
        whole.save(tmp_path / "saved")
        again = Policy.load(any_model_folder, adapter=tmp_path / "saved")
        assert same(weights(again), weights(whole))
        assert torch.equal(log_ratios(again), log_ratios(whole))
        perturb(whole, seed=1)
        whole.restore(tmp_path / "saved")
        assert same(weights(again), weights(whole))

    def test_what_was_saved_can_be_a_base_itself(self, whole: Policy, tmp_path: Path) -> None:
        perturb(whole)
        whole.save(tmp_path / "saved")
        base = Policy.load(tmp_path / "saved", trains="all")
        assert log_ratios(base).tolist() == [0.0, 0.0, 0.0]
        expected = whole.logprobs(PROMPTS, RESPONSES)
        assert torch.equal(base.reference_logprobs(PROMPTS, RESPONSES), expected)

    def test_a_resumed_learner_equals_one_that_was_never_interrupted(
        self, whole: Policy, tmp_path: Path
    ) -> None:
        learner = CoactiveLearner(whole, PLAIN_DPO)
        learner.step(PREFERENCES)
        learner.save(tmp_path)
        resumed = CoactiveLearner.load(tmp_path)
        assert resumed.policy.reference_name == "base"
        for one in (learner, resumed):
            one.step(PREFERENCES[:2])
        assert same(weights(resumed.policy), weights(whole))
        assert torch.equal(log_ratios(resumed.policy), log_ratios(whole))
        assert resumed.draft("Hello.") == learner.draft("Hello.")

    def test_a_copy_of_another_model_is_refused(self, whole_llama: Policy, tmp_path: Path) -> None:
        stranger = build_llama(len(whole_llama.tokenizer), seed=1)
        stranger.save_pretrained(tmp_path / "stranger")
        whole_llama.tokenizer.save_pretrained(tmp_path / "stranger")
        other = Policy.load(tmp_path / "stranger", trains="all")
        other.save(tmp_path / "copy")
        with pytest.raises(AdapterError, match="not the same model"):
            whole_llama.restore(tmp_path / "copy")
        build_llama(60).save_pretrained(tmp_path / "stranger")
        with pytest.raises(AdapterError, match=r"is no copy of .*embed_tokens.*\(60, 32\)"):
            whole_llama.restore(tmp_path / "stranger")

    def test_the_base_is_the_one_that_an_adapter_would_name(
        self, whole_llama: Policy, policy: Policy, tmp_path: Path
    ) -> None:
        perturb(whole_llama)
        for name, one in (("whole", whole_llama), ("adapter", policy)):
            one.save(tmp_path / name)
        files = [(tmp_path / name / "corll_base.json").read_text() for name in ("whole", "adapter")]
        assert files[0] == files[1]

    def test_the_reference_is_not_overwritten(self, whole: Policy, any_model_folder: Path) -> None:
        with pytest.raises(AdapterError, match="another folder"):
            whole.save(any_model_folder)

    def test_an_adapter_is_no_copy_and_a_copy_no_adapter(
        self, whole_llama: Policy, policy: Policy, tmp_path: Path
    ) -> None:
        policy.save(tmp_path / "adapter")
        whole_llama.save(tmp_path / "whole")
        with pytest.raises(AdapterError, match="no whole model"):
            whole_llama.restore(tmp_path / "adapter")
        with pytest.raises(AdapterError, match="not a LoRA adapter's folder"):
            policy.restore(tmp_path / "whole")


class TestFurtherCopies:
    """The analogue of a further adapter: an expert, say, on the same π_0."""

    def test_each_has_weights_of_its_own(self, whole: Policy, tmp_path: Path) -> None:
        perturb(whole, seed=1)
        expert = whole.with_adapter()
        assert log_ratios(expert).tolist() == [0.0, 0.0, 0.0]
        perturb(expert, seed=2)
        before = whole.logprobs(PROMPTS, RESPONSES), whole.reference_logprobs(PROMPTS, RESPONSES)
        CoactiveLearner(expert, PLAIN_DPO).step(PREFERENCES)
        assert torch.equal(whole.logprobs(PROMPTS, RESPONSES), before[0])
        assert torch.equal(expert.reference_logprobs(PROMPTS, RESPONSES), before[1])
        expert.save(tmp_path / "expert")
        again = whole.with_adapter(tmp_path / "expert")
        assert torch.equal(log_ratios(again), log_ratios(expert))
        with expert.as_reference():
            assert torch.equal(whole.logprobs(PROMPTS, RESPONSES), before[0])

    def test_an_unloaded_one_is_gone(self, whole: Policy) -> None:
        other = whole.with_adapter()
        expected = whole.logprobs(PROMPTS, RESPONSES)
        other.sample(PROMPTS, 1, 4)
        other.unload()
        assert other.trainable_parameters() == {}
        assert torch.equal(whole.logprobs(PROMPTS, RESPONSES), expected)
        with pytest.raises(AdapterError, match="unloaded"):
            other.sample(PROMPTS, 1, 4)
        with pytest.raises(AdapterError, match="stays as long"):
            whole.unload()


class TestSettings:
    def test_only_float32_learns(self, any_model_folder: Path) -> None:
        with pytest.raises(ConfigError, match=r"float32 only, not in torch\.bfloat16"):
            Policy.load(any_model_folder, trains="all", dtype="bfloat16")

    def test_there_is_no_adapter_to_shape(
        self, whole_llama: Policy, tiny_model_folder: Path
    ) -> None:
        assert whole_llama.lora.lora_target_modules == ()
        with pytest.raises(ConfigError, match="leave it out"):
            Policy.load(tiny_model_folder, trains="all", lora=LoraConfig())
        with pytest.raises(ConfigError, match="leave it out"):
            whole_llama.with_adapter(lora=LoraConfig())

    def test_the_reference_is_the_model_that_is_named(
        self, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match="load the model that shall be its reference"):
            Policy.load(tiny_model_folder, trains="all", reference=tmp_path)

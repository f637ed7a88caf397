"""The policy: it samples and scores, and its adapter is saved, loaded and shared out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from corll.config import CoactiveConfig, LoraConfig, SamplingConfig
from corll.errors import AdapterError, InputError, PromptTooLongError
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Preference, Prompt, Sample
from scored_texts import PROMPTS, RESPONSES, log_ratios
from tiny_models import DEVICE, perturb_adapter, plain_logprob


def base_weights(policy: Policy) -> dict[str, Tensor]:
    named = policy.base.model.named_parameters()
    return {name: p.detach().clone() for name, p in named if "lora_" not in name}


class TestScores:
    def test_a_score_is_transformers_own(self, any_policy: Policy) -> None:
        perturb_adapter(any_policy)
        scores = any_policy.logprobs(PROMPTS, RESPONSES)
        codec = any_policy.codec
        for prompt, response, score in zip(PROMPTS, RESPONSES, scores, strict=True):
            ids = codec.encode_response(response).token_ids
            expected = plain_logprob(any_policy.base, codec.encode_prompt(prompt), ids)
            assert float(score) == pytest.approx(expected, abs=1e-4)

    def test_a_string_is_a_finished_text(self, policy: Policy) -> None:
        ids = tuple(policy.tokenizer("Yes", add_special_tokens=False)["input_ids"])
        finished = Sample("Yes", (*ids, policy.codec.end_ids[0]), None, finished=True)
        cut = Sample("Yes", ids, None, finished=False)
        text, same, shorter = policy.logprobs(["Coming?"] * 3, ["Yes", finished, cut])
        assert text == same
        assert shorter > text

    def test_order_and_company_change_nothing(self, any_policy: Policy) -> None:
        perturb_adapter(any_policy)
        together = any_policy.logprobs(PROMPTS, RESPONSES)
        backwards = any_policy.logprobs(PROMPTS[::-1], RESPONSES[::-1]).flip(0)
        alone = torch.cat(
            [any_policy.logprobs([p], [r]) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
        )
        torch.testing.assert_close(together, backwards, rtol=0, atol=1e-4)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)

    def test_passes_of_bounded_size_change_nothing(
        self, policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = policy.logprobs(PROMPTS, RESPONSES)
        monkeypatch.setattr("corll.model.adapted_model._SCORED_TOKENS", 1)
        apart = policy.logprobs(PROMPTS, RESPONSES)
        torch.testing.assert_close(together, apart, rtol=0, atol=1e-4)

    def test_scores_do_not_hang_on_passes_going_side_by_side(
        self, policy: Policy, two_threads: None
    ) -> None:
        perturb_adapter(policy)
        prompts = [f"Prompt {number}." for number in range(5)]
        responses = [" Dear Anna,", " Hello.", " Dear", " Yes, I do.", " No."]
        found = policy.both_logprobs(prompts, responses)
        torch.set_num_threads(1)
        for side, expected in zip(found, policy.both_logprobs(prompts, responses), strict=True):
            torch.testing.assert_close(side, expected, rtol=1e-5, atol=1e-5)

    def test_nothing_to_score_gives_nothing(self, policy: Policy) -> None:
        assert policy.logprobs([], []).shape == (0,)

    def test_prompts_and_responses_come_in_pairs(self, policy: Policy) -> None:
        with pytest.raises(InputError, match="2 prompts but 1 responses"):
            policy.logprobs(["One?", "Two?"], ["One."])

    def test_a_pair_must_fit_the_context(self, policy: Policy) -> None:
        with pytest.raises(InputError, match="holds 512 in all"):
            policy.logprobs(["Coming?"], ["no " * 600])


class TestSamples:
    def test_a_samples_logprob_is_its_score(self, any_policy: Policy) -> None:
        perturb_adapter(any_policy)
        rows = any_policy.sample(PROMPTS, num_samples=3, max_new_tokens=10, seed=1)
        assert [len(row) for row in rows] == [3, 3, 3]
        pairs = [(p, s) for p, row in zip(PROMPTS, rows, strict=True) for s in row]
        scores = any_policy.logprobs([p for p, _ in pairs], [s for _, s in pairs])
        drawn = torch.tensor([s.logprob for _, s in pairs])
        torch.testing.assert_close(drawn, scores, rtol=0, atol=1e-4)

    def test_a_sample_reads_as_its_ids(self, any_policy: Policy) -> None:
        for row in any_policy.sample(PROMPTS, num_samples=2, max_new_tokens=10):
            for sample in row:
                assert sample.text == any_policy.codec.decode(sample.token_ids)
                assert sample.finished == (sample.token_ids[-1] in any_policy.codec.end_ids)

    def test_one_seed_gives_one_answer_to_a_prompt(self, policy: Policy) -> None:
        first, other, again = policy.sample(PROMPTS, num_samples=2, max_new_tokens=8)
        assert first == again
        assert first != other
        (reseeded,) = policy.sample(PROMPTS[:1], num_samples=2, max_new_tokens=8, seed=1)
        assert {s.token_ids for s in reseeded}.isdisjoint(s.token_ids for s in first)

    def test_a_seed_may_be_given_for_each_prompt(self, policy: Policy) -> None:
        rows = policy.sample(PROMPTS[:1] * 2, max_new_tokens=8, seed=[0, 1])
        assert rows[0] != rows[1]
        assert [s.token_ids for s in rows[1]] == [
            s.token_ids for s in policy.sample(PROMPTS[:1], max_new_tokens=8, seed=1)[0]
        ]

    def test_the_policy_is_what_is_sampled(self, policy: Policy) -> None:
        sampling = SamplingConfig(top_k=0)
        before = policy.sample(PROMPTS, max_new_tokens=10, sampling=sampling)
        perturb_adapter(policy, scale=0.3)
        after = policy.sample(PROMPTS, max_new_tokens=10, sampling=sampling)
        assert [s.token_ids for (s,) in before] != [s.token_ids for (s,) in after]
        with policy.as_reference():
            assert policy.sample(PROMPTS, max_new_tokens=10, sampling=sampling) == before

    def test_no_prompts_give_no_samples(self, policy: Policy) -> None:
        assert policy.sample([]) == []

    @pytest.mark.parametrize(
        "single",
        [
            "Coming?",
            [{"role": "user", "content": "Coming?"}],
            {"messages": [{"role": "user", "content": "Coming?"}], "chat_template_kwargs": {}},
        ],
    )
    def test_a_single_prompt_is_not_a_list(self, policy: Policy, single: Any) -> None:
        with pytest.raises(InputError, match="list of one"):
            policy.sample(single)
        with pytest.raises(InputError, match="list of one"):
            policy.logprobs(single, ["Yes."])

    def test_a_conversation_with_what_its_template_is_told_is_one_prompt(
        self, policy: Policy
    ) -> None:
        talk = [{"role": "user", "content": "Coming?"}]
        prompts: list[Prompt] = [talk, {"messages": talk, "chat_template_kwargs": {"style": 1}}]
        plain, told = policy.sample(prompts, max_new_tokens=4, seed=1)
        assert plain == told  # this template asks for nothing

    def test_a_limit_on_prompts_holds(self, policy: Policy) -> None:
        with pytest.raises(PromptTooLongError, match="max_prompt_length=2"):
            policy.sample(PROMPTS, max_prompt_length=2)

    def test_a_response_must_have_room(self, policy: Policy) -> None:
        with pytest.raises(PromptTooLongError, match="maximum context length is 512"):
            policy.sample(PROMPTS, max_new_tokens=512)


class TestAdapter:
    def test_a_saved_policy_scores_the_same(
        self, any_policy: Policy, any_model_folder: Path, tmp_path: Path
    ) -> None:
        perturb_adapter(any_policy)
        any_policy.save(tmp_path)
        again = Policy.load(any_model_folder, dtype="float32", adapter=tmp_path)
        expected = any_policy.logprobs(PROMPTS, RESPONSES)
        assert torch.equal(again.logprobs(PROMPTS, RESPONSES), expected)

    def test_the_base_never_learns(self, any_policy: Policy) -> None:
        before = base_weights(any_policy)
        perturb_adapter(any_policy)
        any_policy.sample(PROMPTS, max_new_tokens=3)
        any_policy.implicit_rewards(PROMPTS, RESPONSES)
        after = base_weights(any_policy)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        named = any_policy.base.model.named_parameters()
        assert all("lora_" in name for name, p in named if p.requires_grad)

    def test_with_dropout_every_response_has_a_row_of_its_own(
        self, tiny_model_folder: Path
    ) -> None:
        lora = LoraConfig(lora_dropout=0.1)
        dropping = Policy.load(tiny_model_folder, dtype="float32", lora=lora)
        assert dropping._network.takes_trees
        assert not dropping.shares_prefixes
        # Dropout is for learning alone: a score is the same twice.
        perturb_adapter(dropping)
        first = dropping.logprobs(PROMPTS, RESPONSES)
        assert torch.equal(first, dropping.logprobs(PROMPTS, RESPONSES))

    def test_without_dropout_rows_are_shared(self, policy: Policy) -> None:
        assert policy.shares_prefixes

    def test_a_policy_knows_its_base(self, policy: Policy, tiny_model_folder: Path) -> None:
        assert policy.name == str(tiny_model_folder)
        assert policy.folder == tiny_model_folder
        assert (policy.device.type, policy.dtype) == (DEVICE.type, torch.float32)
        assert policy.tokenizer is policy.base.tokenizer

    def test_a_template_can_be_left_out(self, tiny_model_folder: Path) -> None:
        plain = Policy.load(tiny_model_folder, dtype="float32", chat_template=False)
        assert plain.codec.render("Coming?") == "Coming?"


class TestWithAdapter:
    """Policies of several users on one base."""

    @pytest.fixture
    def two(self, any_policy: Policy) -> tuple[Policy, Policy]:
        other = any_policy.with_adapter()
        perturb_adapter(any_policy, seed=1)
        perturb_adapter(other, seed=2)
        return any_policy, other

    def test_a_new_one_starts_at_the_reference(self, any_policy: Policy) -> None:
        perturb_adapter(any_policy)
        other = any_policy.with_adapter()
        assert torch.equal(log_ratios(other), torch.zeros(len(PROMPTS)))
        assert (log_ratios(any_policy).abs() > 1e-3).all()

    def test_it_is_the_one_that_a_fresh_policy_would_have(
        self, policy: Policy, tiny_model_folder: Path
    ) -> None:
        fresh = Policy.load(tiny_model_folder, dtype="float32", lora=LoraConfig(lora_r=2))
        other = policy.with_adapter(lora=LoraConfig(lora_r=2))
        assert other.lora == fresh.lora
        for name, parameter in fresh.trainable_parameters().items():
            assert torch.equal(parameter, other.trainable_parameters()[name])

    def test_each_scores_and_drafts_with_its_own(
        self, two: tuple[Policy, Policy], tmp_path: Path
    ) -> None:
        for number, one in enumerate(two):
            one.save(tmp_path / str(number))
            alone = Policy.load(one.folder, dtype="float32", adapter=tmp_path / str(number))
            assert torch.equal(one.logprobs(PROMPTS, RESPONSES), alone.logprobs(PROMPTS, RESPONSES))
            assert torch.equal(log_ratios(one), log_ratios(alone))
            assert one.sample(PROMPTS, 2, 8) == alone.sample(PROMPTS, 2, 8)

    def test_one_from_a_folder_is_the_one_that_was_saved(
        self, two: tuple[Policy, Policy], tmp_path: Path
    ) -> None:
        first, second = two
        second.save(tmp_path / "second")
        again = first.with_adapter(tmp_path / "second")
        assert torch.equal(again.logprobs(PROMPTS, RESPONSES), second.logprobs(PROMPTS, RESPONSES))
        again.save(tmp_path / "again")
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            assert (tmp_path / "again" / file).read_bytes() == (
                tmp_path / "second" / file
            ).read_bytes()

    def test_a_step_of_one_leaves_the_other_alone(self, two: tuple[Policy, Policy]) -> None:
        first, second = two
        preference = Preference("Say hello.", chosen="Good day.", rejected="Hey!")
        config = CoactiveConfig(learning_rate=1e-2)
        before = [policy.logprobs(PROMPTS, RESPONSES) for policy in two]
        learner = CoactiveLearner(second, config)
        first.sample(PROMPTS, 1, 4)  # the base has the other adapter on when the step begins
        learner.step([preference])
        assert torch.equal(first.logprobs(PROMPTS, RESPONSES), before[0])
        assert not torch.equal(second.logprobs(PROMPTS, RESPONSES), before[1])

    def test_within_the_reference_the_other_still_has_its_own(
        self, two: tuple[Policy, Policy]
    ) -> None:
        first, second = two
        expected = second.logprobs(PROMPTS, RESPONSES)
        reference = first.reference_logprobs(PROMPTS, RESPONSES)
        with first.as_reference():
            assert torch.equal(second.logprobs(PROMPTS, RESPONSES), expected)
            assert torch.equal(first.logprobs(PROMPTS, RESPONSES), reference)

    def test_each_can_have_a_reference_of_its_own(
        self, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        alone = []
        for number in range(2):
            made = Policy.load(tiny_model_folder, dtype="float32")
            perturb_adapter(made, seed=number)
            made.save(tmp_path / str(number))
            alone.append(
                Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / str(number))
            )
        base = Policy.load(tiny_model_folder, dtype="float32")
        together = [base.with_adapter(reference=tmp_path / str(number)) for number in range(2)]
        again = base.with_adapter(reference=tmp_path / "1")
        for own, expected in zip([*together, again], [*alone, alone[1]], strict=True):
            assert own.reference_name == expected.reference_name != "base"
            assert torch.equal(log_ratios(own), torch.zeros(len(PROMPTS)))  # starts as a copy
            scores = own.reference_logprobs(PROMPTS, RESPONSES)
            assert torch.allclose(scores, expected.reference_logprobs(PROMPTS, RESPONSES))
            frozen = base.adapters.reference_of(own.adapter)
            assert frozen is not None
            assert not any(p.requires_grad for p in base.adapters.parameters(frozen).values())
            assert all(p.requires_grad for p in own.trainable_parameters().values())
        own, other = together
        perturb_adapter(own, seed=7)
        assert torch.equal(log_ratios(other), torch.zeros(len(PROMPTS)))
        assert base.reference_name == "base"

    def test_an_unloaded_one_is_gone(self, two: tuple[Policy, Policy]) -> None:
        first, second = two
        expected = first.logprobs(PROMPTS, RESPONSES)
        second.sample(PROMPTS, 1, 4)
        second.unload()
        assert second.trainable_parameters() == {}
        assert torch.equal(first.logprobs(PROMPTS, RESPONSES), expected)
        with pytest.raises(AdapterError, match="unloaded"):
            second.sample(PROMPTS, 1, 4)
        with pytest.raises(AdapterError, match="stays as long"):
            first.unload()

    def test_another_may_have_another_rank(self, policy: Policy, tmp_path: Path) -> None:
        narrow = policy.with_adapter(lora=LoraConfig(lora_r=2, lora_alpha=3))
        perturb_adapter(narrow)
        narrow.save(tmp_path / "narrow")
        again = policy.with_adapter(tmp_path / "narrow")
        assert torch.equal(again.logprobs(PROMPTS, RESPONSES), narrow.logprobs(PROMPTS, RESPONSES))

    def test_other_layers_are_refused(
        self, policy: Policy, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        few = LoraConfig(lora_target_modules=("q_proj",))
        with pytest.raises(AdapterError, match="layers of the first"):
            policy.with_adapter(lora=few)
        narrow = Policy.load(tiny_model_folder, dtype="float32", lora=few)
        policy.save(tmp_path / "wide")
        with pytest.raises(AdapterError, match="first adapter of this one is not on"):
            narrow.with_adapter(tmp_path / "wide")

    def test_one_on_fewer_layers_is_taken_from_its_folder(
        self, policy: Policy, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        few = LoraConfig(lora_target_modules=("q_proj", "down_proj"))
        narrow = Policy.load(tiny_model_folder, dtype="float32", lora=few)
        perturb_adapter(narrow)
        narrow.save(tmp_path / "narrow")
        again = policy.with_adapter(tmp_path / "narrow")
        torch.testing.assert_close(
            again.logprobs(PROMPTS, RESPONSES), narrow.logprobs(PROMPTS, RESPONSES)
        )

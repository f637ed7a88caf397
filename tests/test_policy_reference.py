"""π_0: the policy is its reference before it learned, and the reference stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from corll.config import LoraConfig
from corll.policy import Policy
from scored_texts import PROMPTS, RESPONSES, log_ratios
from tiny_models import perturb_adapter


@pytest.fixture
def saved(policy: Policy, tmp_path: Path) -> Path:
    perturb_adapter(policy, seed=7)
    policy.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def referenced(tiny_model_folder: Path, saved: Path) -> Policy:
    """A policy whose π_0 is a frozen adapter, of which it is a copy."""
    return Policy.load(tiny_model_folder, dtype="float32", reference=saved)


class TestReference:
    def test_against_the_base_the_log_ratios_start_at_exactly_0(self, any_policy: Policy) -> None:
        assert any_policy.reference_name == "base"
        assert log_ratios(any_policy).tolist() == [0.0, 0.0, 0.0]
        perturb_adapter(any_policy)
        assert (log_ratios(any_policy).abs() > 1e-3).all()

    def test_against_a_frozen_adapter_they_do_too(self, referenced: Policy, policy: Policy) -> None:
        assert log_ratios(referenced).tolist() == [0.0, 0.0, 0.0]
        before = referenced.reference_logprobs(PROMPTS, RESPONSES)
        torch.testing.assert_close(before, policy.logprobs(PROMPTS, RESPONSES))
        assert not torch.allclose(before, policy.reference_logprobs(PROMPTS, RESPONSES))
        perturb_adapter(referenced)
        assert (log_ratios(referenced).abs() > 1e-3).all()
        assert torch.equal(referenced.reference_logprobs(PROMPTS, RESPONSES), before)

    def test_an_adapter_may_go_on_from_another_reference(
        self, tiny_model_folder: Path, saved: Path, referenced: Policy, tmp_path: Path
    ) -> None:
        perturb_adapter(referenced)
        referenced.save(tmp_path / "later")
        resumed = Policy.load(
            tiny_model_folder, dtype="float32", adapter=tmp_path / "later", reference=saved
        )
        assert resumed.reference_name == referenced.reference_name
        assert torch.equal(log_ratios(resumed), log_ratios(referenced))

    def test_a_reference_may_be_on_other_layers_than_the_policy(
        self, tiny_model_folder: Path, saved: Path, referenced: Policy, tmp_path: Path
    ) -> None:
        few = LoraConfig(lora_target_modules=("q_proj",))
        narrow = Policy.load(tiny_model_folder, dtype="float32", lora=few)
        perturb_adapter(narrow)
        narrow.save(tmp_path / "narrow")
        both = Policy.load(
            tiny_model_folder, dtype="float32", adapter=tmp_path / "narrow", reference=saved
        )
        scores = narrow.logprobs(PROMPTS, RESPONSES)
        torch.testing.assert_close(both.logprobs(PROMPTS, RESPONSES), scores)
        torch.testing.assert_close(
            both.reference_logprobs(PROMPTS, RESPONSES),
            referenced.reference_logprobs(PROMPTS, RESPONSES),
        )

    @pytest.mark.parametrize("name", ["policy", "referenced"])
    def test_the_policy_comes_back_as_it_was(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        policy: Policy = request.getfixturevalue(name)
        perturb_adapter(policy, seed=3)
        before = policy.logprobs(PROMPTS, RESPONSES)
        with policy.as_reference():
            assert not torch.is_grad_enabled()
        with pytest.raises(RuntimeError, match="broken"), policy.as_reference():
            raise RuntimeError("broken")
        assert torch.is_grad_enabled()
        assert torch.equal(policy.logprobs(PROMPTS, RESPONSES), before)
        learned = policy.trainable_parameters()
        assert {id(p) for p in policy.base.model.parameters() if p.requires_grad} == {
            id(p) for p in learned.values()
        }

    def test_a_reference_can_be_saved_and_loaded(
        self, tiny_model_folder: Path, referenced: Policy, tmp_path: Path
    ) -> None:
        perturb_adapter(referenced)
        referenced.save_reference(tmp_path / "reference")
        again = Policy.load(tiny_model_folder, dtype="float32", reference=tmp_path / "reference")
        assert again.reference_name == referenced.reference_name
        expected = referenced.reference_logprobs(PROMPTS, RESPONSES)
        assert torch.equal(again.reference_logprobs(PROMPTS, RESPONSES), expected)

    def test_implicit_rewards_are_scaled_log_ratios(self, any_policy: Policy) -> None:
        rewards = any_policy.implicit_rewards(PROMPTS, RESPONSES)
        assert rewards.tolist() == [0.0, 0.0, 0.0]
        perturb_adapter(any_policy)
        rewards = any_policy.implicit_rewards(PROMPTS, RESPONSES, beta=0.5)
        torch.testing.assert_close(rewards, 0.5 * log_ratios(any_policy))

    def test_a_frozen_reference_is_shared(self, referenced: Policy) -> None:
        other = referenced.with_adapter()
        perturb_adapter(other)
        assert other.reference_name == referenced.reference_name
        expected = referenced.reference_logprobs(PROMPTS, RESPONSES)
        assert torch.equal(other.reference_logprobs(PROMPTS, RESPONSES), expected)
        assert (log_ratios(other).abs() > 1e-3).all()

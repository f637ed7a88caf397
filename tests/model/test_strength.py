"""The strength of an adapter, folded into its weights, against PEFT's and the base's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from corll.errors import AdapterError, InputError
from corll.model import file_names
from corll.model.strength import STRENGTHS, fold, fold_in_place, scaled
from corll.policy import Policy
from peft_adapters import made_by_peft
from tiny_models import logits, perturb_adapter, weights

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys"),
]


def merged(base: Path, folder: Path) -> dict[str, Tensor]:
    """The base's weights with an adapter's added, in float64, by PEFT."""
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    model = peft.PeftModel.from_pretrained(plain, folder).double().merge_and_unload()
    return dict(model.state_dict())


def logits_of(policy: Policy) -> Tensor:
    with policy.active():
        return logits(policy.base.model)


def raw(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / file_names.ADAPTER_WEIGHTS)


KINDS: list[dict[str, Any]] = [
    {},
    {"use_rslora": True},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 99}},
]


@pytest.mark.parametrize("settings", KINDS)
class TestFold:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_without_strength_it_is_the_base_to_the_bit(
        self, tiny_model_folder: Path, tmp_path: Path, settings: dict[str, Any], dtype: str
    ) -> None:
        made = made_by_peft(tiny_model_folder, tmp_path / "made", **settings)
        fold(made, tmp_path / "none", 0.0)
        policy = Policy.load(tiny_model_folder, dtype=dtype, adapter=tmp_path / "none")
        with policy.as_reference():
            base = logits_of(policy)
        assert torch.equal(logits_of(policy), base)
        whole = policy.with_adapter(made)
        assert not torch.equal(logits_of(whole), base)

    def test_at_full_strength_it_is_unchanged(
        self, tiny_model_folder: Path, tmp_path: Path, settings: dict[str, Any]
    ) -> None:
        made = made_by_peft(tiny_model_folder, tmp_path / "made", **settings)
        fold(made, tmp_path / "all", 1.0)
        before, after = raw(made), raw(tmp_path / "all")
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    @pytest.mark.parametrize("strength", [one for one in STRENGTHS if one])
    def test_it_adds_so_much_of_what_was_added(
        self, tiny_model_folder: Path, tmp_path: Path, settings: dict[str, Any], strength: float
    ) -> None:
        made = made_by_peft(tiny_model_folder, tmp_path / "made", **settings)
        fold(made, tmp_path / "some", strength)
        plain = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float64)
        whole, some = merged(tiny_model_folder, made), merged(tiny_model_folder, tmp_path / "some")
        changed = 0
        for name, weight in plain.state_dict().items():
            changed += not torch.equal(whole[name], weight)
            torch.testing.assert_close(some[name] - weight, strength * (whole[name] - weight))
        assert changed


def test_the_folder_is_an_adapters_and_its_optimiser_is_left_behind(
    policy: Policy, tmp_path: Path
) -> None:
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    (tmp_path / "adapter" / file_names.OPTIMIZER).write_bytes(b"state")
    fold(tmp_path / "adapter", tmp_path / "half", 0.5)
    names = {path.name for path in (tmp_path / "half").iterdir()}
    assert names == {file_names.ADAPTER_CONFIG, file_names.ADAPTER_WEIGHTS, file_names.BASE}
    half = policy.with_adapter(tmp_path / "half")
    for name, weight in weights(half).items():
        whole = weights(policy)[name]
        assert torch.equal(weight, whole / 2 if "lora_B" in name else whole)


def test_an_adapter_in_use_is_folded_in_place(policy: Policy, tmp_path: Path) -> None:
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    fold(tmp_path / "adapter", tmp_path / "quarter", 0.25)
    fold_in_place(policy.trainable_parameters(), 0.25)
    assert torch.equal(logits_of(policy), logits_of(policy.with_adapter(tmp_path / "quarter")))
    fold_in_place(policy.trainable_parameters(), 0.0)
    with policy.as_reference():
        base = logits_of(policy)
    assert torch.equal(logits_of(policy), base)


def test_weights_that_are_not_finite_add_nothing_without_strength() -> None:
    found = scaled(
        {"a.lora_A.weight": torch.ones(1), "a.lora_B.weight": torch.tensor([torch.inf])}, 0
    )
    assert torch.equal(found["a.lora_B.weight"], torch.zeros(1))


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan")])
def test_a_strength_outside_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        scaled({"a.lora_A.weight": torch.ones(1), "a.lora_B.weight": torch.ones(1)}, strength)


@pytest.mark.parametrize(
    "name", ["q.lora_magnitude_vector", "q.vera_lambda_d", "base.lm_head.weight", "q.ia3_l"]
)
def test_what_is_not_linear_in_a_factor_is_refused(name: str) -> None:
    plain = {"q.lora_A.weight": torch.ones(1), "q.lora_B.weight": torch.ones(1)}
    with pytest.raises(AdapterError, match=f"holds {name}; only a plain LoRA"):
        scaled({**plain, name: torch.ones(1)}, 0.5)


def test_an_adapter_without_a_factor_is_refused() -> None:
    with pytest.raises(AdapterError, match="holds no lora_B"):
        scaled({"q.lora_A.weight": torch.ones(1)}, 0.5)


def test_dora_is_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    made = made_by_peft(tiny_model_folder, tmp_path / "made", use_dora=True)
    with pytest.raises(AdapterError, match="use_dora is True"):
        fold(made, tmp_path / "half", 0.5)
    assert not (tmp_path / "half").exists()


def test_incomplete_folders_are_refused(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "adapter")
    with pytest.raises(InputError, match="would be overwritten"):
        fold(tmp_path / "adapter", tmp_path / "adapter", 0.5)
    (tmp_path / "adapter" / file_names.ADAPTER_WEIGHTS).write_bytes(b"half of it")
    with pytest.raises(AdapterError, match="cannot be read"):
        fold(tmp_path / "adapter", tmp_path / "half", 0.5)
    with pytest.raises(AdapterError, match="is not a LoRA adapter's folder"):
        fold(tmp_path / "nowhere", tmp_path / "half", 0.5)

"""Adapters that PEFT made give PEFT's numbers: alone, beside another, and saved again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from packaging.version import Version
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from architectures import write
from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.policy import Policy
from peft_adapters import made_by_peft
from tiny_models import logits, perturb_adapter

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys"),
]


def logits_of(policy: Policy) -> Tensor:
    with policy.active():
        return logits(policy.base.model)


def made_and_loaded(base: Path, folder: Path, settings: dict[str, Any]) -> tuple[Path, Any]:
    """An adapter away from zero, and the model that PEFT loads it onto."""
    made_by_peft(base, folder, **settings)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return folder, peft.PeftModel.from_pretrained(plain, folder).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 99}},
        {"layers_to_transform": [1]},
        {"layers_to_transform": 0},
        {"layers_to_transform": [0], "layers_pattern": "layers"},
        {"target_modules": "all-linear", "exclude_modules": ["up_proj"]},
        {"target_modules": r".*\.1\..*proj"},
        {"init_lora_weights": "gaussian"},
    ],
    ids=str,
)
def test_their_numbers(tiny_model_folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder, theirs = made_and_loaded(tiny_model_folder, tmp_path / "theirs", settings)
    policy = Policy.load(tiny_model_folder, dtype="float32", adapter=folder)
    beside = policy.with_adapter(folder)
    with_theirs_as_reference = Policy.load(tiny_model_folder, dtype="float32", reference=folder)
    policy.save(tmp_path / "again")
    again = Policy.load(tiny_model_folder, dtype="float32", adapter=tmp_path / "again")
    for loaded in (policy, beside, with_theirs_as_reference, again):
        torch.testing.assert_close(logits_of(loaded), logits(theirs))
        assert loaded.trainable_parameters().keys() == policy.trainable_parameters().keys()
    fresh = policy.with_adapter()
    assert fresh.trainable_parameters().keys() == policy.trainable_parameters().keys()
    with fresh.active(), theirs.disable_adapter():
        torch.testing.assert_close(logits(fresh.base.model), logits(theirs))


def test_one_on_further_layers_is_refused_beside_another_and_leaves_it(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    first, _ = made_and_loaded(tiny_model_folder, tmp_path / "1", {"layers_to_transform": [1]})
    further, _ = made_and_loaded(tiny_model_folder, tmp_path / "2", {"use_rslora": True})
    policy = Policy.load(tiny_model_folder, dtype="float32", adapter=first)
    before = {name for name, _ in policy.base.model.named_parameters()}
    with pytest.raises(AdapterError, match="on layers that the first adapter of this one"):
        policy.with_adapter(further)
    assert {name for name, _ in policy.base.model.named_parameters()} == before


def test_one_on_the_experts_themselves(tmp_path: Path) -> None:
    """PEFT gives those a rank and a scaling of their own as it loads the adapter."""
    base = write("mixtral", tmp_path / "base")
    targets = ("q_proj", "w1", "w2", "w3")
    lora = LoraConfig(lora_target_modules=targets, lora_r=2)
    policy = Policy.load(base, dtype="float32", lora=lora)
    assert any(".experts." in name for name in policy.trainable_parameters())
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    again = Policy.load(base, dtype="float32", adapter=tmp_path / "adapter")
    torch.testing.assert_close(logits_of(again), logits_of(policy))
    if Version(peft.__version__) < Version("0.20"):  # takes one such adapter, and loads none
        return
    beside = policy.with_adapter(tmp_path / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    for loaded in (policy, beside):
        torch.testing.assert_close(logits_of(loaded), logits(theirs))


def test_targets_that_peft_refuses_are_an_error_of_ours(tmp_path: Path) -> None:
    base = write("mamba", tmp_path)
    with pytest.raises(AdapterError, match="out_proj"):
        Policy.load(base, lora=LoraConfig(lora_target_modules=("out_proj",)))


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("layer", ["embed_tokens", "lm_head"])
def test_an_adapter_on_embeddings_may_have_the_bases_beside_it(
    tiny_model_folder: Path, tmp_path: Path, layer: str
) -> None:
    """PEFT saves those too; what they hold is the base's, or the adapter is refused."""
    settings = {"target_modules": [layer, "q_proj"]}
    folder, theirs = made_and_loaded(tiny_model_folder, tmp_path / "theirs", settings)
    policy = Policy.load(tiny_model_folder, dtype="float32", adapter=folder)
    torch.testing.assert_close(logits_of(policy), logits(theirs))
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    copies = [name for name in weights if name.endswith(".base_layer.weight")]
    assert copies
    weights[copies[0]][3] += 1
    save_file(weights, path)
    with pytest.raises(AdapterError, match=rf"holds model.{layer}|holds {layer} itself"):
        Policy.load(tiny_model_folder, dtype="float32", adapter=folder)

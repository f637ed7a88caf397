"""The adapters on one base: created, saved as PEFT does, and never loaded onto another base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.model.adapters import POLICY, REFERENCE, AdapterSet, fingerprint
from corll.model.loading import load_model
from corll.policy import Policy
from tiny_models import build_llama, logits, perturb_adapter

# PEFT says these of its own doing, wherever a test calls it as a user of PEFT would.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
]


@pytest.fixture
def saved(policy: Policy, tmp_path: Path) -> Path:
    """An adapter away from zero, of the tiny Llama."""
    perturb_adapter(policy)
    policy.save(tmp_path / "adapter")
    return tmp_path / "adapter"


def other_base(folder: Path, tokenizer_of: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return folder


class TestCreate:
    def test_a_new_adapter_changes_nothing(self, any_model_folder: Path) -> None:
        base = load_model(any_model_folder, dtype="float32")
        before = logits(base.model)
        AdapterSet.create(base)
        assert torch.equal(logits(base.model), before)

    def test_its_shape_is_the_one_asked_for(self, tiny_model_folder: Path) -> None:
        base = load_model(tiny_model_folder, dtype="float32")
        lora = LoraConfig(lora_r=3, lora_alpha=12, lora_target_modules=("q_proj",))
        adapters = AdapterSet.create(base, lora=lora)
        shapes = {name: tuple(p.shape) for name, p in adapters.parameters(POLICY).items()}
        assert set(shapes.values()) == {(3, 32), (32, 3)}
        assert len(shapes) == 4
        assert all(".q_proj.lora_" in name for name in shapes)

    def test_its_start_hangs_on_its_seed_alone(self, tiny_model_folder: Path) -> None:
        def start(*, lora_seed: int, torch_seed: int) -> str:
            torch.manual_seed(torch_seed)
            base = load_model(tiny_model_folder, dtype="float32")
            adapters = AdapterSet.create(base, lora=LoraConfig(lora_seed=lora_seed))
            return fingerprint(adapters.parameters(POLICY))

        assert start(lora_seed=1, torch_seed=1) == start(lora_seed=1, torch_seed=2)
        assert start(lora_seed=1, torch_seed=1) != start(lora_seed=2, torch_seed=1)

    def test_it_leaves_the_callers_random_stream_alone(self, tiny_model_folder: Path) -> None:
        base = load_model(tiny_model_folder, dtype="float32")
        torch.manual_seed(5)
        AdapterSet.create(base)
        after = torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), after)

    def test_layers_that_are_not_there_are_named(self, tiny_model_folder: Path) -> None:
        base = load_model(tiny_model_folder, dtype="float32")
        with pytest.raises(AdapterError, match=r"does not fit .*no_such_layer"):
            AdapterSet.create(base, lora=LoraConfig(lora_target_modules=("no_such_layer",)))

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_it_learns_in_float32(self, tiny_model_folder: Path, dtype: str) -> None:
        base = load_model(tiny_model_folder, dtype=dtype)
        adapters = AdapterSet.create(base)
        assert {p.dtype for p in adapters.parameters(POLICY).values()} == {torch.float32}

    def test_only_the_policy_learns(self, saved: Path, tiny_model_folder: Path) -> None:
        base = load_model(tiny_model_folder, dtype="float32")
        adapters = AdapterSet.create(base, reference=saved)
        learning = {id(p) for p in adapters.model.parameters() if p.requires_grad}
        assert learning == {id(p) for p in adapters.parameters(POLICY).values()}
        assert adapters.parameters(REFERENCE)

    def test_a_policy_starts_as_a_copy_of_its_reference(
        self, saved: Path, tiny_model_folder: Path
    ) -> None:
        base = load_model(tiny_model_folder, dtype="float32")
        adapters = AdapterSet.create(base, reference=saved)
        assert adapters.reference_name == fingerprint(adapters.parameters(POLICY))
        first, second = (adapters.parameters(name) for name in (POLICY, REFERENCE))
        assert first.keys() == second.keys()
        assert not {id(p) for p in first.values()} & {id(p) for p in second.values()}


class TestFiles:
    def test_peft_reads_what_we_write(
        self, any_policy: Policy, any_model_folder: Path, tmp_path: Path
    ) -> None:
        perturb_adapter(any_policy)
        any_policy.save(tmp_path)
        plain = AutoModelForCausalLM.from_pretrained(any_model_folder, dtype=torch.float32).eval()
        without = logits(plain)
        theirs = peft.PeftModel.from_pretrained(plain, tmp_path).eval()
        torch.testing.assert_close(logits(theirs), logits(any_policy.base.model))
        assert not torch.allclose(logits(theirs), without)

    def test_we_read_what_peft_writes(self, any_model_folder: Path, tmp_path: Path) -> None:
        plain = AutoModelForCausalLM.from_pretrained(any_model_folder, dtype=torch.float32)
        config = peft.LoraConfig(
            r=3, lora_alpha=5, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        theirs = peft.get_peft_model(plain, config).eval()
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape))
        theirs.save_pretrained(tmp_path)
        ours = Policy.load(any_model_folder, dtype="float32", adapter=tmp_path)
        torch.testing.assert_close(logits(ours.base.model), logits(theirs))
        assert (ours.lora.lora_r, ours.lora.lora_alpha) == (3, 5)

    def test_a_folder_read_and_written_again_is_the_same(
        self, saved: Path, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        again = Policy.load(tiny_model_folder, dtype="float32", adapter=saved)
        again.save(tmp_path / "again")
        for file in saved.iterdir():
            assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name

    def test_files_say_which_base_they_belong_to(self, saved: Path, policy: Policy) -> None:
        about = json.loads((saved / "corll_base.json").read_text())
        assert about["base_model"]["fingerprint"] == policy.base.fingerprint
        assert about["reference"] == "base"

    def test_restoring_overwrites_the_weights(self, saved: Path, policy: Policy) -> None:
        wanted = logits(policy.base.model)
        perturb_adapter(policy, seed=1)
        assert not torch.equal(logits(policy.base.model), wanted)
        policy.restore(saved)
        assert torch.equal(logits(policy.base.model), wanted)


class TestOtherBases:
    def test_the_same_shapes_with_other_weights_are_refused(
        self, saved: Path, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        model = build_llama(
            AutoModelForCausalLM.from_pretrained(tiny_model_folder).vocab_size, seed=1
        )
        folder = other_base(tmp_path / "other", tiny_model_folder, model)
        with pytest.raises(AdapterError, match=rf"trained on {tiny_model_folder}, and {folder} is"):
            Policy.load(folder, dtype="float32", adapter=saved)
        with pytest.raises(AdapterError, match="not the same model"):
            Policy.load(folder, dtype="float32", reference=saved)
        with pytest.raises(AdapterError, match="not the same model"):
            Policy.load(folder, dtype="float32").restore(saved)

    def test_another_architecture_is_refused(self, saved: Path, tiny_gpt2_folder: Path) -> None:
        with pytest.raises(AdapterError, match="not the same model"):
            Policy.load(tiny_gpt2_folder, dtype="float32", adapter=saved)

    def test_without_our_file_the_shapes_are_compared(
        self, saved: Path, tiny_model_folder: Path, tiny_gpt2_folder: Path
    ) -> None:
        (saved / "corll_base.json").unlink()
        Policy.load(tiny_model_folder, dtype="float32", adapter=saved)
        with pytest.raises(AdapterError, match="does not fit"):
            Policy.load(tiny_gpt2_folder, dtype="float32", adapter=saved)
        narrower = Policy.load(tiny_model_folder, dtype="float32", lora=LoraConfig(lora_r=2))
        with pytest.raises(AdapterError, match=r"has shape \(8, 32\), not \(2, 32\)"):
            narrower.restore(saved)

    def test_the_same_base_in_another_dtype_is_the_same_base(
        self, saved: Path, tiny_model_folder: Path
    ) -> None:
        assert Policy.load(tiny_model_folder, dtype="bfloat16", adapter=saved).lora.lora_r == 8

    def test_an_adapter_is_not_part_of_its_base(self, tiny_model_folder: Path) -> None:
        before = load_model(tiny_model_folder, dtype="float32").fingerprint
        base = load_model(tiny_model_folder, dtype="float32")
        adapters = AdapterSet.create(base)
        with torch.no_grad():
            for parameter in adapters.parameters(POLICY).values():
                parameter.add_(1.0)
        assert base.fingerprint == before

    def test_fingerprints_tell_weights_apart(self, policy: Policy) -> None:
        before = fingerprint(policy.trainable_parameters())
        assert fingerprint(policy.trainable_parameters()) == before
        perturb_adapter(policy, scale=1e-6)
        assert fingerprint(policy.trainable_parameters()) != before


class TestDamage:
    def load(self, tiny_model_folder: Path, folder: Path) -> Policy:
        return Policy.load(tiny_model_folder, dtype="float32", adapter=folder)

    def test_a_folder_that_is_absent_is_named(
        self, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(AdapterError, match=r"no-such-folder is not a LoRA adapter's folder"):
            self.load(tiny_model_folder, tmp_path / "no-such-folder")

    @pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
    @pytest.mark.parametrize("content", [None, b"", b"torn", b"[]", b"\xff\xfe"])
    def test_a_file_that_is_missing_or_torn_is_named(
        self, saved: Path, tiny_model_folder: Path, file: str, content: bytes | None
    ) -> None:
        if content is None:
            (saved / file).unlink()
        else:
            (saved / file).write_bytes(content)
        with pytest.raises(AdapterError, match=file.replace(".", r"\.")):
            self.load(tiny_model_folder, saved)

    @pytest.mark.parametrize("change", [{"r": 0}, {"r": "many"}, {"target_modules": None}])
    def test_a_config_that_makes_no_sense_is_refused(
        self, saved: Path, tiny_model_folder: Path, change: dict[str, Any]
    ) -> None:
        path = saved / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(AdapterError, match=r"adapter_config\.json cannot be used"):
            self.load(tiny_model_folder, saved)

    @pytest.mark.parametrize("field", ["r", "lora_alpha", "target_modules"])
    def test_a_config_without_a_field_names_it(
        self, saved: Path, tiny_model_folder: Path, field: str
    ) -> None:
        path = saved / "adapter_config.json"
        fields = json.loads(path.read_text())
        del fields[field]
        path.write_text(json.dumps(fields))
        with pytest.raises(AdapterError, match=f"cannot be used \\('{field}'\\)"):
            self.load(tiny_model_folder, saved)

    def test_weights_that_lack_one_are_refused(self, saved: Path, tiny_model_folder: Path) -> None:
        path = saved / "adapter_model.safetensors"
        weights = load_file(path)
        del weights[next(iter(weights))]
        save_file(weights, path)
        with pytest.raises(AdapterError, match="has shape none, not"):
            self.load(tiny_model_folder, saved)

    @pytest.mark.parametrize(
        "change",
        [
            {"use_dora": True},
            {"lora_bias": True},
            {"bias": "all"},
            {"peft_type": "IA3"},
            {"init_lora_weights": "pissa"},
            {"init_lora_weights": "pissa_niter_4"},
            {"init_lora_weights": "olora"},
            {"alora_invocation_tokens": [7, 8]},
            {"modules_to_save": ["lm_head"]},
            {"trainable_token_indices": [3]},
            {"layer_replication": [[0, 2]]},
            {"a_field_of_tomorrow": True},
        ],
    )
    def test_an_adapter_of_another_kind_is_refused(
        self, saved: Path, tiny_model_folder: Path, change: dict[str, Any]
    ) -> None:
        """Read as plain LoRA, it would load and give other numbers."""
        path = saved / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(AdapterError, match=next(iter(change))):
            self.load(tiny_model_folder, saved)

    def test_what_a_kind_is_turned_into_is_said(self, saved: Path, tiny_model_folder: Path) -> None:
        path = saved / "adapter_config.json"
        fields = json.loads(path.read_text()) | {"init_lora_weights": "olora"}
        path.write_text(json.dumps(fields))
        with pytest.raises(AdapterError, match="path_initial_model_for_weight_conversion"):
            self.load(tiny_model_folder, saved)

    def test_a_failed_restore_leaves_the_weights(self, saved: Path, policy: Policy) -> None:
        perturb_adapter(policy, seed=1)
        before = fingerprint(policy.trainable_parameters())
        damaged = Path(shutil.copytree(saved, saved.parent / "damaged"))
        (damaged / "adapter_model.safetensors").write_bytes(b"torn")
        with pytest.raises(AdapterError):
            policy.restore(damaged)
        assert fingerprint(policy.trainable_parameters()) == before


class TestFrozenReferences:
    def test_one_is_freed_with_the_last_adapter_that_is_held_to_it(
        self, policy: Policy, saved: Path
    ) -> None:
        held = [policy.with_adapter(reference=saved) for _ in range(2)]
        names = {name for name, _ in policy.base.model.named_parameters() if "lora_" in name}
        assert any(".reference-1." in name for name in names)
        held[0].unload()
        before = held[1].reference_logprobs(["Hello."], [" Dear Anna."])
        held[1].unload()
        left = {name for name, _ in policy.base.model.named_parameters() if "lora_" in name}
        assert {name.split(".")[-2] for name in left} == {POLICY}
        again = policy.with_adapter(reference=saved)
        assert again.reference_name == held[0].adapters.reference_name_of(again.adapter)
        assert torch.equal(again.reference_logprobs(["Hello."], [" Dear Anna."]), before)

    def test_one_goes_where_the_adapter_to_be_held_to_it_cannot_be_added(
        self, policy: Policy, saved: Path, tmp_path: Path
    ) -> None:
        def references() -> set[str]:
            names = (name for name, _ in policy.base.model.named_parameters() if "lora_" in name)
            return {name.split(".")[-2] for name in names if ".reference-" in name}

        with pytest.raises(AdapterError):
            policy.with_adapter(tmp_path / "nothing", reference=saved)
        assert references() == set()
        held = policy.with_adapter(reference=saved)
        with pytest.raises(AdapterError):
            policy.with_adapter(tmp_path / "nothing", reference=saved)
        assert references() == {"reference-2"}
        assert held.reference_name != "base"

    def test_the_first_policys_reference_stays(self, tiny_model_folder: Path, saved: Path) -> None:
        first = Policy.load(tiny_model_folder, dtype="float32", reference=saved)
        other = first.with_adapter()
        other.unload()
        assert first.reference_name != "base"
        assert torch.isfinite(first.reference_logprobs(["Hello."], [" Dear Anna."])).all()

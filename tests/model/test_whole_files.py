"""Files that are not whole, or hold more than the model reads: refused, or said."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from corll.errors import ModelNotFoundError
from corll.model.loading import load_model
from tiny_gguf import write_tiny_gguf
from tiny_models import build_gpt2, build_tokenizer

Tensors = dict[str, Tensor]
Q_PROJ = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def copied(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def change(folder: Path, change_tensors: Callable[[Tensors], Tensors]) -> None:
    path = folder / "model.safetensors"
    save_file(change_tensors(load_file(path)), path, metadata={"format": "pt"})


def test_a_folder_without_a_weight_is_refused(copied: Path) -> None:
    change(copied, lambda ws: {n: w for n, w in ws.items() if n != f"{Q_PROJ}.weight"})
    with pytest.raises(ModelNotFoundError, match=rf"lack 1 tensor \({Q_PROJ}.weight\)"):
        load_model(copied)


def test_an_output_layer_that_is_not_tied_has_to_be_there(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["tie_word_embeddings"] = False
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelNotFoundError, match=r"lack 1 tensor \(lm_head.weight\)"):
        load_model(copied)


def test_names_with_another_prefix_are_counted_and_some_named(copied: Path) -> None:
    change(copied, lambda weights: {f"x.{name}": weight for name, weight in weights.items()})
    with pytest.raises(ModelNotFoundError, match=r"lack 21 tensors \(lm_head.weight, .*, …\)"):
        load_model(copied)


@pytest.mark.parametrize(
    "name", [f"{Q_PROJ}.bias", "model.layers.0.self_attn.q_norm.weight", "model.norm.bias"]
)
def test_part_of_a_layer_that_the_model_lacks_is_refused(copied: Path, name: str) -> None:
    change(copied, lambda weights: {**weights, name: torch.ones(32)})
    with pytest.raises(ModelNotFoundError, match=rf"hold 1 tensor \({name}\) that Llama.*not read"):
        load_model(copied)


@pytest.mark.parametrize(
    "name",
    [
        "mtp.layers.0.self_attn.q_proj.weight",
        "model.layers.2.eh_proj.weight",
        "vision_tower.layers.0.self_attn.q_proj.weight",
        "score.weight",
    ],
)
def test_what_stands_beside_the_model_is_said_once(
    copied: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(copied, lambda weights: {**weights, name: torch.ones(32)})
    with caplog.at_level(logging.WARNING, "corll"):
        load_model(copied)
    said = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert said.count(f"The files hold 1 tensor ({name}) that LlamaForCausalLM does not use.") == 1


def test_buffers_of_older_versions_are_passed_over(
    copied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = "model.layers.0.self_attn.rotary_emb.inv_freq"
    change(copied, lambda weights: {**weights, buffer: torch.ones(4)})
    tokenizer = build_tokenizer(chat=False)
    build_gpt2(len(tokenizer)).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    causal = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8)}
    causal["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    change(tmp_path / "gpt2", lambda weights: {**weights, **causal})
    with caplog.at_level(logging.WARNING, "corll"):
        load_model(copied)
        load_model(tmp_path / "gpt2")
    assert not [record for record in caplog.records if record.name.startswith("corll")]


class TestGguf:
    @pytest.fixture(autouse=True)
    def _empty_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))

    def test_a_file_without_a_weight_is_refused(self, tmp_path: Path) -> None:
        file = write_tiny_gguf(tmp_path / "tiny.gguf", without="blk.0.ffn_gate")
        with pytest.raises(ModelNotFoundError, match=r"tiny.gguf .* lack 1 tensor \(.*gate_proj"):
            load_model(file)
        assert not any((tmp_path / "cache").glob("*"))

    def test_a_bias_that_the_model_does_not_read_is_refused(self, tmp_path: Path) -> None:
        def also(writer: gguf.GGUFWriter) -> None:
            writer.add_tensor("blk.0.attn_q.bias", np.ones(32, dtype=np.float32))

        file = write_tiny_gguf(tmp_path / "tiny.gguf", also=also)
        with pytest.raises(ModelNotFoundError, match=r"hold 1 tensor \(.*q_proj\.bias\)"):
            load_model(file)

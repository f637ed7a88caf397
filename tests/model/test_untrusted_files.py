"""Models and adapters that others made are read as data: nothing that lies in them is run."""

from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from corll.errors import AdapterError, ModelNotFoundError
from corll.model.loading import load_model
from corll.policy import Policy

CODE = """
from pathlib import Path
Path({ran!r}).write_text("ran")
from transformers import LlamaConfig as Config
from transformers import LlamaForCausalLM as Model
"""


class Planted:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A model's folder to write into."""
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def test_code_beside_a_model_is_not_run_whatever_is_answered(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    (model / "own.py").write_text(CODE.format(ran=str(ran)))
    config = json.loads((model / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    }
    (model / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    with pytest.raises(ModelNotFoundError):
        load_model(model)
    assert not ran.exists()


def test_a_pickle_in_place_of_weights_is_refused(model: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (model / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Planted(ran)}, model / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError):
        load_model(model)
    assert not ran.exists()


def test_an_adapter_s_pickle_is_not_read(policy: Policy, tmp_path: Path) -> None:
    ran, folder = tmp_path / "ran", tmp_path / "adapter"
    policy.save(folder)
    (folder / "adapter_model.safetensors").unlink()
    torch.save({"weight": Planted(ran)}, folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors"):
        policy.with_adapter(folder)
    assert not ran.exists()

"""Base weights in a file that processes share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from corll.model.loading import load_model
from corll.model.mapped_weights import map_weights
from corll.policy import Policy
from tiny_models import build_llama, build_qwen2, build_tokenizer

PROMPTS, TEXTS = ["The parcel is late.", "Hello"], ["We are sorry.", "Yes"]


def mapped_bytes(file: Path) -> int:
    """How much of a file this process maps."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(file)):
            start, _, stop = line.split()[0].partition("-")
            total += int(stop, 16) - int(start, 16)
    return total


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_policy_on_mapped_weights_gives_the_same_numbers(
    any_model_folder: Path, tmp_path: Path, dtype: str
) -> None:
    plain = Policy.load(any_model_folder, dtype=dtype)
    mapped = Policy.load(any_model_folder, dtype=dtype, shared_weights=tmp_path)
    assert torch.equal(plain.logprobs(PROMPTS, TEXTS), mapped.logprobs(PROMPTS, TEXTS))
    assert plain.sample(PROMPTS, 2, 8) == mapped.sample(PROMPTS, 2, 8)


@pytest.mark.parametrize("build", [build_llama, build_qwen2])
def test_joined_layers_are_views_of_the_file(build: Callable[[int], Any], tmp_path: Path) -> None:
    """Also where biases stand between their weights, as in Qwen2."""
    tokenizer = build_tokenizer(chat=True)
    build(len(tokenizer)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    policy = Policy.load(tmp_path / "model", dtype="float32", shared_weights=tmp_path / "base")
    (file,) = (tmp_path / "base").iterdir()
    assert mapped_bytes(file) >= file.stat().st_size
    storages = {parameter.untyped_storage().data_ptr() for _, parameter in policy.base.weights()}
    assert len(storages) == 1


def test_a_file_of_other_weights_is_replaced(tiny_model_folder: Path, tmp_path: Path) -> None:
    path = map_weights(load_model(tiny_model_folder, dtype="float32"), tmp_path)
    assert path is not None
    whole = path.read_bytes()
    for spoiled in (whole[:-8], b"\0" * len(whole), b""):
        path.unlink()
        path.write_bytes(spoiled)
        model = load_model(tiny_model_folder, dtype="float32")
        expected = {name: parameter.clone() for name, parameter in model.weights()}
        map_weights(model, tmp_path)
        assert path.read_bytes() == whole
        assert all(torch.equal(expected[name], found) for name, found in model.weights())


def test_writing_to_a_weight_changes_neither_file_nor_other_users(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    first, second = (load_model(tiny_model_folder, dtype="float32") for _ in range(2))
    path = map_weights(first, tmp_path)
    map_weights(second, tmp_path)
    assert path is not None
    before = path.read_bytes()
    _, weight = next(iter(first.weights()))
    weight.data.zero_()
    assert path.read_bytes() == before
    assert next(iter(second.weights()))[1].abs().max() > 0

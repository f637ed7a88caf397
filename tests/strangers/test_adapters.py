"""Adapters from strangers: what does not fit, or is no number, is refused before it is loaded."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import CORPUS, changed_bytes, changed_json, fuzzed, reads
from safetensors.torch import load_file, save_file

from corll.config import LoraConfig
from corll.errors import AdapterError
from corll.model import adapter_files
from corll.policy import Policy

WEIGHTS, CONFIG, BASE = "adapter_model.safetensors", "adapter_config.json", "corll_base.json"


@pytest.fixture(scope="module")
def policy(tiny_model_folder: Path) -> Policy:
    return Policy.load(tiny_model_folder, dtype="float32", lora=LoraConfig(lora_r=4))


@pytest.fixture(scope="module")
def good(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "adapter"
    policy.save(folder)
    return folder


@pytest.fixture
def adapter(good: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(good, tmp_path / "adapter"))


def load(policy: Policy, folder: Path) -> None:
    """Load an adapter beside the first one, and let go of it."""
    policy.with_adapter(folder).unload()


def rewrite(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(adapter / WEIGHTS)
    change(weights)
    save_file(weights, adapter / WEIGHTS, metadata={"format": "pt"})


def configure(adapter: Path, **fields: Any) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps({**config, **fields}))


def test_the_adapter_is_loaded_as_it_is(policy: Policy, adapter: Path) -> None:
    load(policy, adapter)


@fuzzed
@given(st.data())
def test_changed_weights_are_loaded_or_refused(
    policy: Policy, good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "adapter", dirs_exist_ok=True))
    content = (good / WEIGHTS).read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    changed = data.draw(changed_bytes(content[: 8 + header])) + content[8 + header :]
    (folder / WEIGHTS).write_bytes(changed)
    reads(lambda: load(policy, folder))
    assert {path.name for path in tmp_path.iterdir()} == {"adapter"}


@fuzzed
@given(st.data())
def test_changed_configurations_are_loaded_or_refused(
    policy: Policy, good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "adapter", dirs_exist_ok=True))
    for name in (CONFIG, BASE):
        fields = json.loads((good / name).read_text())
        (folder / name).write_text(json.dumps(data.draw(changed_json(fields), label=name)))
    reads(lambda: load(policy, folder))
    (folder / CONFIG).write_bytes(data.draw(changed_bytes((good / CONFIG).read_bytes())))
    reads(lambda: load(policy, folder))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("adapter/*")), ids=lambda path: path.name)
def test_what_was_once_found_is_refused(policy: Policy, adapter: Path, path: Path) -> None:
    configure(adapter, **json.loads(path.read_text()))
    with pytest.raises(AdapterError):
        load(policy, adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_named(policy: Policy, adapter: Path, value: float) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[name][-1, -1] = value

    name = sorted(load_file(adapter / WEIGHTS))[3]
    rewrite(adapter, spoil)
    with pytest.raises(AdapterError, match=f"not all finite: {name} holds NaN or infinity"):
        load(policy, adapter)


def test_other_types_than_floats_are_named(policy: Policy, adapter: Path) -> None:
    def as_whole(weights: dict[str, torch.Tensor]) -> None:
        weights.update({name: weight.to(torch.int64) for name, weight in weights.items()})

    rewrite(adapter, as_whole)
    with pytest.raises(AdapterError, match=r"is of the type I64; save it in one of BF16, F16"):
        load(policy, adapter)
    rewrite(adapter, lambda w: w.update({n: p.to(torch.bfloat16) for n, p in w.items()}))
    load(policy, adapter)


def test_other_shapes_are_refused_before_anything_is_loaded(
    policy: Policy, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def widen(weights: dict[str, torch.Tensor]) -> None:
        weights[name] = torch.zeros(4, 999)

    name = sorted(load_file(adapter / WEIGHTS))[0]
    rewrite(adapter, widen)
    monkeypatch.setattr(adapter_files, "load_file", None)
    with pytest.raises(AdapterError, match=r"has shape \(4, 999\), not"):
        load(policy, adapter)


def test_a_rank_that_no_weight_has_takes_no_memory(tiny_model_folder: Path, adapter: Path) -> None:
    configure(adapter, r=10**12)
    with pytest.raises(AdapterError, match="says a rank of 1000000000000, and no weight beside"):
        Policy.load(tiny_model_folder, dtype="float32", adapter=adapter)
    configure(adapter, r=4, rank_pattern={"q_proj": 10**12})
    with pytest.raises(AdapterError, match="says a rank of 1000000000000"):
        Policy.load(tiny_model_folder, dtype="float32", adapter=adapter)


@pytest.mark.parametrize(("rank", "taken"), [(256, True), (300, True), (301, False)])
def test_a_rank_is_taken_up_to_those_of_the_weights(good: Path, rank: int, taken: bool) -> None:
    found = {"a.lora_A.weight": (300, 8), "a.lora_B.weight": (8, 300), "b.lora_B.weight": (999, 8)}
    shape = adapter_files.AdapterShape(LoraConfig(lora_r=rank))
    if taken:
        adapter_files.check_ranks(good, shape, found)
    else:
        with pytest.raises(AdapterError, match="says a rank of 301"):
            adapter_files.check_ranks(good, shape, found)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_a_link_to_a_device_is_no_file(policy: Policy, adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    (adapter / name).symlink_to("/dev/zero")
    with pytest.raises(AdapterError, match="is no regular file"):
        load(policy, adapter)


def test_a_pipe_is_not_waited_for(policy: Policy, adapter: Path) -> None:
    (adapter / WEIGHTS).unlink()
    os.mkfifo(adapter / WEIGHTS)
    with pytest.raises(AdapterError, match="is no regular file"):
        load(policy, adapter)


def test_a_configuration_of_a_megabyte_and_a_larger_one(policy: Policy, adapter: Path) -> None:
    config = (adapter / CONFIG).read_text()
    (adapter / CONFIG).write_text(config.ljust(2**20))
    load(policy, adapter)
    (adapter / CONFIG).write_text(config.ljust(2**20 + 1))
    with pytest.raises(AdapterError, match="more than the 1 MB"):
        load(policy, adapter)


@pytest.fixture(autouse=True)
def _leaves_the_policy_as_it_was(policy: Policy) -> Iterator[None]:
    """Whatever was refused, the first adapter still runs, alone."""
    yield
    assert torch.isfinite(policy.logprobs(["Hello"], ["there"])).all()
    assert list(policy.adapters.model.peft_config) == ["policy"]

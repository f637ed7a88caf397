"""Adapters of noise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from corll.errors import AdapterError, ConfigError
from corll.model import file_names
from corll.policy import Policy
from corll.simulation.noise import fill_with_noise


def test_what_was_learned_is_noise_of_the_spread_and_the_rest_stays(
    policy: Policy, tmp_path: Path
) -> None:
    policy.save(tmp_path)
    before = load_file(tmp_path / file_names.ADAPTER_WEIGHTS)
    fill_with_noise(tmp_path, seed=1, spread=0.5)
    after = load_file(tmp_path / file_names.ADAPTER_WEIGHTS)
    assert before.keys() == after.keys()
    kept = [name for name in before if ".lora_B." not in name]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)
    noise = torch.cat([after[name].flatten() for name in after if name not in kept])
    assert float(noise.std()) == pytest.approx(0.5, rel=0.2)
    fill_with_noise(tmp_path, seed=1, spread=0.5)
    again = load_file(tmp_path / file_names.ADAPTER_WEIGHTS)
    assert all(torch.equal(after[name], again[name]) for name in after)
    assert policy.with_adapter(tmp_path).reference_name == policy.reference_name


@pytest.mark.parametrize("spread", [0.0, -1.0, float("inf"), float("nan")])
def test_a_spread_is_a_finite_number_above_0(policy: Policy, tmp_path: Path, spread: float) -> None:
    policy.save(tmp_path)
    with pytest.raises(ConfigError, match="finite number above 0"):
        fill_with_noise(tmp_path, seed=0, spread=spread)


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be read"):
        fill_with_noise(tmp_path, seed=0)

"""Adapters of noise: what a broken upload or a diverged step leaves, as a test of a gate."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from corll.errors import AdapterError, ConfigError
from corll.model import file_names

RUINOUS = 0.3
"""A spread of B at which a small model writes nothing that can be read; at 0.05 it still writes."""


def fill_with_noise(folder: str | os.PathLike[str], *, seed: int, spread: float = RUINOUS) -> None:
    """Overwrite what a saved LoRA adapter learned by normal noise of a spread; its A stays.

    *Raises*: ConfigError where the spread is not above 0; AdapterError where the folder holds no
    LoRA adapter.
    """
    if not 0 < spread < float("inf"):
        raise ConfigError(f"The spread is {spread:g}; give a finite number above 0.")
    path = Path(folder) / file_names.ADAPTER_WEIGHTS
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"The adapter's weights in {path} cannot be read: {error}") from error
    rng = torch.Generator().manual_seed(seed)
    learned = [name for name in sorted(weights) if ".lora_B." in name]
    if not learned:
        raise AdapterError(f"{path} holds no lora_B; give the folder of a LoRA adapter.")
    for name in learned:
        noise = torch.randn(weights[name].shape, generator=rng) * spread
        weights[name] = noise.to(weights[name].dtype)
    save_file(weights, path, metadata={"format": "pt"})

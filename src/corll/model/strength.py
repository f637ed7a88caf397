"""The strength of an adapter: λ times what it learned, folded into its weights.

What LoRA adds to a layer is (α / r) · B A, linear in B. So an adapter whose B is λ B adds λ times
as much, is an adapter like any other, and what it drafts and learns from there is its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from corll.errors import AdapterError, InputError
from corll.model import file_names
from corll.model.adapter_config import read_shape

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
"""What an arm of a learned version is tried at: the base, a quarter, a half, all of it."""

_SCALED = ("lora_B", "lora_embedding_B")
_LEFT = ("lora_A", "lora_embedding_A")


def scaled(weights: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    """Return an adapter's weights, by their names in its file, at another strength.

    Powers of two are exact; at 0 what it adds is 0, and at 1 each weight is itself.
    *Raises*: InputError for a strength outside [0, 1]; AdapterError for a weight that an adapter
    adds in another way than by B A.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"The strength is {strength:g}; give a number from 0 to 1.")
    kinds = {name: _kind_of(name) for name in weights}
    odd = next((name for name, kind in kinds.items() if kind not in (*_SCALED, *_LEFT)), None)
    if odd is not None or not any(kind in _SCALED for kind in kinds.values()):
        raise AdapterError(
            f"The adapter holds {odd or 'no lora_B'}; only a plain LoRA adapter (or rsLoRA) has a "
            "strength, since what others add is not linear in one of their factors."
        )
    if strength == 1:
        return dict(weights)
    return {
        name: _times(weight, strength) if kinds[name] in _SCALED else weight
        for name, weight in weights.items()
    }


def fold(folder: str | os.PathLike[str], into: str | os.PathLike[str], strength: float) -> None:
    """Write a saved adapter at another strength, as a PEFT folder of its own.

    The optimiser's state is left behind: it is of the weights as they were.
    *Raises*: InputError where the strength is outside [0, 1] or both folders are the same;
    AdapterError where the adapter is incomplete or of another kind than LoRA.
    """
    source, target = Path(folder), Path(into)
    if source.resolve() == target.resolve():
        raise InputError(f"{source} would be overwritten; fold it into another folder.")
    read_shape(source)
    try:
        weights = load_file(source / file_names.ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"The adapter's weights in {source} cannot be read: {error}") from error
    found = scaled(weights, strength)
    target.mkdir(parents=True, exist_ok=True)
    for name in (file_names.ADAPTER_CONFIG, file_names.BASE):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    save_file(found, target / file_names.ADAPTER_WEIGHTS, metadata={"format": "pt"})


@torch.no_grad()
def fold_in_place(parameters: Mapping[str, torch.nn.Parameter], strength: float) -> None:
    """Give an adapter's own parameters another strength, as `AdapterSet.parameters` names them.

    *Raises*: as `scaled`.
    """
    for name, weight in scaled(parameters, strength).items():
        if weight is not parameters[name]:
            parameters[name].copy_(weight)


def _kind_of(name: str) -> str | None:
    """Return which part of an adapter a weight is, by its name in the adapter's file."""
    parts = name.split(".")
    return next((part for part in reversed(parts) if part.startswith("lora_")), None)


def _times(weight: Tensor, strength: float) -> Tensor:
    """Return a weight at a strength; at 0 it is 0 also where it is not finite."""
    return torch.zeros_like(weight) if strength == 0 else weight * strength

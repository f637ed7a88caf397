"""The files of an adapter's folder, which may come from a stranger: looked at, then loaded.

What the header of the weights says is compared with the model before memory is taken for them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from corll.errors import AdapterError, InputError
from corll.model import file_names
from corll.model.adapter_config import AdapterShape
from corll.model.loading import LoadedModel
from corll.untrusted import check_regular, read_object
from corll.version import __version__

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by their names."""

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
OF_THE_BASE = ".base_layer.weight"
"""How the names of copies end that PEFT saves beside an adapter on embeddings."""
_ANY_RANK = 256
"""Ranks up to this are taken as a configuration says them, whatever the weights have."""


def read_shapes(folder: str | os.PathLike[str]) -> Shapes:
    """Return the shapes of an adapter's weights by the header of their file, without loading them.

    *Raises*: AdapterError where it cannot be read, is cut, or holds other than real numbers.
    """
    path = Path(folder) / file_names.ADAPTER_WEIGHTS
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            kinds = {name: part.get_dtype() for name, part in slices.items()}
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
    except (OSError, SafetensorError, InputError) as error:
        raise AdapterError(f"The adapter's weights in {path} cannot be read: {error}") from error
    if odd := next((name for name, kind in kinds.items() if kind not in _FLOATS), None):
        raise AdapterError(
            f"The adapter's weights in {path} cannot be used: {odd} is of the type {kinds[odd]}; "
            f"save it in one of {', '.join(sorted(_FLOATS))}."
        )
    return shapes


def read_weights(
    folder: str | os.PathLike[str], base: LoadedModel, wanted: Shapes
) -> dict[str, torch.Tensor]:
    """Return an adapter's weights, which have just the `wanted` shapes and are finite.

    *Raises*: AdapterError, for other shapes before anything is loaded.
    """
    found = read_shapes(folder)
    copies = {name for name in found if name.endswith(OF_THE_BASE) and name not in wanted}
    check_shapes(folder, base, wanted, {n: size for n, size in found.items() if n not in copies})
    path = Path(folder) / file_names.ADAPTER_WEIGHTS
    try:
        weights = dict(load_file(path, device=str(base.device)))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"The adapter's weights in {path} cannot be read: {error}") from error
    if odd := next((name for name, w in weights.items() if not torch.isfinite(w).all()), None):
        raise AdapterError(
            f"The adapter's weights in {path} are not all finite: {odd} holds NaN or infinity, "
            "with which no draft could be computed. Train or fetch it again."
        )
    for name in copies:
        _check_copy(folder, base, name, weights.pop(name))
    return weights


def _check_copy(
    folder: str | os.PathLike[str], base: LoadedModel, name: str, weight: torch.Tensor
) -> None:
    """Check that a layer of the base, saved beside an adapter on it, is as the base has it."""
    inner = name.removeprefix("base_model.model.").removesuffix(OF_THE_BASE)
    own = {n.replace(".base_layer", ""): w for n, w in base.model.state_dict().items()}
    right = own.get(f"{inner}.weight")
    same = right is not None and right.shape == weight.shape
    if right is None or not same or not torch.equal(right, weight.to(right.dtype)):
        raise AdapterError(
            f"The adapter in {folder} holds {inner} itself with other numbers than {base.name}: "
            "it was trained beside the adapter, or belongs to another base. Merge it into the base "
            "that you load, or train the adapter alone."
        )


def check_shapes(
    folder: str | os.PathLike[str], base: LoadedModel, wanted: Shapes, found: Shapes
) -> None:
    """Check that an adapter has the tensors that it should. *Raises*: AdapterError."""
    if wanted != found:
        odd = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise AdapterError(
            f"The adapter in {folder} does not fit {base.name}: {odd} has shape "
            f"{found.get(odd, 'none')}, not {wanted.get(odd, 'none')}. It belongs to another "
            "base model, or is on layers that the first adapter of this one is not on."
        )


def check_ranks(folder: str | os.PathLike[str], shape: AdapterShape, found: Shapes) -> None:
    """Check that no rank of a configuration is larger than those of the weights beside it.

    PEFT takes memory for an adapter of these ranks before the weights are read. *Raises*:
    AdapterError.
    """
    left = (size for name, sizes in found.items() if ".lora_B" not in name for size in sizes[:1])
    largest = max([_ANY_RANK, *left])
    ranks: Iterable[int] = (shape.lora.lora_r, *shape.further.get("rank_pattern", {}).values())
    if (rank := max(ranks)) > largest:
        raise AdapterError(
            f"{file_names.ADAPTER_CONFIG} in {folder} says a rank of {rank}, and no weight beside "
            "it has one: the files do not belong together. Get the adapter again."
        )


def write_base(folder: Path, base: LoadedModel, reference_name: str) -> None:
    """Say beside saved weights which base and which π_0 they were trained on."""
    about = {
        "base_model": {"name": base.name, "fingerprint": base.fingerprint},
        "reference": reference_name,
        "corll": __version__,
    }
    (folder / file_names.BASE).write_text(json.dumps(about, indent=2) + "\n")


def check_base(folder: Path, base: LoadedModel) -> None:
    """Check that `write_base` named this base. *Raises*: AdapterError where it did not."""
    try:
        about = read_object(folder / file_names.BASE)["base_model"]
        name, fingerprint = about["name"], about["fingerprint"]
    except (OSError, KeyError, TypeError, ValueError):
        return  # written by another tool: the shapes of its weights are the only check
    if fingerprint != base.fingerprint:
        raise AdapterError(
            f"What {folder} holds was trained on {name}, and {base.name} is not the same "
            "model. Load the base that it belongs to."
        )

"""Base weights in a file that several processes map, so that they share its pages in memory.

The file holds the parameters in the dtype they run in: matrices in the model's order, then all
else. Those of layers that are later joined into one product lie side by side, and are joined by a
view, also where there are biases between them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corll.model.loading import LoadedModel


def map_weights(base: LoadedModel, folder: Path) -> Path | None:
    """Let the weights of a model on a CPU be pages of a file in `folder`; return the file.

    The file is written where it is missing or holds other weights, never changed in place. None on
    other devices, whose memory no file can stand for. *Raises*: OSError where it cannot be written.
    """
    if not base.is_on_cpu:
        return None
    parameters = sorted((p for _, p in base.weights()), key=lambda p: p.dim() != 2)
    dtype = str(base.dtype).removeprefix("torch.")
    path = folder / f"{base.fingerprint}-{dtype}.weights"
    views = _views(path, parameters) if path.exists() else None
    if views is None or not all(map(torch.equal, views, parameters)):
        _write(path, parameters)
        views = _views(path, parameters)
    assert views is not None
    for parameter, view in zip(parameters, views, strict=True):
        parameter.data = view
    return path


def _views(path: Path, parameters: Sequence[Tensor]) -> list[Tensor] | None:
    """Return the parameters as they are in the file; None where it is of another size."""
    size = sum(parameter.nbytes for parameter in parameters)
    if path.stat().st_size != size:
        return None
    # Private: whoever wrote to a weight would write to a copy of that page.
    storage: Any = torch.UntypedStorage.from_file(os.fspath(path), False, size)
    views, start = [], 0
    for parameter in parameters:
        stop = start + parameter.nbytes
        flat = torch.empty(0, dtype=parameter.dtype)
        offset = start // parameter.element_size()
        stride = torch.empty(parameter.shape, device="meta").stride()
        views.append(flat.set_(storage, offset, parameter.shape, stride))
        start = stop
    return views


def _write(path: Path, parameters: Sequence[Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            for parameter in parameters:
                raw: Any = parameter.detach().contiguous().flatten().view(torch.uint8).numpy()
                file.write(memoryview(raw))
            # Not synced: what a power cut leaves of it is compared with the weights, and replaced.
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise

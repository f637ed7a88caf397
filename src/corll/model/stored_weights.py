"""What a folder of weights holds, read from the headers of its files: nothing is loaded."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from corll.errors import ModelNotFoundError

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_LARGEST_HEADER = 100_000_000


def parameters_in(folder: Path) -> int:
    """Count the floating-point weights of a folder's safetensors files; of other files none.

    *Raises*: ModelNotFoundError where a file is cut or no such file.
    """
    return sum(_parameters_of(file) for file in folder.glob("*.safetensors"))


def _parameters_of(file: Path) -> int:
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(opened.read(length))
        tensors = [about for name, about in header.items() if name != "__metadata__"]
        end = max((about["data_offsets"][1] for about in tensors), default=0)
        if 8 + length + end != file.stat().st_size:
            raise ValueError(f"{file.stat().st_size} bytes where {8 + length + end} are meant")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelNotFoundError(
            f"{file} is damaged or half-written ({error}); get it again."
        ) from error
    return sum(math.prod(about["shape"]) for about in tensors if about["dtype"] in _FLOATS)

"""What a model's folder holds, read from the headers of its files: nothing is loaded.

The folder may come from a stranger. What loads it takes memory by what its configuration says, so
that is bounded by what the files hold.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from corll.errors import InputError, ModelNotFoundError
from corll.model import file_names
from corll.untrusted import check_regular, read_object

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_LARGEST_HEADER = 100_000_000
_LARGEST_JSON = 2**28
_LARGEST_CONFIG = 2**22
_MOST_LAYERS = 1000
_LAYERS = re.compile(r"(?:\w+_)?layers?")
"""Names in configurations under which a number of layers stands."""


class StoredTensors(NamedTuple):
    """How many floating-point weights and how many tensors a folder's files hold."""

    parameters: int
    tensors: int


def parameters_in(folder: Path) -> int:
    """Count the floating-point weights of a folder's safetensors files; of other files none.

    *Raises*: ModelNotFoundError where a file is cut or no such file.
    """
    return stored_in(folder).parameters


def stored_in(folder: Path) -> StoredTensors:
    """Count what a folder's safetensors files hold.

    *Raises*: ModelNotFoundError where a file is cut or no such file.
    """
    found = [_stored_in_file(file) for file in folder.glob("*.safetensors")]
    return StoredTensors(sum(f.parameters for f in found), sum(f.tensors for f in found))


def check_folder(folder: Path) -> None:
    """Check a model's folder before anything of it is loaded.

    *Raises*: ModelNotFoundError for what could run code, for files of settings that are too large
    or no files, for an index that leads out of the folder, and for more layers than tensors.
    """
    if (folder / file_names.ADAPTER_CONFIG).exists():
        raise ModelNotFoundError(
            f"{folder} holds a model and an adapter in one; move {file_names.ADAPTER_CONFIG} and "
            "the adapter's weights into a folder of their own, and give that as `adapter`."
        )
    stored = stored_in(folder)
    try:
        for path in sorted(folder.glob("*.json")):
            if check_regular(path) > _LARGEST_JSON:
                raise InputError(f"{path} is larger than {_LARGEST_JSON} bytes; get it again.")
        _check_config(folder / "config.json", stored.tensors)
        for path in sorted(folder.glob("*.safetensors.index.json")):
            _check_index(path)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"The model in {folder} cannot be loaded: {error}") from error


def _check_config(path: Path, tensors: int) -> None:
    most = max(_MOST_LAYERS, tensors)
    for name, count in _numbers_in(read_object(path, _LARGEST_CONFIG)):
        if _LAYERS.fullmatch(name) and count > most:
            raise InputError(
                f"{path} says {name}={count}, and the files hold {tensors} tensors; they do not "
                "belong together. Get the model again."
            )


def _numbers_in(fields: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers of a configuration and of those inside it, by name."""
    for name, value in fields.items():
        if isinstance(value, int):
            yield name, value
        elif isinstance(value, dict) and depth < 8:
            yield from _numbers_in(value, depth + 1)


def _check_index(path: Path) -> None:
    """Check that an index names files of its own folder alone."""
    named = read_object(path, _LARGEST_JSON).get("weight_map")
    if not isinstance(named, dict):
        raise InputError(f"{path} has no weight_map; get it again.")
    for file in set(map(str, named.values())):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise InputError(
                f"{path} names {file!r}, which is no safetensors file beside it; get the model "
                "from someone whom you trust."
            )


def _stored_in_file(file: Path) -> StoredTensors:
    try:
        size = check_regular(file)
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(opened.read(length))
        tensors = [about for name, about in header.items() if name != "__metadata__"]
        end = max((about["data_offsets"][1] for about in tensors), default=0)
        if 8 + length + end != size:
            raise ValueError(f"{size} bytes where {8 + length + end} are meant")
        floats = [about["shape"] for about in tensors if about["dtype"] in _FLOATS]
        parameters = sum(math.prod(shape) for shape in floats)
        if not 0 <= parameters <= size:
            raise ValueError(f"shapes of {parameters} weights in {size} bytes")
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError),
        struct.error,
    ) as error:
        raise ModelNotFoundError(
            f"{file} is damaged or half-written ({error}); get it again."
        ) from error
    return StoredTensors(parameters, len(tensors))

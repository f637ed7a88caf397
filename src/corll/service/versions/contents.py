"""What a file of weights says, however it was written: the same tensors have the same digest."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import BinaryIO

_LARGEST_HEADER = 2**26
_PIECE = 2**20


def tensors_sha256(path: Path) -> str | None:
    """Return the SHA-256 of a safetensors file's tensors: names, types, shapes and numbers.

    Their order in the file and its metadata are left out, which differ by who wrote it. None for a
    file that cannot be read so.
    """
    try:
        with path.open("rb") as file:
            return _digest(file)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None


def _digest(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LARGEST_HEADER:
        raise ValueError("the header is too long")
    header = json.loads(file.read(length))
    digest = hashlib.sha256()
    for name in sorted(set(header) - {"__metadata__"}):
        about = header[name]
        begin, end = about["data_offsets"]
        said = [name, about["dtype"], about["shape"], end - begin]
        digest.update(json.dumps(said).encode())
        file.seek(8 + length + begin)
        for start in range(begin, end, _PIECE):
            piece = file.read(min(_PIECE, end - start))
            if not piece:
                raise ValueError("the file is cut")
            digest.update(piece)
    return digest.hexdigest()

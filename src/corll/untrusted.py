"""Files from strangers: how much of one is read, before memory is taken for it."""

from __future__ import annotations

import gzip
import io
import json
import stat
import zlib
from pathlib import Path
from typing import Any

from corll.errors import InputError

MOST_TEXT_BYTES = 2**29
"""Of a file of texts, unpacked."""

MOST_JSON_BYTES = 2**20
"""Of a file of settings, such as an adapter's."""

_MOST_RATIO = 200
"""Of an unpacked to its packed file; texts pack by 3 to 30, and zip bombs by 1000."""

_RATIO_FROM_BYTES = 2**24
"""Smaller files may pack by more: a few lines that repeat do no harm."""


def check_regular(path: Path) -> int:
    """Check that a path leads to a file with an end; return its size in bytes.

    *Raises*: InputError for a folder, pipe or device; OSError where it is not there.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} cannot be read: it is no regular file; give one that is.")
    return found.st_size


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file of at most so many bytes.

    *Raises*: InputError for a larger one and for what is no regular file; OSError.
    """
    size = check_regular(path)
    if size > most:
        raise InputError(
            f"{path} has {_megabytes(size)}, more than the {_megabytes(most)} that are read of "
            "such a file; split it, if it is what you mean."
        )
    with path.open("rb") as file:
        # Not `most`, for all of which room would be made at once.
        return file.read(size)


def unpack(path: Path, packed: bytes, *, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return what a gzip file holds, if that has at most `most` bytes and is no bomb.

    *Raises*: InputError for more, for a file that unpacks to over 200 times its size, and for one
    that is cut or no gzip file.
    """
    room = min(most, max(_RATIO_FROM_BYTES, _MOST_RATIO * len(packed)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            content = file.read(room + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be unpacked ({error}); is it a whole gzip file?"
        ) from error
    if len(content) > room:
        raise InputError(
            f"{path} has {len(packed)} bytes and unpacks to more than {_megabytes(room)}, so it is "
            "not read; unpack and split it yourself, if it is what you mean."
        )
    return content


def read_object(path: Path, most: int = MOST_JSON_BYTES) -> dict[str, Any]:
    """Return the JSON object of a small file of settings.

    *Raises*: InputError where it is too large or holds no JSON object; OSError.
    """
    content = read_bounded(path, most)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); get the file again.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object; get the file again.")
    return found


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.4g} MB"

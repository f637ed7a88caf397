"""The header of a GGUF file, read with bounds before a library builds lists by what it says.

*Source*: the GGUF specification, versions 2 and 3, of little-endian files.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from corll.errors import InputError
from corll.untrusted import check_regular

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_FIELDS = 10_000
_MOST_TENSORS = 200_000
_MOST_ITEMS = 2_000_000
"""Of an array, such as the tokens of a vocabulary."""
_LONGEST_NAME = 1024
_LONGEST_TEXT = 2**24
_MOST_DIMENSIONS = 4

_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the types of numbers."""


class GgufHeader(NamedTuple):
    """What a file holds: the number of its weights, and of its tensors."""

    parameters: int
    tensors: int


def read_header(path: Path) -> GgufHeader:
    """Return what a GGUF file says that it holds, once all of it lies within the file.

    *Raises*: InputError for a header that is no GGUF's, is cut, or says more than the file has;
    OSError.
    """
    size = check_regular(path)
    with path.open("rb") as file:
        try:
            return _Reader(file, size).header()
        except (struct.error, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is no GGUF file that can be read ({error}); get it again."
            ) from error


class _Reader:
    """Reads a file forward, and never more than a bound."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def header(self) -> GgufHeader:
        if self._take(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        if (version := self._number("I")) not in _VERSIONS:
            raise ValueError(f"its version is {version}, not {' or '.join(map(str, _VERSIONS))}")
        tensors = self._count("Q", _MOST_TENSORS, "tensors")
        for _ in range(self._count("Q", _MOST_FIELDS, "fields")):
            self._text(_LONGEST_NAME)
            self._skip_value(self._number("I"))
        found = list(self._tensors(tensors))
        end = self._file.tell() + max((end for _, end in found), default=0)
        if end > self._size:
            raise ValueError(f"its tensors end at byte {end} of {self._size}")
        return GgufHeader(sum(weights for weights, _ in found), tensors)

    def _tensors(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield the number of weights of each tensor, and where it ends after the header."""
        for _ in range(count):
            self._text(_LONGEST_NAME)
            rank = self._count("I", _MOST_DIMENSIONS, "dimensions")
            weights = math.prod(self._number("Q") for _ in range(rank))
            block, size_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(self._number("I"))]
            yield weights, self._number("Q") + weights // block * size_bytes

    def _skip_value(self, kind: int, *, depth: int = 0) -> None:
        if kind == _STRING:
            self._text(_LONGEST_TEXT)
        elif kind == _ARRAY and depth == 0:
            inner = self._number("I")
            count = self._count("Q", _MOST_ITEMS, "items of an array")
            if inner in _SIZES:
                self._skip(count * _SIZES[inner])
            else:
                for _ in range(count):
                    self._skip_value(inner, depth=1)
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        else:
            raise ValueError(f"a value of the type {kind}, which is not known there")

    def _count(self, form: str, most: int, what: str) -> int:
        count = self._number(form)
        if count > most:
            raise ValueError(f"{count} {what}, and at most {most} are read")
        return count

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(f"<{form}", self._take(struct.calcsize(form)))
        return int(number)

    def _text(self, most: int) -> bytes:
        return self._take(self._count("Q", most, "bytes of a text"))

    def _skip(self, count: int) -> None:
        if self._file.tell() + count > self._size:
            raise ValueError(f"it ends at byte {self._size}, within its header")
        self._file.seek(count, 1)

    def _take(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise ValueError(f"it ends at byte {self._size}, within its header")
        return content

"""The header of a GGUF file, read with bounds before a library builds lists by what it says.

*Source*: the GGUF specification, versions 2 and 3, of little-endian files.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
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
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of numbers, as `struct` names them."""
_SIZES = {kind: struct.calcsize(f"<{form}") for kind, form in _FORMS.items()}
"""Bytes of the types of numbers."""

_Value = float | str


class GgufHeader(NamedTuple):
    """What a file holds: the number of its weights and tensors, and what is read of its fields.

    `rope` is what it says of rotary embeddings, by the names after `{architecture}.rope.`.
    """

    parameters: int
    tensors: int
    names: tuple[str, ...] = ()
    architecture: str = ""
    context_length: int | None = None
    rope: Mapping[str, _Value] = {}


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
        fields = dict(self._fields())
        found = list(self._tensors(tensors))
        end = self._file.tell() + max((end for _, _, end in found), default=0)
        if end > self._size:
            raise ValueError(f"its tensors end at byte {end} of {self._size}")
        architecture = str(fields.get("general.architecture", ""))
        context, start = fields.get(f"{architecture}.context_length"), f"{architecture}.rope."
        return GgufHeader(
            sum(weights for _, weights, _ in found),
            tensors,
            tuple(name for name, _, _ in found),
            architecture,
            context if isinstance(context, int) else None,
            {name[len(start) :]: v for name, v in fields.items() if name.startswith(start)},
        )

    def _fields(self) -> Iterator[tuple[str, _Value]]:
        """Yield the fields that are numbers or short texts."""
        for _ in range(self._count("Q", _MOST_FIELDS, "fields")):
            name, kind = self._name(), self._number("I")
            if kind in _FORMS:
                yield name, self._scalar(_FORMS[kind])
            elif kind == _STRING:
                text = self._text(_LONGEST_TEXT)
                if len(text) <= _LONGEST_NAME:
                    yield name, text.decode(errors="replace")
            else:
                self._skip_value(kind)

    def _tensors(self, count: int) -> Iterator[tuple[str, int, int]]:
        """Yield each tensor's name, number of weights, and where it ends after the header."""
        for _ in range(count):
            name = self._name()
            rank = self._count("I", _MOST_DIMENSIONS, "dimensions")
            weights = math.prod(self._number("Q") for _ in range(rank))
            block, size_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(self._number("I"))]
            yield name, weights, self._number("Q") + weights // block * size_bytes

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
        return int(self._scalar(form))

    def _scalar(self, form: str) -> float:
        (number,) = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        scalar: float = number
        return scalar

    def _name(self) -> str:
        return self._text(_LONGEST_NAME).decode(errors="replace")

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

"""JSON files as tools write them: an object a line, an array of objects, or one object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corll.errors import RecordError
from corll.files.formats import Record, kind_of, read_text

_SPACE = re.compile(r"\s*")


def read_objects(path: Path) -> Iterator[Record]:
    """Yield the objects of a JSON file with the lines on which they begin, in its order.

    The file is JSON lines, or holds one object or more over several lines, or arrays of objects.
    An object of an array is named by its place there, `[3].`, since a whole array may stand on one
    line. *Raises*: InputError where the file cannot be read; RecordError for what is no object.
    """
    text = read_text(path)
    decoder = json.JSONDecoder()
    place, line, inside, count = _skipped(text, 0), 1, False, 0
    line += text.count("\n", 0, place)
    while place < len(text):
        if not inside and text[place] == "[":
            inside, count = True, 0
            start = _skipped(text, place + 1)
            line += text.count("\n", place, start)
            place = start
        elif inside and text[place : place + 1] in ("]", ","):
            inside = text[place] == ","
            start = _skipped(text, place + 1)
            line += text.count("\n", place, start)
            place = start
        else:
            value, end = _decoded(path, text, place, decoder)
            yield _record(path, line, value, f"[{count}]" if inside else "")
            count += 1
            start = _skipped(text, end)
            line += text.count("\n", place, start)
            place = start
    if inside:
        raise RecordError(path, line, "not JSON (the array has no end)")


def _decoded(path: Path, text: str, place: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise RecordError(path, error.lineno, f"not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        line = text.count("\n", 0, place) + 1
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RecordError(path, line, f"not JSON ({told})") from error


def _record(path: Path, line: int, value: Any, within: str) -> Record:
    if not isinstance(value, dict):
        problem = f"a JSON object is expected, not {kind_of(value)}"
        raise RecordError(path, line, problem, field=within or None)
    return Record(path, line, value, f"{within}." if within else "")


def _skipped(text: str, place: int) -> int:
    """Return where the next character stands that is no white space."""
    found = _SPACE.match(text, place)
    return found.end() if found else place

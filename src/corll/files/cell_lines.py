"""The file of an experiment that is played in cells: what each cell is, then its lines.

A cell has a key, by which all of its lines are known. Its first line says in `cell` by which
settings and in `model` by which model it is played; the others are what was measured. A cell is
finished once it has all its lines. Of a run that was stopped the finished cells stay, and the
others are played again from their beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock, Timeout

from corll.errors import InputError
from corll.files.durable import append_line, drop_torn_line, read_lines, write_lines

Line = Mapping[str, Any]


class CellName(Protocol):
    """The key of a cell: a NamedTuple, whose fields stand in each of its lines."""

    def __iter__(self) -> Iterator[Any]: ...

    def __hash__(self) -> int: ...

    def _asdict(self) -> dict[str, Any]: ...


Key = TypeVar("Key", bound=CellName)
Play = Callable[[Sequence[Key]], Iterator[tuple[Key, Line]]]
"""Plays cells: yields each line with its cell, cells one after another or in turns."""


def is_about(line: Line) -> bool:
    """Say whether a line says what a cell is; the others are what was measured."""
    return "cell" in line


def finished_cells(
    path: Path,
    wanted: Mapping[Key, Line],
    *,
    key_of: Callable[[Line], Key],
    count_of: Callable[[Line], int],
) -> set[Key]:
    """Return which of the wanted cells a file has; remove all lines of those half-played.

    `wanted` has what each cell is, and `count_of` returns from its first line how many lines of
    measurements it has. Cells that are not wanted are left as they are.
    *Raises*: InputError where a cell was played with other settings than are wanted.
    """
    drop_torn_line(path)
    lines = [line for _, line in read_lines(path)]
    about = {key_of(line): line for line in lines if is_about(line)}
    for key in wanted.keys() & about.keys():
        _check_same(path, key, about[key], wanted[key])
    measured = Counter(key_of(line) for line in lines if not is_about(line))
    finished = {key for key, line in about.items() if measured[key] == count_of(line)}
    unfinished = (about.keys() | measured.keys()) & wanted.keys() - finished
    if unfinished:
        write_lines(path, [line for line in lines if key_of(line) not in unfinished])
    return finished & wanted.keys()


@contextmanager
def playing_into(path: Path) -> Iterator[None]:
    """Hold a file while it is played into; its folder is made.

    *Raises*: InputError where another process plays into it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=0):
            yield
    except Timeout:
        raise InputError(
            f"Another process plays into {path}; give this one a file of its own. --report takes "
            "several files."
        ) from None


def play_cells(
    path: Path,
    wanted: Mapping[Key, Line],
    finished: set[Key],
    about: Line,
    play: Play[Key],
    *,
    progress: Callable[[Key, Line], None],
) -> None:
    """Play the wanted cells that are not finished, and add each line to the file as it comes.

    `wanted` says of each cell what it is, and `about` what is the same for all that are played now.
    `progress` is told each line once it is written.
    """
    left = [key for key in wanted if key not in finished]
    print(f"{len(left)} of {len(wanted)} cells are to be played", flush=True)
    begun: set[Key] = set()
    for key, line in play(left):
        if key not in begun:
            begun.add(key)
            append_line(path, {**key._asdict(), **wanted[key], **about})
        append_line(path, {**key._asdict(), **line})
        progress(key, line)


def _check_same(path: Path, key: CellName, there: Line, wanted: Line) -> None:
    for name in ("model", "cell"):
        if there[name] != wanted[name]:
            raise InputError(
                f"{path} has the cell {', '.join(map(str, key))} by other settings "
                f"({_difference(there[name], wanted[name])}); give another --label or another "
                "--out."
            )


def _difference(there: Any, wanted: Any) -> str:
    if not (isinstance(there, Mapping) and isinstance(wanted, Mapping)):
        return f"{there!r}, not {wanted!r}"
    names = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
    return "; ".join(f"{name}: {_difference(there.get(name), wanted.get(name))}" for name in names)

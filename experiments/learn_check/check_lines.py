"""The file of a check: for each cell (seed, writer, arm, label) what it is, then a line a draft.

A cell is finished once it has as many lines as it says it will have. Of a run that was stopped the
finished cells stay, and the others are played again from their beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from check_arms import DEFAULTS
from corll.errors import InputError
from corll.files.durable import drop_torn_line, read_lines, write_lines

Line = Mapping[str, Any]

_FORMER_ARMS = {
    "none": ("base", DEFAULTS),
    "last": ("memory", "last"),
    "nearest": ("memory", "nearest"),
}
"""Arms of files from when memory alone was compared."""


class CellKey(NamedTuple):
    """The name of a cell."""

    seed: int
    writer: str
    arm: str
    label: str

    @classmethod
    def of(cls, line: Line) -> CellKey:
        """Return the cell of a line."""
        return cls(line["seed"], line["writer"], line["arm"], line["label"])


def is_about(line: Line) -> bool:
    """Say whether a line says what a cell is; the others are drafts."""
    return "cell" in line


def finished_cells(path: Path, wanted: Mapping[CellKey, Line]) -> set[CellKey]:
    """Return which of the wanted cells a file has; remove all lines of those half-played.

    Cells that are not wanted are left as they are. *Raises*: InputError where a cell was played
    with other settings than are wanted.
    """
    drop_torn_line(path)
    lines = [line for _, line in read_lines(path)]
    about = {CellKey.of(line): line for line in lines if is_about(line)}
    for key in wanted.keys() & about.keys():
        _check_same(path, key, about[key], wanted[key])
    drafts = Counter(CellKey.of(line) for line in lines if not is_about(line))
    finished = {
        key
        for key, line in about.items()
        if drafts[key] == line["cell"]["edits"] + line["cell"]["held_out"]
    }
    unfinished = (about.keys() | drafts.keys()) & wanted.keys() - finished
    if unfinished:
        write_lines(path, [line for line in lines if CellKey.of(line) not in unfinished])
    return finished & wanted.keys()


def read_drafts(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the drafts of files, those of a cell that stands in several files once.

    *Raises*: InputError where a file is not there or holds no draft.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        lines = [_as_now(line) for _, line in read_lines(path) if not is_about(line)]
        if not lines:
            raise InputError(f"{path} holds no drafts: play some with --out {path}.")
        for line in lines:
            place = (*CellKey.of(line), line.get("held_out", False), line["edit"])
            found.setdefault(place, line)
    return list(found.values())


def _as_now(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with its arm and label, of former files too."""
    if "label" in line:
        return line
    arm, label = _FORMER_ARMS[line["arm"]]
    return {**line, "arm": arm, "label": label}


def _check_same(path: Path, key: CellKey, there: Line, wanted: Line) -> None:
    for name in ("model", "cell"):
        if there[name] != wanted[name]:
            raise InputError(
                f"{path} has {key.arm}, {key.label!r}, of {key.writer} with seed {key.seed} by "
                f"other settings ({_difference(there[name], wanted[name])}); give another --label "
                "or another --out."
            )


def _difference(there: Any, wanted: Any) -> str:
    if not (isinstance(there, Mapping) and isinstance(wanted, Mapping)):
        return f"{there!r}, not {wanted!r}"
    names = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
    return "; ".join(f"{name}: {_difference(there.get(name), wanted.get(name))}" for name in names)

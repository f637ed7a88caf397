"""The file of a check: for each cell (seed, writer, arm, label) what it is, then a line a draft.

`corll.files.cell_lines` says how a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from check_arms import DEFAULTS
from corll.errors import InputError
from corll.files import cell_lines
from corll.files.cell_lines import Line, Play, is_about
from corll.files.durable import read_lines

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


def play_cells(
    path: Path, wanted: Mapping[CellKey, Line], about: Line, play: Play[CellKey]
) -> None:
    """Play the cells that a file lacks, and add each line to it as it comes.

    *Raises*: InputError where a cell is there that was played with other settings.
    """
    finished = finished_cells(path, wanted)
    cell_lines.play_cells(path, wanted, finished, about, play, progress=_say)


def _say(key: CellKey, line: Line) -> None:
    if line.get("held_out") is None and line["edit"] % 10 == 0:
        print(f"{' '.join(map(str, key))}: edit {line['edit']}", flush=True)


def finished_cells(path: Path, wanted: Mapping[CellKey, Line]) -> set[CellKey]:
    """Return which of the wanted cells a file has; remove all lines of those half-played.

    *Raises*: InputError where a cell was played with other settings than are wanted.
    """
    return cell_lines.finished_cells(
        path,
        wanted,
        key_of=CellKey.of,
        count_of=lambda about: about["cell"]["edits"] + about["cell"]["held_out"],
    )


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

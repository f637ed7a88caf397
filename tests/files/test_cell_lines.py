"""Cells that are finished stay, half-played ones go, and other settings are not mixed in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from corll.errors import InputError
from corll.files.cell_lines import finished_cells, is_about


class Key(NamedTuple):
    seed: int
    arm: str


def key_of(line: Any) -> Key:
    return Key(line["seed"], line["arm"])


def about(seed: int, rate: float = 0.1) -> dict[str, Any]:
    cell = {"lines": 2, "config": {"rate": rate}}
    return {"seed": seed, "arm": "sft", "model": "tiny", "cell": cell}


def measured(seed: int, item: int) -> dict[str, Any]:
    return {"seed": seed, "arm": "sft", "item": item}


def written(tmp_path: Path, *lines: dict[str, Any], torn: str = "") -> Path:
    path = tmp_path / "cells.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)
    return path


def finished(path: Path, *wanted: dict[str, Any]) -> set[Key]:
    return finished_cells(
        path,
        {key_of(line): line for line in wanted},
        key_of=key_of,
        count_of=lambda line: int(line["cell"]["lines"]),
    )


def test_half_played_cells_are_removed_and_others_stay(tmp_path: Path) -> None:
    whole = [about(0), measured(0, 0), measured(0, 1)]
    other = [about(7), measured(7, 0)]
    path = written(tmp_path, *whole, about(1), measured(1, 0), *other, torn='{"seed": 1')
    assert finished(path, about(0), about(1), about(2)) == {Key(0, "sft")}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*whole, *other]


def test_a_file_that_is_not_there_has_no_cells(tmp_path: Path) -> None:
    assert finished(tmp_path / "none.jsonl", about(0)) == set()


def test_a_cell_of_other_settings_is_refused_and_nothing_is_removed(tmp_path: Path) -> None:
    path = written(tmp_path, about(0, rate=0.2), measured(0, 0))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"cell 0, sft by .*\(config: rate: 0.2, not 0.1\)"):
        finished(path, about(0))
    assert path.read_bytes() == before


def test_the_first_line_of_a_cell_is_told_from_its_measurements() -> None:
    assert is_about(about(0))
    assert not is_about(measured(0, 1))

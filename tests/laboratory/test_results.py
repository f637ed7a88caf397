"""The committed results: what figures and tables were made from is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corll.laboratory.statistics import load_evaluations

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
GRIDS = sorted(path.parent for path in RESULTS.glob("*/experiment.json"))


@pytest.mark.parametrize("folder", GRIDS, ids=lambda folder: folder.name)
def test_a_grid_has_the_evaluations_of_its_figures(folder: Path) -> None:
    lines = load_evaluations(folder)
    arms = {line["arm"] for line in lines}
    assert all(line["preferences"] >= 0 and isinstance(line["reward"], float) for line in lines)
    figures = sorted(folder.glob("fig-*.json"))
    assert figures
    for path in figures:
        drawn = json.loads(path.read_text(encoding="utf-8"))
        assert drawn["command"].startswith("corll experiment ")
        assert path.with_suffix(".png").exists()
        shown = {curve["arm"] for curve in drawn.get("curves", ())}
        assert shown <= arms, f"{path.name} shows arms that evaluations.jsonl lacks"

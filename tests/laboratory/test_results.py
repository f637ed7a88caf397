"""The committed results: what figures and tables were made from is there, and gives the same."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from corll.laboratory.contrasts import contrast_rows
from corll.laboratory.factorial import effect_rows
from corll.laboratory.report import summary_rows
from corll.laboratory.statistics import load_evaluations

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
FIGURES = Path(__file__).parents[1] / "data" / "figures_of_results.json"
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


@pytest.mark.parametrize("folder", GRIDS, ids=lambda folder: folder.name)
def test_tables_give_the_figures_that_were_published(folder: Path) -> None:
    """Contrasts and n₅₀ as an implementation of our own computed them; here they are scipy's."""
    expected = json.loads(FIGURES.read_text(encoding="utf-8"))[folder.name]
    lines = load_evaluations(folder)
    contrasts = {
        f"{row['first']} - {row['second']}": [
            row[k] for k in ("mean", "low", "high", "p", "n", "t")
        ]
        for row in (*contrast_rows(lines), *effect_rows(lines))
    }
    assert contrasts.keys() == expected["contrasts"].keys()
    for pair, figures in expected["contrasts"].items():
        known = [math.nan if figure is None else figure for figure in figures]
        assert contrasts[pair] == pytest.approx(known, rel=1e-12, abs=1e-12, nan_ok=True), pair
    n_50 = {row["arm"]: row["n_50"] for row in summary_rows(lines) if row["n_50"] is not None}
    assert n_50 == pytest.approx(expected["n_50"], rel=1e-12)

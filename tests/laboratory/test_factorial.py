"""The effects of the factorial, on areas that can be added up by hand."""

from __future__ import annotations

from typing import Any

import pytest

from corll.laboratory.arms import FACTORIAL
from corll.laboratory.factorial import effect_rows

EFFECTS = {
    **{"edit": 0.3, "redraw": 0.1},
    **{"dpo": 0.0, "sft": 0.5, "both": 0.6},
    **{"online": 0.2, "offline": 0.1},
}


def lines(seeds: range) -> list[dict[str, Any]]:
    """Level curves: the sum of the levels' effects, and of the seed's own height."""
    return [
        {
            **{"task": "imdb", "size": "tiny", "arm": arm, "seed": seed},
            **{"preferences": preferences, "reward": sum(map(EFFECTS.get, arm.split("+"))) + seed},
        }
        for arm in FACTORIAL
        for seed in seeds
        for preferences in (0, 64, 128)
    ]


def test_effects_worked_by_hand() -> None:
    """Kind matters twice as much to DPO as to the others."""
    given = lines(range(3))
    for line in given:
        line["reward"] += 0.2 * line["arm"].startswith("edit+dpo")
    found = {(row["first"], row["second"]): row for row in effect_rows(given)}
    expected = {
        ("edit", "redraw"): 0.2 + 0.2 / 3,
        ("dpo", "sft"): -0.4,
        ("dpo", "both"): -0.5,
        ("sft", "both"): -0.1,
        ("online", "offline"): 0.1,
        ("edit+dpo", "redraw+dpo"): 0.4,
        ("edit+sft", "redraw+sft"): 0.2,
        ("edit+both", "redraw+both"): 0.2,
        **{(f"{loss}+online", f"{loss}+offline"): 0.1 for loss in ("dpo", "sft", "both")},
    }
    assert found.keys() == expected.keys()
    for levels, difference in expected.items():
        assert found[levels]["mean"] == pytest.approx(difference)
        assert (found[levels]["n"], found[levels]["until"]) == (3, 128)


def test_a_seed_without_all_cells_is_left_out() -> None:
    partial = [line for line in lines(range(3)) if (line["arm"], line["seed"]) != (FACTORIAL[5], 2)]
    assert {row["n"] for row in effect_rows(partial)} == {2}


def test_no_complete_seed_gives_no_effects() -> None:
    assert effect_rows([]) == []
    assert effect_rows([line for line in lines(range(2)) if line["arm"] != FACTORIAL[0]]) == []

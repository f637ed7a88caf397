"""The effects of the factorial, on areas that can be added up by hand."""

from __future__ import annotations

from typing import Any

import pytest

from corll.laboratory.arms import FACTORIAL
from corll.laboratory.factorial import effect_rows, equal_cost_rows

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
    assert equal_cost_rows([], "kl") == []


def test_differences_at_equal_kl_worked_by_hand() -> None:
    """DPO goes 2 nats and gains 0.3 a nat; SFT goes 8 and gains 0.2 a nat, both 4 and 0.25.

    So at 2 nats DPO is 0.2 ahead of SFT, and 0.1 ahead of both, which at 4 are 0.2 ahead of SFT.
    """
    reached = {"dpo": (2.0, 0.3), "sft": (8.0, 0.2), "both": (4.0, 0.25)}
    given = []
    for line in lines(range(2)):
        end, slope = reached[line["arm"].split("+")[1]]
        kl = end * line["preferences"] / 128
        given.append(line | {"kl": kl, "reward": slope * kl + line["seed"]})
    found = {(row["first"], row["second"]): row for row in equal_cost_rows(given, "kl")}
    assert found.keys() == {(row["first"], row["second"]) for row in effect_rows(given)}
    for levels, kl, difference in [
        (("dpo", "sft"), 2.0, 0.2),
        (("dpo", "both"), 2.0, 0.1),
        (("sft", "both"), 4.0, -0.2),
        (("edit", "redraw"), (2 + 8 + 4) / 3, 0.0),
        (("sft+online", "sft+offline"), 8.0, 0.0),
    ]:
        assert found[levels]["mean"] == pytest.approx(difference)
        assert found[levels]["at"] == pytest.approx(kl)
        assert found[levels]["n"] == 2


def test_where_a_cost_turns_back_there_is_no_difference_at_equal_cost() -> None:
    """Edits by DPO come back from 4 nats to 1: only effects without them remain."""
    given = []
    for line in lines(range(2)):
        kl = line["preferences"] / 64
        if line["arm"] == "edit+dpo+online" and kl == 2:
            given += [line | {"kl": 4.0, "preferences": 100}, line | {"kl": 1.0}]
        else:
            given.append(line | {"kl": kl})
    found = {(row["first"], row["second"]) for row in equal_cost_rows(given, "kl")}
    assert ("sft+online", "sft+offline") in found
    assert ("dpo+online", "dpo+offline") not in found
    assert ("edit", "redraw") not in found

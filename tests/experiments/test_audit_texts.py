"""The audit of simulated edits: played on a tiny model, and its table by lines made by hand."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from audit_texts import audits, report


def probe(exposure: float, *, greedy: bool = False, sampled: int = 0) -> dict[str, Any]:
    return {
        "exposure": exposure,
        "exposure_base": 1.0,
        "exposure_learned": exposure - 1.0,
        "greedy": greedy,
        "sampled": sampled,
    }


def test_the_table_has_a_line_for_each_place() -> None:
    canaries = [
        {"in_place": probe(8.0, greedy=True), "elsewhere": probe(2.0)},
        {"in_place": probe(4.0, sampled=3), "elsewhere": None},
    ]
    line = {
        "label": "default",
        "plan": {"repeats": 4},
        "canaries": canaries,
        "strings": [{"probe": probe(3.0)}],
    }
    assert list(report([line]))[2:] == [
        "| default | 4 | after its own text | 2 | 6.0 (1.0) | 5.0 | 1 | 1 |",
        "| default | 4 | after another request | 1 | 2.0 (1.0) | 1.0 | 0 | 0 |",
        "| default | – | own strings | 1 | 3.0 (1.0) | 2.0 | 0 | 0 |",
    ]


def test_it_is_played_once_for_each_number_of_texts(roomy_model_folder: Path) -> None:
    options = Namespace(
        model=str(roomy_model_folder),
        writer="signs",
        edits=4,
        canaries=1,
        repeats=[1, 3],
        set=["max_completion_length=8"],
        label="tiny",
    )
    found = list(audits(options))
    assert [line["plan"]["repeats"] for line in found] == [1, 3]
    assert {(line["edits"], line["texts"], line["steps"]) for line in found} == {(4, 4, 2)}
    assert [one["repeats"] for line in found for one in line["canaries"]] == [1, 3]

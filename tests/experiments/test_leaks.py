"""Leaks with the guard and without it: the same requests in every mode, and a report by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from check_arms import Check
from corll.policy import Policy
from leaks import play, report


def line(memory: str, mode: str, leaks: list[list[str]], **more: Any) -> dict[str, Any]:
    return {"memory": memory, "mode": mode, "leaks": leaks, "seconds": 10, "thrown_away": 0, **more}


def test_the_report_counts_drafts_with_facts_and_leaves_phrases_out() -> None:
    lines = [
        line("none", "base", [], seconds=20),
        line("last", "unguarded", [["name", "Bo", "1"], ["date", "May", "1"]]),
        line("last", "unguarded", [["phrase", "we will come back to you", "1"]], seconds=30),
        line("last", "unseen", [], thrown_away=2),
    ]
    rows = report(lines).splitlines()
    assert rows[2:] == [
        "| none | base | 0.0% ± 0.0% of 1 | 0.00 | 1.00× |",
        "| last | unguarded | 50.0% ± 69.3% of 2 | 0.00 | 1.00× |",
        "| last | unseen | 0.0% ± 0.0% of 1 | 2.00 | 0.50× |",
    ]


def test_each_mode_answers_the_same_requests(roomy_model_folder: Path) -> None:
    policy = Policy.load(roomy_model_folder, dtype="float32")
    check = Check.as_served(edits=3, held_out=0)
    config = check.config.with_settings(max_completion_length=16)
    lines = list(play(policy, ["frame"], replace(check, config=config), 0))
    assert len(lines) == 3 * 7
    first = [one for one in lines if one["edit"] == 1]
    assert len({one["draft"] for one in first if one["mode"] != "streamed"}) == 1
    letters = {(one["memory"], one["edit"]): one["letters"] for one in lines}
    assert letters["last", 3] == letters["nearest", 3] == 2
    assert letters["none", 3] == letters["last", 1] == 0

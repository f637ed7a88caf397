"""The short form of the kills of a fleet: `make fleet-crash-test` is the long one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corll.files.durable import append_line, read_lines
from crash.databases import databases
from crash.fleet import __main__ as command
from crash.fleet.play import GATEWAYS, LEARNERS, Round, play
from crash.service import WarmParent
from postgres_server import why_not


def test_gateways_and_learners_that_are_killed_at_random_lose_nothing(
    parent: WarmParent, tiny_model_folder: Path, tmp_path: Path
) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with databases("postgres") as made, made.new() as url:
        assert url is not None
        given = Round(number=0, kills=4, users=8)
        line = play(parent, tiny_model_folder, url, given, tmp_path / "round")
    assert line["violations"] == []
    assert sum(line["killed"].values()) == 4
    assert line["edits"] > 0
    assert line["versions"]["serving"] > 0
    assert set(line["preferences"]) == {"learned"}


def line_of(number: int, violations: list[str]) -> dict[str, Any]:
    return {
        **Round(number, 2, 64)._asdict(),
        "killed": {GATEWAYS[0]: 1, LEARNERS[1]: 1},
        "killed_while_starting": 1,
        "drafts": 90,
        "edits": 60,
        "deletions": 3,
        "asked_again": 5,
        "preferences": {"learned": 57},
        "versions": {"serving": 20, "retired": 10},
        "drained_s": 31.2 + number,
        "took_s": 50.0,
        "violations": violations,
    }


def test_a_run_goes_on_with_the_round_in_which_it_was_stopped(tmp_path: Path) -> None:
    given = command.rounds(60, 25, 64)
    assert [(one.number, one.kills) for one in given] == [(0, 25), (1, 25), (2, 10)]
    results = tmp_path / "rounds.jsonl"
    for one in given[:2]:
        append_line(results, line_of(one.number, []))
    with results.open("a") as file:
        file.write('{"number": 2')  # stopped in mid-line
    assert command.left_of(given, results) == given[2:]
    append_line(results, line_of(2, []))
    assert len(read_lines(results)) == 3
    assert command.left_of(given, results) == []


def test_the_summary_says_who_was_killed_and_what_did_not_hold() -> None:
    told = command.summary([line_of(0, []), line_of(1, ["edit edit_1 is lost"])])
    assert "4 kills in 2 rounds: 2 gateway-1, 0 gateway-2, 0 learner-1, 2 learner-2" in told
    assert "180 drafts, 120 edits and 6 deletions were answered; 10 requests" in told
    assert "60 versions; all queues were empty 32 s after the last kill at most" in told
    assert "something did not hold: 1\n  round 1: edit edit_1 is lost" in told

"""What the lines of the poison experiment say, by lines made by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "poison_report.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("poison_report", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["poison_report"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["poison_report"]


def line(number: int, condition: str, *, serves: int, before: int, **fields: Any) -> dict[str, Any]:
    rejected = serves != number
    return {
        "poison": "ok",
        "seed": 0,
        "number": number,
        "drafts_before": before,
        "start": "good",
        "condition": condition,
        "own": "good",
        "serves": serves,
        "reasons": ["of 8 drafts on recent prompts 5 are ruined"] if rejected else [],
        "flawed": {"own": 5 if rejected else 0, "others": [0, 1], "drafts": 8},
        **fields,
    }


def done(drafts: int) -> dict[str, Any]:
    return {"poison": "ok", "seed": 0, "done": drafts}


def served(script: Any, *lines: dict[str, Any]) -> list[int]:
    return [one.served for one in script.judged_lines(lines)["ok"]]


def test_a_ruined_version_serves_until_one_that_is_not_ruined_does(script: Any) -> None:
    lines = [
        line(1, "ruined", serves=1, before=2),
        line(2, "ruined", serves=2, before=4),
        line(3, "good", serves=3, before=9),
    ]
    assert served(script, *lines, done(20)) == [7, 5, 0]


def test_a_rejected_version_serves_nobody(script: Any) -> None:
    lines = [line(1, "ruined", serves=0, before=2), line(2, "ruined", serves=0, before=2)]
    assert served(script, *lines, done(20)) == [0, 0]


def test_a_ruined_parent_that_goes_on_counts(script: Any) -> None:
    lines = [line(1, "ruined", serves=1, before=2), line(2, "ruined", serves=1, before=4)]
    assert served(script, *lines, done(14)) == [12, 10]


def test_a_ruined_reference_that_serves_counts(script: Any) -> None:
    lines = [line(1, "ruined", serves=0, before=2, start="ruined")]
    assert served(script, *lines, done(14)) == [12]


def test_what_saves_its_writer_half_is_wanted(script: Any) -> None:
    means = {"own_seconds": [5.0, 9.0, 10.0]}
    wanted = line(1, "ruined", serves=1, before=2, means=means)
    dearer = line(1, "ruined", serves=1, before=2, means={"own_seconds": [5.1, 9.0, 10.0]})
    assert served(script, wanted, done(20)) == [0]
    assert served(script, dearer, done(20)) == [18]
    good = line(1, "good", serves=1, before=2, means=means)
    assert [script.condition_of(one) for one in (wanted, dearer, good)] == [
        "wanted",
        "ruined",
        "good",
    ]


def test_plays_that_were_stopped_do_not_count(script: Any) -> None:
    stopped = [line(1, "ruined", serves=1, before=2), line(2, "ruined", serves=2, before=4)]
    assert script.judged_lines(stopped) == {}
    assert len(script.judged_lines(stopped, stopped=True)["ok"]) == len(stopped)
    assert served(script, *stopped, line(1, "good", serves=1, before=2), done(4)) == [0]


def test_the_curve_goes_from_many_misses_to_many_false_alarms(script: Any) -> None:
    weak = {"own": 2, "others": [0], "drafts": 8}
    lines = [
        line(1, "ruined", serves=1, before=2, flawed=weak),
        line(2, "good", serves=2, before=4, flawed={**weak, "own": 1}),
        done(6),
    ]
    points = script.curve(script.judged_lines(lines))
    assert points[0] == (1e-6, 1.0, 0.0)
    assert points[-1] == (0.8, 0.0, 1.0)
    missed, stopped = ([point[n] for point in points] for n in (1, 2))
    assert missed == sorted(missed, reverse=True)
    assert stopped == sorted(stopped)


def test_the_report_says_what_was_rejected(script: Any) -> None:
    lines = [
        line(1, "ruined", serves=1, before=2),
        line(2, "ruined", serves=0, before=15),
        line(3, "good", serves=0, before=15),
        done(20),
    ]
    kept = {"poison": "gibberish", "seed": 0, "done": 20, "unfit": 18}
    lines.append(kept)
    judged = script.judged_lines(lines)
    found = script.report(judged, script.unfit_texts(lines), script.curve(judged))
    assert "| ok | 0 of 20 | 3 | 0 | 2 | 1 | 6.5, 13 | 1 | 1 | 1 |" in found
    assert "| gibberish | 18 of 20 | 0 | 0 |" in found

"""The simulator's small end: a recorded run, played again with its own service times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corll.cli import main
from corll.errors import ConfigError, InputError
from corll.fleet.measured import MeasuredRun, play_measured, read_measured


def recorded(*, learners: int = 3, seed: int = 0) -> dict[str, Any]:
    """A run of 64 users as three threads would have it, simulated second by second.

    It is written apart from the simulator: no heap of events, but a clock that ticks.
    """
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 600, 400))
    edits = [(float(time), f"user-{rng.integers(64)}") for time in times]
    waiting: dict[str, list[float]] = {}
    held: dict[int, tuple[str, list[float], float]] = {}
    line: list[str] = []
    claims, served, left, tick, now = [], [], list(edits), 0.01, 0.0
    while left or held or line:
        while left and left[0][0] <= now:
            time, user = left.pop(0)
            waiting.setdefault(user, []).append(time)
        for number, (_, taken, end) in list(held.items()):
            if end <= now:
                served += [now - edit for edit in taken]
                del held[number]
        busy = {user for user, _, _ in held.values()}
        line += [u for u, w in waiting.items() if len(w) >= 2 and u not in line and u not in busy]
        while line and len(held) < learners:
            user = line.pop(0)
            count = len(waiting[user]) // 2 * 2
            taken, waiting[user] = waiting[user][:count], waiting[user][count:]
            seconds = (2.0 + count) * float(rng.uniform(0.8, 1.2))
            claims.append((count, seconds))
            held[next(n for n in range(learners) if n not in held)] = (user, taken, now + seconds)
        now += tick
    return {
        "learners": learners,
        "edits": edits,
        "claims": claims,
        "edit_to_serving_s": served,
    }


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_recorded_run_is_played_to_its_own_times(tmp_path: Path) -> None:
    run = read_measured(write(tmp_path, recorded()))
    end = play_measured(run, seed=0)
    assert end.off is not None
    assert abs(end.off) < 0.2
    assert end.simulated_median == pytest.approx(end.measured_median, rel=0.2)
    assert play_measured(run, seed=0) == end


def test_fewer_learners_would_have_taken_longer() -> None:
    run = MeasuredRun(**{**recorded(), "edit_to_serving_s": ()})
    fewer = play_measured(MeasuredRun(**{**run.model_dump(), "learners": 1}), seed=0)
    both = play_measured(run, seed=0), fewer
    assert both[1].simulated_p95 > 1.2 * both[0].simulated_p95
    assert both[0].off is None


def test_the_command_tells_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, recorded())
    assert main(["simulate-fleet", "--measured", str(path)]) == 0
    assert "the simulated p95 is off by" in capsys.readouterr().out
    assert main(["simulate-fleet", "--measured", str(path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) > {"off", "measured_p95"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([1, 2], InputError),
        ({"learners": 3}, ConfigError),
        ({"learners": 3, "edits": [[0, "a"]], "claims": [[0, 1]]}, ConfigError),
        ({"learners": 3, "edits": [[0, "a"]], "claims": [[2, -1]]}, ConfigError),
        ({"learners": 3, "edits": [[0, "a"]], "claims": [[2, 1]], "odd": 1}, ConfigError),
    ],
)
def test_what_is_no_recorded_run_is_refused(
    tmp_path: Path, content: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_measured(write(tmp_path, content))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_measured(path)

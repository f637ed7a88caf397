"""Durable points: each is passed in one place of the code, and a process dies where it is told."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import corll.config
from corll.durable_points import POINTS, VARIABLE
from corll.errors import ConfigError

SOURCE = Path(corll.config.__file__).parent

PASSING = (
    "from corll.durable_points import reached\n"
    "for number in range(3):\n"
    "    reached('step done')\n"
    "    print(number, flush=True)\n"
    "    reached('edit committed')\n"
)


def passed_in(source: str) -> list[str]:
    """The points that a module passes, each as often as it names it."""
    calls = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "reached"
    )
    return [str(ast.literal_eval(call.args[0])) for call in calls]


def run(value: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    if value is not None:
        environment[VARIABLE] = value
    return subprocess.run(
        [sys.executable, "-c", PASSING], env=environment, capture_output=True, text=True
    )


def test_each_point_is_passed_in_one_place_of_the_code() -> None:
    found = Counter(
        point for path in SOURCE.rglob("*.py") for point in passed_in(path.read_text("utf-8"))
    )
    assert found == Counter(POINTS)


def test_a_process_dies_at_the_passing_that_is_named() -> None:
    done = run("edit committed:2")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1"]


def test_no_process_dies_elsewhere() -> None:
    for value in (None, "edit committed:4", "import done:1"):
        done = run(value)
        assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2"]), done.stderr


@pytest.mark.parametrize(
    "value", ["", "edit:1", "edit committed", "edit committed:0", "step done:x"]
)
def test_what_names_no_point_is_refused(value: str) -> None:
    done = run(value)
    assert done.returncode == 1
    assert ConfigError.__name__ in done.stderr
    command = [sys.executable, "-c", "from corll.cli import main; raise SystemExit(main())"]
    environment = {**os.environ, VARIABLE: value}
    told = subprocess.run(
        [*command, "backup", "/nowhere"], env=environment, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert VARIABLE in told.stderr

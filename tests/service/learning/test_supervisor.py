"""How long the supervisor waits before it starts a learner again, and how a learner ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from corll.service.learning import supervisor
from corll.service.learning.supervisor import Supervisor
from corll.service.settings import ServiceSettings
from patience import PATIENCE_S
from running_service import until


class Learners(Supervisor):
    """Learners that run for so many seconds each and then die, on a clock of their own."""

    def __init__(self, lives: Sequence[float], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(ServiceSettings())
        self.now = 0.0
        self.pauses: list[float] = []
        self.states: list[str] = []
        self._lives = list(lives)
        monkeypatch.setattr(supervisor, "time", self)
        monkeypatch.setattr(self._stopping, "wait", self._pause)

    def monotonic(self) -> float:
        return self.now

    def _run_once(self) -> None:
        self.now += self._lives.pop(0)

    def _pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.states.append(self.state)
        self.now += seconds
        if not self._lives:
            self._stopping.set()
        return self._stopping.is_set()


def test_a_learner_that_dies_again_and_again_is_started_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learners = Learners([5.0] * 9, monkeypatch)
    learners.start()
    learners._thread.join(PATIENCE_S)
    assert learners.pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert learners.states == ["starting"] + 9 * ["down"]
    assert (learners.restarts, learners.state) == (9, "off")


def test_a_learner_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without memory for a further process."""
    learners = Learners([5.0, 5.0], monkeypatch)
    monkeypatch.setattr(learners, "_run_once", partial(Supervisor._run_once, learners))

    def refuse(*_: object, **__: object) -> object:
        learners._lives.pop(0)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(learners._context, "Process", refuse)
    learners.start()
    learners._thread.join(PATIENCE_S)
    assert learners.states == ["starting", "down", "down"]
    assert (learners.restarts, learners.state) == (2, "off")


def test_one_that_ran_well_is_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learners = Learners([5.0, 5.0, 5.0, 61.0, 5.0], monkeypatch)
    learners.start()
    learners._thread.join(PATIENCE_S)
    assert learners.pauses == [0.5, 1, 2, 4, 1, 2]


@pytest.mark.parametrize(("drafted_for", "pauses"), [(0.0, 1), (2.0, 4), (600.0, 121)])
def test_the_first_draft_has_the_machine_to_itself(
    monkeypatch: pytest.MonkeyPatch, drafted_for: float, pauses: int
) -> None:
    learners = Learners([5.0], monkeypatch)
    pause = learners._pause

    def draft_meanwhile(seconds: float) -> bool:
        stopping = pause(seconds)
        learners.set_drafting(learners.now < drafted_for)
        return stopping

    learners.set_drafting(drafted_for > 0)
    monkeypatch.setattr(learners._stopping, "wait", draft_meanwhile)
    learners.start()
    learners._thread.join(PATIENCE_S)
    assert learners.states.count("starting") == pauses


def test_a_learner_that_is_switched_off_is_never_started() -> None:
    off = Supervisor(ServiceSettings(learn=False))
    off.start()
    assert off.state == "off"
    assert not any(thread is off._thread for thread in threading.enumerate())
    off.stop()


_HOLDS_IMPORTS = """
import pathlib, sys, time

class Held:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            pathlib.Path({reached!r}).touch()
            time.sleep({seconds})

if "--multiprocessing-fork" in sys.orig_argv:
    sys.meta_path.insert(0, Held())
"""
"""A `sitecustomize` by which a learner stays where it begins to import torch."""
_SERVER = """
import time
from corll.service.learning.supervisor import Supervisor
from corll.service.settings import ServiceSettings

Supervisor(ServiceSettings()).start()
time.sleep({seconds})
"""


def test_a_learner_that_imports_still_ends_with_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, seconds = tmp_path / "reached", 2 * PATIENCE_S
    held = _HOLDS_IMPORTS.format(reached=str(reached), seconds=seconds)
    (tmp_path / "sitecustomize.py").write_text(held)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    with subprocess.Popen([sys.executable, "-c", _SERVER.format(seconds=seconds)]) as server:
        until(reached.exists)
        (learner,) = [
            child
            for child in psutil.Process(server.pid).children()
            if "--multiprocessing-fork" in child.cmdline()
        ]
        server.kill()
    try:
        until(lambda: has_ended(learner))
    finally:
        with suppress(psutil.NoSuchProcess):
            learner.kill()


def has_ended(process: psutil.Process) -> bool:
    """Say whether a process has ended; nobody may have asked for its exit code."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def test_versions_that_the_learner_erased_are_told_to_whoever_holds_them() -> None:
    supervisor = Supervisor(ServiceSettings(learn=False))
    supervisor._hear("erased", ["ver_1"])  # nobody listens yet
    heard: list[object] = []
    supervisor.on_erased = heard.append
    supervisor._hear("erased", ["ver_2"])
    assert heard == [["ver_2"]]

"""How long the supervisor waits before it starts a learner again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from corll.service.learning import supervisor
from corll.service.learning.supervisor import Supervisor
from corll.service.settings import ServiceSettings
from patience import PATIENCE_S


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

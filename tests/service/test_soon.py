"""Work that is done a moment after it was last asked for."""

from __future__ import annotations

import logging

import pytest

from corll.errors import InputError
from corll.service.soon import Soon
from running_service import until


def test_it_is_done_once_for_each_name_in_the_order_in_which_they_were_last_asked_for() -> None:
    done: list[str] = []
    soon = Soon(done.append, after_s=3600, thread="soon")
    for name in ("ann", "ben", "ann"):
        soon.ask(name)
    assert done == []
    soon.stop()
    assert done == ["ben", "ann"]


def test_it_is_done_by_itself_and_again_when_asked_again() -> None:
    done: list[str] = []
    soon = Soon(done.append, after_s=0.01, thread="soon")
    soon.ask("ann")
    until(lambda: done == ["ann"])
    soon.ask("ann")
    until(lambda: done == ["ann", "ann"])
    soon.stop()


@pytest.mark.parametrize(("error", "logged"), [(InputError("x"), 0), (RuntimeError("x"), 1)])
def test_what_it_raises_stops_nothing(
    error: Exception, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def do(name: str) -> None:
        done.append(name)
        if name == "ann":
            raise error

    soon = Soon(do, after_s=0, thread="soon")
    soon.ask("ann")
    soon.ask("ben")
    soon.stop()
    assert done == ["ann", "ben"]
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == logged

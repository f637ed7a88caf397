"""What pytest is told inside a trial: which tests go first, or what they run of a module."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import Phase, settings


class WithoutShrinking:
    """Makes hypothesis stop at the first example that fails, since nobody reads it here."""

    def pytest_sessionstart(self) -> None:
        phases = (Phase.explicit, Phase.generate, Phase.target)
        settings.register_profile("mutants", settings.default, phases=phases)
        settings.load_profile("mutants")


class Order:
    """Runs the tests that reach the changed lines before the others, file by file."""

    def __init__(self, first: Sequence[str]) -> None:
        self._rank = {name: n for n, name in enumerate(first)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        last = len(self._rank)
        items.sort(key=lambda item: self._rank.get(item.nodeid, last))


class Survey:
    """Notes how long each test takes and which lines of one file it runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: set[int] = set()
        self.seconds: dict[str, float] = {}
        self.reached: dict[str, list[int]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._lines.clear()
        begun = time.perf_counter()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self.seconds[item.nodeid] = time.perf_counter() - begun
            self.reached[item.nodeid] = sorted(self._lines)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != self._path:
            return None
        if event == "line":
            self._lines.add(frame.f_lineno)
        return self._trace

"""Turns on one model: whose weights it runs with, for as long as a context lasts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager


class Turns(ABC):
    """A model that runs with one of several sets of weights at a time; None is π_0's own."""

    def __init__(self, active: str | None) -> None:
        self._active = active
        self._contexts = 0

    @abstractmethod
    def switch_to(self, name: str | None) -> None:
        """Make a set of weights the one that the model runs with, and note it as active."""

    @contextmanager
    def held(self, name: str | None) -> Iterator[None]:
        """Let the model run with a set of weights within the context.

        Where contexts are nested, the outer one's weights run again when the inner one ends.
        """
        outer = self._active
        self.switch_to(name)
        self._contexts += 1
        try:
            yield
        finally:
            self._contexts -= 1
            if self._contexts:
                self.switch_to(outer)

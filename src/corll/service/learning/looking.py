"""What one policy drafts for the prompts that are looked at, drawn as far as it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from corll.verdicts.flaws import Drawn


class Look:
    """Drafts to look at, of one policy.

    `draw` draws those from one number to another, the last apart; none is drawn twice.
    """

    def __init__(self, draw: Callable[[int, int], list[Drawn]]) -> None:
        self._draw = draw
        self._drawn: list[Drawn] = []

    def first(self, count: int) -> list[Drawn]:
        """Return the first drafts; those that are missing are drawn in one batch."""
        have = len(self._drawn)
        if count > have:
            self._drawn += self._draw(have, count)
        return self._drawn[:count]

"""What follows when a version is rejected: who serves, and what becomes of its edits.

A parent that the same rules speak against serves no better than its child, so the lineage is gone
back until a version passes; behind them all stands the reference. The edits come back once, with
half the step, and are then set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from corll.errors import InputError

Version = TypeVar("Version")

STEP_SHARES = (1.0, 0.5)
"""Shares of the learning rate at which edits are tried, one after the other."""


def step_share(rejections: int) -> float | None:
    """Return the share of the step at which edits are learned that were rejected so many times.

    None: they are set aside. *Raises*: InputError for a number below 0.
    """
    if rejections < 0:
        raise InputError(f"{rejections} rejections; give 0 or more.")
    return STEP_SHARES[rejections] if rejections < len(STEP_SHARES) else None


def serves_instead(
    ancestors: Sequence[Version], reasons_against: Callable[[Version], Sequence[str]]
) -> Version | None:
    """Return which version serves in place of a rejected one; None: its reference.

    `ancestors` are the rejected version's parent, that one's parent and so on. Each is examined
    by today's rules and habits until one passes, so a parent that was ruined unseen doesn't go on.
    """
    return next((one for one in ancestors if not reasons_against(one)), None)

"""Durations as people write them: 90d, 36h, 12w, 30m."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from tyro.conf import arg

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
_UNITS = {"s": 1.0, "m": 60.0, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
_WRITTEN = re.compile(r"(\d{1,6})\s*([smhdw])", re.ASCII)


def seconds_of(written: str) -> float:
    """Return the seconds of a duration. *Raises*: ValueError for what is none."""
    found = _WRITTEN.fullmatch(written.strip().lower())
    if found is None:
        raise ValueError(
            f"{written!r} is no duration: give a whole number and a unit, such as 90d (days), 36h "
            "(hours), 12w (weeks), 30m (minutes) or 5s (seconds)"
        )
    return int(found[1]) * _UNITS[found[2]]


def _at_least_a_day(written: str) -> str:
    if seconds_of(written) < DAY_S:
        raise ValueError(f"{written!r} is less than a day; give 1d or more")
    return written.strip().lower()


OptionalAge = Annotated[
    str | None,
    AfterValidator(lambda written: None if written is None else _at_least_a_day(written)),
    arg(metavar="DURATION", help_behavior_hint=""),
]
"""How old something may grow, a day or more; None: as old as it may."""

"""A finding: what is wrong, what to do about it, and perhaps how it is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `advice` says what to do; `mending` what `mend` does, if it can."""

    problem: str
    advice: str = ""
    mending: str = ""
    mend: Callable[[], None] | None = None

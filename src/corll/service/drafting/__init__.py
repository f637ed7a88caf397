"""Drafts: what is asked, and the engine that answers."""

from __future__ import annotations

from typing import Any

from corll.moved import NAMES, from_elsewhere

# What the module of this name had before it became a package, also for `from … import *`.
__all__ = list(NAMES[__name__])


def __getattr__(name: str) -> Any:
    return from_elsewhere(__name__, name)

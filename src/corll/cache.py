"""Where converted models and compiled passes are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache's folder: `CORLL_CACHE`, else the user's cache."""
    if folder := os.environ.get("CORLL_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corll"

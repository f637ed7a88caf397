"""Where files are kept: the names that adapters and learners are saved under, and the cache."""

from __future__ import annotations

import os
from pathlib import Path

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

BASE = "corll_base.json"
"""Which base and which π_0 the weights were trained on."""

OPTIMIZER = "corll_optimizer.safetensors"
LEARNER = "corll_learner.json"
"""What going on exactly needs besides weights and optimiser."""


def cache_folder() -> Path:
    """Where converted models and compiled kernels lie: `CORLL_CACHE`, else the user's cache."""
    if folder := os.environ.get("CORLL_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corll"

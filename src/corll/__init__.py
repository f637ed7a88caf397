"""corll: language models that learn from the edits people make anyway."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from corll.config import AdjustedSampling, CoactiveConfig, LoraConfig, SamplingConfig
from corll.errors import CorllError
from corll.feedback import BatchUser, User, UserLeftError
from corll.moved import find_moved_modules
from corll.records import (
    Acceptance,
    Draft,
    Edit,
    Learned,
    Preference,
    Round,
    Sample,
    StepResult,
)
from corll.version import __version__

if TYPE_CHECKING:
    from corll.algorithm import run
    from corll.learner import CoactiveLearner
    from corll.losses import dpo_loss
    from corll.policy import Policy
    from corll.step import PreferenceOptimizer

__all__ = [
    "Acceptance",
    "AdjustedSampling",
    "BatchUser",
    "CoactiveConfig",
    "CoactiveLearner",
    "CorllError",
    "Draft",
    "Edit",
    "Learned",
    "LoraConfig",
    "Policy",
    "Preference",
    "PreferenceOptimizer",
    "Round",
    "Sample",
    "SamplingConfig",
    "StepResult",
    "User",
    "UserLeftError",
    "__version__",
    "dpo_loss",
    "run",
]

# Names that need torch are loaded when they are first used, so that `corll --help` answers at once.
_LOADED_ON_USE = {
    "CoactiveLearner": "corll.learner",
    "Policy": "corll.policy",
    "PreferenceOptimizer": "corll.step",
    "dpo_loss": "corll.losses",
    "run": "corll.algorithm",
}

find_moved_modules()


def __getattr__(name: str) -> Any:
    if name not in _LOADED_ON_USE:
        raise AttributeError(f"module 'corll' has no attribute {name!r}")
    return getattr(import_module(_LOADED_ON_USE[name]), name)


def __dir__() -> list[str]:
    return __all__

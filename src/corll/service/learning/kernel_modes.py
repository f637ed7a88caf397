"""Which instructions a process computes with: the last bits of steps depend on it.

torch and the libraries under it choose instructions when they are loaded, by the processor and by
variables. So a mode can be imposed on a process that is started with its variables, where the
processor has the instructions, and on no other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

_OF_TORCH = "ATEN_CPU_CAPABILITY"
_VARIABLES = (
    _OF_TORCH,
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "CORLL_CPU_KERNELS",
)

Mode = Mapping[str, str]
"""Variables by their names, with the values that choose the same instructions again."""


def own_mode() -> dict[str, str]:
    """Return the mode of this process: torch's own choice, and what variables say of others'."""
    given = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    return {**given, _OF_TORCH: torch.backends.cpu.get_cpu_capability().lower()}


def environment_of(mode: Mode, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that computes in a mode, where its machine can."""
    others = {name: value for name, value in environment.items() if name not in _VARIABLES}
    return {**others, **{name: mode[name] for name in _VARIABLES if name in mode}}


def told(mode: Mode) -> str:
    """Return a mode in words."""
    return ", ".join(f"{name}={mode[name]}" for name in sorted(mode))

"""Measures the machine that a model would run on: its memory, and how quick its products are."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from corll.cache import cache_folder
from corll.catalog.entries import find_model
from corll.catalog.memory import to_learn
from corll.catalog.needs import Machine
from corll.compute.choose import draft_copy_bytes, drafting_product
from corll.config import SMALL_MODEL_BYTES
from corll.files import durable
from corll.model.loading import choose_device, choose_dtype, free_memory, is_cpu
from corll.model.system_memory import available_bytes

_SIZE = 4096
_READ_BYTES = 2**27
"""Weights that are read in turn: more than a processor's caches hold."""
_ROWS = 256
_WINDOW_S, _WINDOWS = 0.1, 8
"""How long a speed is measured at a time, and how often: three speeds in less than ten seconds."""
_VALID_S = 24 * 3600

Speeds = dict[str, float]


def machine_here(device: str | None = None, dtype: str | None = None) -> Machine:
    """Return this machine: its free memory as it is, its speeds as measured within a day.

    *Raises*: ConfigError for a device or dtype that is not there.
    """
    chosen = choose_device(device)
    precision = choose_dtype(dtype, chosen)
    key = _key(chosen, precision)
    speeds = _kept(key)
    if speeds is None:
        speeds = measure_speeds(chosen, precision)
        _keep(key, speeds)
    on_cpu = is_cpu(chosen)
    return Machine(
        device=device_name(chosen),
        dtype=str(precision).removeprefix("torch."),
        itemsize=precision.itemsize,
        memory=free_memory(chosen),
        system_memory=available_bytes(),
        copied_up_to=copied_up_to(chosen, precision),
        draft_copy=draft_copy_bytes(chosen, precision),
        gpu=not on_cpu,
        **speeds,
    )


def copied_up_to(device: torch.device, dtype: torch.dtype) -> float:
    """Return the bytes up to which weights are kept several times on a device."""
    return SMALL_MODEL_BYTES if is_cpu(device) and dtype == torch.bfloat16 else 0.0


def too_little_to_learn(name: str, device: str | None, dtype: str | None) -> str | None:
    """Say what is too little where memory may not suffice for server and learner; else None.

    What they take at most is known of the catalogue's models alone.
    """
    model, chosen = find_model(name), choose_device(device)
    if model is None:
        return None
    precision, free = choose_dtype(dtype, chosen), free_memory(chosen)
    most = copied_up_to(chosen, precision)
    needed = to_learn(
        model.shape,
        precision.itemsize,
        copied_up_to=most,
        draft_copy=draft_copy_bytes(chosen, precision),
        gpu=not is_cpu(chosen),
    )
    if needed <= free:
        return None
    return (
        f"Memory may not suffice: to draft and learn, {name} takes up to {needed / 1e9:.1f} GB, "
        f"and {free / 1e9:.1f} GB are free. `corll models recommend` tells what fits."
    )


def measure_speeds(device: torch.device, dtype: torch.dtype) -> Speeds:
    """Return `bandwidth`, `copied_bandwidth` and `flops` of a `Machine`.

    They are measured with the threads that torch has, by the products that drafts are made of, each
    at the best of several moments: the choice of a model outlasts what a neighbour does just then.
    """
    size = _SIZE * _SIZE * dtype.itemsize
    count = -(-_READ_BYTES // size)
    weights = [torch.ones(_SIZE, _SIZE, dtype=dtype, device=device) for _ in range(count)]
    one = torch.ones(1, _SIZE, dtype=dtype, device=device)
    many = torch.ones(_ROWS, _SIZE, dtype=dtype, device=device)
    with torch.inference_mode():
        plain = [drafting_product(weight, copied=False) for weight in weights]
        copied = [drafting_product(weight, copied=True) for weight in weights]
        return {
            "bandwidth": _most_per_second(plain, one) * size,
            "copied_bandwidth": _most_per_second(copied, one) * size,
            "flops": _most_per_second(plain, many) * 2 * _ROWS * _SIZE * _SIZE,
        }


def device_name(device: torch.device) -> str:
    """Return what people call a device."""
    if is_cpu(device):
        return f"this CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
    with suppress(RuntimeError, AssertionError, ValueError):
        return torch.cuda.get_device_name(device)
    return str(device)


def _most_per_second(products: Sequence[Callable[[Tensor], Tensor]], rows: Tensor) -> float:
    """Return how many products are done in a second at the best of several moments."""
    for product in products:  # what is laid out, is laid out before
        product(rows)
    best = 0.0
    for _ in range(_WINDOWS):
        count, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < _WINDOW_S:
            # A device that works by itself has finished once a value is read.
            products[count % len(products)](rows)[0, 0].item()
            count += 1
        best = max(best, count / passed)
    return best


def _key(device: torch.device, dtype: torch.dtype) -> str:
    facts = (device_name(device), os.cpu_count(), torch.__version__, dtype)
    return "|".join(map(str, facts))


def _kept(key: str) -> Speeds | None:
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
        if kept["key"] == key and 0 <= time.time() - kept["at"] < _VALID_S:
            return {name: float(speed) for name, speed in kept["speeds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _keep(key: str, speeds: Speeds) -> None:
    about = {"key": key, "at": time.time(), "speeds": speeds}
    with suppress(OSError):  # Measured again the next time.
        cache_folder().mkdir(parents=True, exist_ok=True)
        durable.write_text(_file(), json.dumps(about, indent=1) + "\n")


def _file() -> Path:
    return cache_folder() / "machine.json"

"""The machine is measured: its memory, and how quick its products are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from corll.auto import machine
from corll.auto.machine import machine_here, measure_speeds, too_little_to_learn
from corll.errors import ConfigError
from corll.model.system_memory import available_bytes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and quick measurements of little."""
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "_WINDOW_S", 0.005)
    monkeypatch.setattr(machine, "_WINDOWS", 2)
    monkeypatch.setattr(machine, "_SIZE", 256)
    monkeypatch.setattr(machine, "_READ_BYTES", 2**20)
    return tmp_path / "cache"


def test_it_is_measured_in_the_dtype_that_would_be_used(cache: Path) -> None:
    here = machine_here("cpu", "float32")
    assert (here.dtype, here.itemsize, here.gpu, here.copied_up_to) == ("float32", 4, False, 0)
    assert here.bandwidth > 0
    assert here.flops > 0
    assert 0 < here.memory <= here.system_memory
    in_bf16 = machine_here("cpu", "bfloat16")
    assert (in_bf16.itemsize, in_bf16.copied_up_to) == (2, 2 * 2**30)


def test_speeds_are_kept_for_a_day_and_memory_is_not(cache: Path) -> None:
    first = machine_here("cpu", "float32")
    kept = json.loads((cache / "machine.json").read_text())
    assert machine_here("cpu", "float32").bandwidth == first.bandwidth
    for old in ({"at": kept["at"] - 25 * 3600}, {"key": "another machine"}, {"speeds": 3}):
        (cache / "machine.json").write_text(json.dumps({**kept, **old}))
        assert machine_here("cpu", "float32").bandwidth != first.bandwidth


def test_a_device_that_is_not_there_is_said(cache: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used here"):
        machine_here("nowhere")


def test_two_speeds_of_one_machine_are_of_one_size(cache: Path) -> None:
    """A product of many rows does more operations a second than one of a single row."""
    speeds = measure_speeds(torch.device("cpu"), torch.float32)
    assert speeds["flops"] > 2 * speeds["bandwidth"] / 4


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    free = available_bytes(tmp_path)
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert available_bytes(tmp_path) == 600_000 < free
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 600_000


def test_it_is_said_before_where_memory_may_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert too_little_to_learn("/some/folder", "cpu", None) is None
    monkeypatch.setattr(machine, "free_memory", lambda _: 3.4e9)
    said = too_little_to_learn("smollm2-135m", "cpu", "float32")
    assert said is not None
    assert re.search(r"takes up to 3\.[5-9] GB, and 3\.4 GB are free", said)  # int8 or not
    monkeypatch.setattr(machine, "free_memory", lambda _: 3.9e9)
    assert too_little_to_learn("smollm2-135m", "cpu", "float32") is None

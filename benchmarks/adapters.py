"""Adapters of many users on one base, against PEFT's own load, switch and delete.

    python benchmarks/adapters.py [--quick] [--keep]

Cold load: from an adapter's folder to ready for use. Switch: to another adapter in memory. Unload:
its memory is free again. π_0: with the adapter off and on again, which each reference pass needs.
`ADAPTERS` adapters are in memory throughout, on both sides. In milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
from transformers import AutoModelForCausalLM

from corll import Policy
from measuring import Case, memory_gb, new_parser, parse, seconds, taught_policy, write

ADAPTERS = 8


def cases(*, quick: bool) -> Iterator[Case]:
    policy = taught_policy("bfloat16")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        policy.save(folder)
        before = memory_gb()
        others = [policy.with_adapter(folder) for _ in range(ADAPTERS)]
        megabytes = (memory_gb() - before) * 1024 / ADAPTERS
        peer = _Peer(policy, folder)
        pairs = 3 if quick else 15
        yield _case("cold load", _loading(policy, folder), peer.loading(), pairs, "≤ 50 ms")
        switch = _switching(others)
        yield _case("switch", switch, peer.switching(), pairs, "≤ 1 ms", megabytes)
        yield _case("reference on and off", _referring(policy), peer.referring(), pairs, "")
        yield _case("unload", _unloading(policy, folder), peer.unloading(), pairs, "")


def _case(
    name: str,
    ours: Iterator[Callable[[], Any]],
    peer: Iterator[Callable[[], Any]],
    pairs: int,
    target: str,
    megabytes: float | None = None,
) -> Case:
    """Interleaved pairs after a warm-up; each iterator prepares its next piece of work untimed."""
    times = [(seconds(next(ours)) * 1e3, seconds(next(peer)) * 1e3) for _ in range(pairs + 1)][1:]
    return Case(
        f"adapters: {name}",
        [mine for mine, _ in times],
        [theirs for _, theirs in times],
        f"PEFT {peft.__version__}",
        unit="ms",
        target=target,
        more={} if megabytes is None else {"megabytes_per_adapter": megabytes},
    )


def _loading(policy: Policy, folder: Path) -> Iterator[Callable[[], Any]]:
    while True:
        loaded: list[Policy] = []
        yield lambda: loaded.append(policy.with_adapter(folder))  # noqa: B023 - used at once
        loaded[0].unload()


def _switching(others: list[Policy]) -> Iterator[Callable[[], Any]]:
    while True:
        for policy in others:
            yield lambda: _activate(policy)  # noqa: B023 - used at once


def _activate(policy: Policy) -> None:
    with policy.active():
        pass


def _referring(policy: Policy) -> Iterator[Callable[[], Any]]:
    def there_and_back() -> None:
        with policy.as_reference():
            pass

    while True:
        yield there_and_back


def _unloading(policy: Policy, folder: Path) -> Iterator[Callable[[], Any]]:
    while True:
        yield policy.with_adapter(folder).unload


class _Peer:
    """The same base under PEFT, with as many adapters."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        base = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=policy.dtype)
        self.folder = folder
        self.model: Any = peft.PeftModel.from_pretrained(base, folder, adapter_name="a0")
        for number in range(1, ADAPTERS + 1):
            self.model.load_adapter(folder, f"a{number}")

    def loading(self) -> Iterator[Callable[[], Any]]:
        while True:
            yield lambda: self.model.load_adapter(self.folder, "fresh", low_cpu_mem_usage=True)
            self.model.delete_adapter("fresh")

    def switching(self) -> Iterator[Callable[[], Any]]:
        while True:
            for number in range(ADAPTERS):
                yield lambda: self.model.set_adapter(f"a{number}")  # noqa: B023 - used at once

    def referring(self) -> Iterator[Callable[[], Any]]:
        def there_and_back() -> None:
            with self.model.disable_adapter():
                pass

        while True:
            yield there_and_back

    def unloading(self) -> Iterator[Callable[[], Any]]:
        while True:
            self.model.load_adapter(self.folder, "fresh")
            yield lambda: self.model.delete_adapter("fresh")


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    write(cases(quick=chosen.quick), "adapters", keep=chosen.keep)

"""What every benchmark shares: interleaved runs, the floor, and a line of results."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import peft
import torch
import transformers
from torch import Tensor
from torch.nn.functional import linear

from corll import LoraConfig, Policy
from corll.compute.cpu.packed_linear import PackedLinear
from corll.compute.joined_linear import base_of
from corll.config import EMBEDDED_MODEL
from corll.version import __version__

RESULTS = Path(__file__).parent / "results"
LORA = LoraConfig(lora_r=8, lora_alpha=16)


@dataclass
class Case:
    """One comparison: how long the work took us, how long the peer, and the machine's floor.

    `ours` and `peer` are interleaved pairs, in `unit`; less is better. `floor` is the time of the
    matrix products that the work cannot avoid, measured in the same run. `target` is the ratio
    that was asked for.
    """

    name: str
    ours: list[float]
    peer: list[float] | None = None
    peer_name: str = ""
    unit: str = "s"
    floor: float | None = None
    target: str = ""
    dtype: str = "bfloat16"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The peer's time over ours, pair by pair."""
        if self.peer is None:
            return []
        return [theirs / ours for ours, theirs in zip(self.ours, self.peer, strict=True)]

    def line(self) -> dict[str, Any]:
        """The case as a line of `results/`."""
        ours = statistics.median(self.ours)
        result: dict[str, Any] = {"case": self.name, "ours": ours, "unit": self.unit}
        if self.peer is not None:
            ratios = self.ratios
            result |= {
                "peer": statistics.median(self.peer),
                "peer_name": self.peer_name,
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
            }
        if self.floor is not None:
            result |= {"floor": self.floor, "floor_share": self.floor / ours}
        return {
            **result,
            "target": self.target,
            **self.more,
            "dtype": self.dtype,
            "pairs": len(self.ours),
            **environment(),
        }


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure was measured with."""
    packages = {"torch": torch, "transformers": transformers, "peft": peft}
    on_gpu = torch.cuda.is_available()
    processor = torch.cuda.get_device_name() if on_gpu else _processor()
    return {
        "machine": f"{platform.machine()}, {processor}",
        "device": "cuda" if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "versions": {"corll": __version__, **{n: m.__version__ for n, m in packages.items()}},
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def interleaved(
    ours: Callable[[], Any], peer: Callable[[], Any], *, pairs: int, is_warm: bool = False
) -> tuple[list[float], list[float]]:
    """Seconds of both, one after the other, `pairs` times after a warm-up of each.

    Whoever has computed the same just before `is_warm`, and needs none.
    """
    our_times, peer_times = [], []
    for number in range(is_warm, pairs + 1):
        first, second = seconds(ours), seconds(peer)
        if number:
            our_times.append(first)
            peer_times.append(second)
    return our_times, peer_times


def seconds(work: Callable[[], Any]) -> float:
    """How long the work takes, on whichever device."""
    gc.collect()
    _synchronize()
    start = time.perf_counter()
    work()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory_gb(kind: str = "VmRSS") -> float:
    """Resident memory of this process: `VmRSS` now, `VmHWM` at most since its start.

    `ru_maxrss` would count the parent that it was forked from.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 2**20
    raise SystemExit(f"memory is read from /proc/self/status, which lacks {kind} here")


def new_policy(dtype: str, model: str = EMBEDDED_MODEL) -> Policy:
    """A model with a new adapter, on plain text, as the peers take it."""
    return Policy.load(model, dtype=dtype, chat_template=False, lora=LORA)


def taught_policy(dtype: str) -> Policy:
    """The same with an adapter away from zero."""
    return taught(new_policy(dtype))


def taught(policy: Policy, seed: int = 0) -> Policy:
    """Move a policy's adapter away from zero, as the seed says; the policy."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            noise = torch.randn(parameter.shape, generator=generator) * 0.005
            parameter.copy_(noise.to(parameter.device))
    return policy


class Products:
    """The matrix products that a pass through the model cannot avoid, with nothing around them.

    As torch multiplies, or as corll does where it is `own`: by weights laid out once.
    """

    def __init__(self, policy: Policy, *, own: bool = False) -> None:
        model = policy.base.model
        self._own: dict[Any, PackedLinear] | None = {} if own else None
        self._dtype, self._device = policy.dtype, policy.device
        self._layers: list[Tensor] = [
            cast(Any, base_of(module)).weight
            for name, module in model.named_modules()
            if name.rpartition(".")[2].endswith("_proj")
        ]
        self._head: Tensor = model.get_output_embeddings().weight

    def forward(self, rows: int, head_rows: int) -> float:
        """Seconds of a forward pass over `rows` tokens, `head_rows` of them to logits."""
        return self._time([(rows, w) for w in self._layers] + [(head_rows, self._head)])

    def backward(self, rows: int, head_rows: int) -> float:
        """Seconds of the gradients by the activations; frozen weights have none of their own."""
        return self._time([(rows, w.t()) for w in self._layers] + [(head_rows, self._head.t())])

    def _time(self, products: Sequence[tuple[int, Tensor]]) -> float:
        wanted = {(rows, weight.shape[1]) for rows, weight in products if rows}
        inputs = {s: torch.randn(s, device=self._device).to(self._dtype) for s in wanted}

        def compute() -> None:
            with torch.no_grad():
                for rows, weight in products:
                    if rows:
                        self._multiply(inputs[rows, weight.shape[1]], weight)

        compute()
        return min(seconds(compute) for _ in range(3))

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        if self._own is None:
            return linear(x, weight)
        key = weight.data_ptr(), weight.stride()
        if key not in self._own:
            self._own[key] = PackedLinear(weight, None, prepacks=True)
        return self._own[key](x, decoding=True)


def write(cases: Iterable[Case], benchmark: str, *, keep: bool, latest: bool = True) -> None:
    """Prints the cases and, to `keep` them, adds them to the benchmark's file and to the latest.

    `latest` holds what the table of all benchmarks shows.
    """
    for case in cases:
        line = case.line()
        print(summary(line), flush=True)
        if keep:
            RESULTS.mkdir(exist_ok=True)
            for name in (benchmark, "latest") if latest else (benchmark,):
                with (RESULTS / f"{name}.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")


def summary(line: dict[str, Any]) -> str:
    """A case in one row of text."""
    parts = [f"{line['case']:<44} {number(line['ours'])} {line['unit']}"]
    if "ratio" in line:
        parts.append(f"{line['peer_name']} {number(line['peer'])}, {ratio(line)}")
    if "ratio_pages_kept" in line:
        parts.append(f"with pages kept {number(line['ratio_pages_kept'])}×")
    if "floor_share" in line:
        parts.append(f"floor {number(line['floor'])}, {line['floor_share']:.0%} of it")
    if "peak_memory_ratio" in line:
        parts.append(f"memory {line['peak_memory_ratio']:.2f}×")
    if line["target"]:
        parts.append(f"target {line['target']}")
    return " · ".join(parts)


def ratio(line: dict[str, Any]) -> str:
    """The ratio of a line and its range."""
    return f"{line['ratio']:.2f}× ({line['ratio_min']:.2f}–{line['ratio_max']:.2f})"


def number(value: float) -> str:
    """A measured value, in as many digits as it is good for."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """What each benchmark takes on its command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases and pairs")
    parser.add_argument("--keep", action="store_true", help="add the figures to results/")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; from here on the libraries keep their warnings to themselves."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return parser.parse_args()

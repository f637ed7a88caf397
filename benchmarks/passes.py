"""What each compiled pass of the CPU buys: torch's operations, torch.compile and fused operations.

    python benchmarks/passes.py [--quick] [--keep] [--threads N] [--only PASS]

Each pass of `kernels.c` and `tiles.c` does the work that it has in a step (1,000 rows) and in
drafting (32 and 8), in bf16. Its peers are torch's operations as the library uses them without
compiled passes (`eager`), the same work by torch.compile, and the fused operations that torch and
oneDNN have for it. All must give the same up to bf16's rounding; then they take turns. The ratio is
that of the quickest peer to ours. `saved` is what the pass saves against it in one pass through
the model's 30 layers, or in one token of all branches. Calls are timed one by one, with what it
costs to make them from Python; what torch.compile takes for a new shape stands in `compile_s` of
the kept lines. In a step two passes go side by side with one thread each:
`--threads 1` shows that.

A step and a draft with all passes and with none, each in a process of its own that loads the model
once, show what they buy together.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from attention_peers import contests_of_attention
from corll import CoactiveConfig, CoactiveLearner
from corll.compute.cpu.kernels import compiled_kernels
from drafting import draft, make_prompts
from edits import PAIRS, random_edits
from measuring import Case, interleaved, new_parser, number, parse, ratio, taught_policy, write
from pass_peers import Contest, Work, contests
from table import markdown

TARGET = "≥ 1.3×"
SWITCH = "CORLL_CPU_KERNELS"
SAMPLE_S = 0.004
"""What one sample of a peer takes at least, as many calls as that needs."""
SHARE_OFF, MOST_OFF = 2**-7, 2**-5
"""How far from `eager` results in bf16 may be: the norm of the difference, its largest value."""
SHARE_OFF_FLOAT32 = 1e-5
HEADER = ["pass", "size", "ours", "eager", "others", "best / ours (range)", "saved"]


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="the pass whose name begins like this")
    parser.add_argument("--whole", choices=["off", "on"], help=argparse.SUPPRESS)
    chosen = parse(parser)
    torch.set_num_threads(chosen.threads)
    if chosen.whole:
        serve_whole(chosen.whole, quick=chosen.quick)
        return
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool that idles beside
    cases: list[Case] = []

    def measured() -> Iterator[Case]:
        for case in chain(
            passes(chosen.only, quick=chosen.quick),
            () if chosen.only else whole(chosen.threads, quick=chosen.quick),
        ):
            cases.append(case)
            yield case

    write(measured(), "passes", keep=chosen.keep, latest=False)
    print("\n" + markdown([HEADER, ["---"] * len(HEADER), *map(row, cases)]))


def passes(only: str, *, quick: bool) -> Iterator[Case]:
    """All passes, one after another.

    *Raises*: SystemExit where there are none.
    """
    kernels = compiled_kernels()
    if kernels is None:
        raise SystemExit("no compiled passes here: they need Linux, a C compiler, and " + SWITCH)
    if not kernels.have_tiles:
        print("tiled_product is skipped: this processor, or its system, has no tiles (AMX)")
    if (reason := why_not_compile()) is not None:
        print(f"torch.compile is skipped: {reason}")
    all_contests = chain(
        contests(kernels, quick=quick), contests_of_attention(kernels, quick=quick)
    )
    for contest in all_contests:
        if contest.name.startswith(only):
            yield measure(contest, reason, samples=3 if quick else 15)


def why_not_compile() -> str | None:
    """Why torch.compile cannot be tried; None where it can."""
    compiler = os.environ.get("CXX", "g++")
    return (
        None if shutil.which(compiler) else f"it needs a C++ compiler, and there is no {compiler}"
    )


def measure(contest: Contest, why_not_compile: str | None, *, samples: int) -> Case:
    """Run all of a contest in turns."""
    works, compile_s, skipped = contestants(contest, why_not_compile)
    times: dict[str, list[float]] = {name: [] for name in works}
    calls = {name: calls_of(contest, name, work) for name, work in works.items()}
    gc.collect()
    gc.disable()
    try:
        for _ in range(samples):
            for name, work in works.items():
                times[name].append(microseconds(contest, name, work, calls[name]))
    finally:
        gc.enable()
    medians = {name: statistics.median(found) for name, found in times.items()}
    best = min((name for name in works if name != "ours"), key=lambda name: medians[name])
    return Case(
        contest.case,
        times["ours"],
        times[best],
        best,
        unit="µs",
        target=TARGET,
        more={
            "pass": contest.name,
            "size": contest.size,
            "times": {n: [medians[n], min(found), max(found)] for n, found in times.items()},
            "compile_s": compile_s,
            "skipped": skipped,
            "calls": contest.calls,
            "saved_ms": (medians[best] - medians["ours"]) * contest.calls / 1000,
        },
    )


def contestants(
    contest: Contest, why_not_compile: str | None
) -> tuple[dict[str, Work], dict[str, float], dict[str, str]]:
    """Return all that take part by name, how long some took to compile, and why others do not.

    *Raises*: SystemExit where they do not do the same work.
    """
    torch.compiler.reset()
    works = {"ours": contest.ours, "eager": contest.eager, **contest.others}
    compile_s: dict[str, float] = {}
    skipped: dict[str, str] = {}
    with torch.no_grad():
        expected = called(contest, "eager", contest.eager)
        for name, work in contest.compiled.items():
            if why_not_compile is not None:
                skipped[name] = why_not_compile
                continue
            compiled, start = torch.compile(work, dynamic=False), time.perf_counter()
            try:
                compiled(*contest.inputs())
            except RuntimeError as error:
                skipped[name] = str(error).partition("\n")[0]
                print(f"{contest.case}: {name} is skipped: {skipped[name]}", flush=True)
                continue
            works[name], compile_s[name] = compiled, time.perf_counter() - start
        for name, work in works.items():
            compare(f"{contest.case}: {name}", called(contest, name, work), expected)
    return works, compile_s, skipped


def called(contest: Contest, name: str, work: Work) -> list[Tensor]:
    """Return copies of what a peer returns, but for ids: of equal values either may come first."""
    switch(on=name == "ours")
    found = work(*contest.inputs())
    tensors = [found] if isinstance(found, Tensor) else found
    return [part.detach().clone() for part in tensors if part.is_floating_point()]


def compare(name: str, found: list[Tensor], expected: list[Tensor]) -> None:
    """Check that a peer does the same work.

    *Raises*: SystemExit where it does not.
    """
    for own, other in zip(found, expected, strict=True):
        allowed = SHARE_OFF if own.dtype == torch.bfloat16 else SHARE_OFF_FLOAT32
        most = MOST_OFF if own.dtype == torch.bfloat16 else SHARE_OFF_FLOAT32
        own, other = own.double().reshape(-1), other.double().reshape(-1)
        share = float((own - other).norm() / other.norm())
        largest = float((own - other).abs().max() / other.abs().max())
        if not (share <= allowed and largest <= most):
            raise SystemExit(
                f"{name} differs from torch's operations by {share:.2g}, {largest:.2g}"
            )


def switch(*, on: bool) -> None:
    """Give the library's functions the compiled passes, or take them away."""
    if on:
        os.environ.pop(SWITCH, None)
    else:
        os.environ[SWITCH] = "off"
    compiled_kernels.cache_clear()
    compiled_kernels()


def calls_of(contest: Contest, name: str, work: Work) -> int:
    """Return how many calls make a sample."""
    return max(1, math.ceil(SAMPLE_S * 1e6 / microseconds(contest, name, work, 3)))


@torch.no_grad()
def microseconds(contest: Contest, name: str, work: Work, calls: int) -> float:
    """Return how long a call takes on average; the inputs are made while no clock runs."""
    switch(on=name == "ours")
    work(*contest.inputs())  # the switch has left other things in the caches
    total = 0.0
    for _ in range(calls):
        inputs = contest.inputs()
        start = time.perf_counter()
        work(*inputs)
        total += time.perf_counter() - start
    return total / calls * 1e6


def row(case: Case) -> list[str]:
    """Return a case as a row of the table."""
    line = case.line()
    unit = line["unit"]
    times = {name: f"{number(found[0])} {unit}" for name, found in line.get("times", {}).items()}
    others = [f"{name}: {time}" for name, time in times.items() if name not in ("ours", "eager")]
    return [
        line.get("pass", line["case"].partition(": ")[2]),
        line.get("size", ""),
        f"{number(line['ours'])} {unit}",
        times.get("eager", f"{number(line['peer'])} {unit}"),
        "; ".join(others),
        ratio(line),
        f"{number(line['saved_ms'])} ms" if "saved_ms" in line else "",
    ]


class Whole:
    """The model in a process of its own, with all passes or none."""

    def __init__(self, switched: str, threads: int, *, quick: bool) -> None:
        environment = {name: value for name, value in os.environ.items() if name != SWITCH}
        command = [sys.executable, __file__, "--whole", switched, "--threads", str(threads)]
        self._process = subprocess.Popen(
            [*command, "--quick"] if quick else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | ({SWITCH: "off"} if switched == "off" else {}),
        )

    def do(self, work: str) -> dict[str, float]:
        """Let it take a `step` or make a `draft`; return what it says of it.

        *Raises*: SystemExit where the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(work + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SystemExit("a process that runs the whole model has ended") from None
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("a process that runs the whole model has ended")
        result: dict[str, float] = json.loads(answer)
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def whole(threads: int, *, quick: bool) -> Iterator[Case]:
    """Time a step and a draft with all passes and with none; by tiles where there are some."""
    on, off = (Whole(switched, threads, quick=quick) for switched in ("on", "off"))
    try:
        losses = [process.do("step")["loss"] for process in (on, off)]
        if abs(losses[0] - losses[1]) > 0.01:
            raise SystemExit(
                f"a step's loss is {losses[0]} with compiled passes, {losses[1]} without"
            )
        step = f"a step of {pairs_of_step(quick=quick)} pairs, 64 / 64"
        for work, name in (("step", step), ("draft", "a draft of 1 × 8, 64 / 64")):
            pairs = 1 if quick else 5
            ours, peer = interleaved(partial(on.do, work), partial(off.do, work), pairs=pairs)
            yield Case(f"passes: {name}", ours, peer, "none of them")
    finally:
        on.close()
        off.close()


def pairs_of_step(*, quick: bool) -> int:
    """Return how many edits a step of the whole model learns from."""
    return 2 if quick else PAIRS


def serve_whole(switched: str, *, quick: bool) -> None:
    """Do what each line of the input names, and say on a line of the output that it is done."""
    if (compiled_kernels() is None) != (switched == "off"):
        raise SystemExit(f"{SWITCH}={switched} has not the effect that it should have")
    policy = taught_policy("bfloat16")
    pairs = pairs_of_step(quick=quick)
    learner = CoactiveLearner(policy, CoactiveConfig(preferences_per_step=pairs, warmup_steps=0))
    preferences = random_edits(64, 64)(policy, random.Random(0))[:pairs]
    prompts = make_prompts(policy, 1)
    works: Mapping[str, Callable[[], dict[str, Any]]] = {
        "step": lambda: {"loss": learner.step(preferences).metrics["loss"]},
        "draft": lambda: {"candidates": len(draft(policy, prompts, 8)[0])},
    }
    for line in sys.stdin:
        print(json.dumps(works[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()

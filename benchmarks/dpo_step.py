"""One DPO step against TRL's `DPOTrainer`: same model, LoRA, dtype, texts and loss.

    python benchmarks/dpo_step.py [--quick] [--keep] [--people FILE] [--model NAME]

Steps are interleaved: before each of TRL's the same step is taken by corll, so that both see the
same machine. Both start from the same adapter, and their losses must agree at every step. corll's
time includes the reference pass, as TRL's does; TRL runs without gradient checkpointing, which is
its faster setting. Each case has a process of its own, or one for each pair of steps, and memory
another two.

On Linux TRL is much quicker where glibc keeps the memory that was freed, which it does by itself
only after pieces of such a size have come and gone. So each case is measured a second time with
`KEEPS_PAGES` in the environment of both, which its line gives as `..._pages_kept`.

`--model` names another model than the embedded one: then only 256/64 and people's edits are
measured, by a single pair of steps after a warm-up, the peer in batches of two pairs.

`--people`, or `PEOPLES_EDITS` in the environment, names a file of people's edits (gzipped JSON
lines with `original` and `edited`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import peft
import torch
import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback

from corll import CoactiveConfig, CoactiveLearner, Policy, Preference
from corll.config import EMBEDDED_MODEL
from corll.gradient import encode_pair
from edits import PAIRS, continuation_edits, greeting_edits, peoples_edits, random_edits
from measuring import Case, Products, memory_gb, new_parser, new_policy, parse, write

LEARNING_RATE = 1e-4
TIMED = 3
"""Pairs of steps of a case."""
KEEPS_PAGES = {
    "GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={2**32}:glibc.malloc.trim_threshold={2**33}"
}

SAME_FIRST_STEP = {"logps/chosen": 0.01, "logps/rejected": 0.01}
"""What both note of their first step, and by what share it may differ."""

SAME_LOSS = 0.001
"""In nats, for each step in float32.

In bf16 what an adapter adds is at first smaller than the last digit of what it is added to, and TRL
adds it after both were rounded: its losses lag behind those of float32, so its later steps are of
other weights than ours.
"""


class Work(NamedTuple):
    """A shape of work: `pairs` a step.

    Its timed steps are spread over so many `processes`: how quick TRL is can hang on the process.
    """

    name: str
    make: Callable[[Policy, random.Random], list[Preference]]
    dtype: str = "bfloat16"
    target: str = ""
    peer_batch: int = PAIRS
    pairs: int = PAIRS
    processes: int = 1
    with_memory: bool = False
    model: str = EMBEDDED_MODEL
    timed: int = TIMED

    @property
    def case(self) -> str:
        on_another = "" if self.model == EMBEDDED_MODEL else f"{self.model}, "
        return f"dpo_step: {on_another}{self.name}"


def works(people: Path | None, model: str) -> list[Work]:
    """All cases of a model, the quick one first."""
    if model != EMBEDDED_MODEL:
        larger: dict[str, Any] = {
            "target": "≥ 2.5×, ≥ 1.5× with pages kept, ≤ half the memory",
            "peer_batch": 2,
            "with_memory": True,
            "model": model,
            "timed": 1,
        }
        found = [Work("256 / 64", random_edits(256, 64), **larger)]
        return found + [
            Work("people's edits", peoples_edits(file), **larger) for file in [people] if file
        ]
    found = [
        Work("64 / 64", random_edits(64, 64), target="≥ 5×, ≤ half the memory", with_memory=True),
        Work("256 / 64", random_edits(256, 64), target="≥ 6×", with_memory=True),
        Work("462 / 50", random_edits(462, 50), target="≥ 8×", peer_batch=4, with_memory=True),
        Work("continuation edits", continuation_edits, target="≥ 8×", processes=TIMED),
        Work("greeting edits", greeting_edits, target="≥ 3×"),
        Work("64 / 64, float32", random_edits(64, 64), "float32", target="≥ 2×"),
    ]
    if people is not None:
        make = peoples_edits(people)
        found.insert(5, Work("people's edits", make, target="≥ 3×", processes=TIMED))
    return found


def halved(work: Work) -> Work:
    """The same with half of the pairs a step, for a quick look."""
    return work._replace(name=f"{work.name}, {PAIRS // 2} pairs", pairs=PAIRS // 2, target="")


def load_corll(work: Work) -> tuple[CoactiveLearner, list[Preference]]:
    """A learner of plain DPO on plain text, as TRL takes it, and what it learns from."""
    policy = new_policy(work.dtype, work.model)
    config = CoactiveConfig(
        preferences_per_step=work.pairs,
        learning_rate=LEARNING_RATE,
        warmup_steps=0,
        sft_weight=0.0,
        keep_weight=0.0,
    )
    return CoactiveLearner(policy, config), work.make(policy, random.Random(0))[: work.pairs]


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Takes corll's step before each of TRL's, and notes both times and losses."""

    def __init__(self, learner: CoactiveLearner | None, preferences: Sequence[Preference]) -> None:
        self.learner, self.preferences = learner, preferences
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.our_metrics: list[dict[str, float]] = []
        self.their_metrics: list[dict[str, float]] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if self.learner is not None:
            start = time.perf_counter()
            result = self.learner.step(self.preferences)
            self.ours.append(time.perf_counter() - start)
            self.our_metrics.append(dict(result.metrics))
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.theirs.append(time.perf_counter() - self.started)

    def on_log(self, *args: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            self.their_metrics.append({name: float(value) for name, value in logs.items()})


def run_trl(policy: Policy, work: Work, timer: StepTimer, *, steps: int) -> None:
    """Trains by TRL from the adapter that `policy` has at this moment."""
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch) / "adapter"
        policy.save(adapter)
        dtype = getattr(torch, work.dtype)
        base = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=dtype)
        model = peft.PeftModel.from_pretrained(
            base, adapter, is_trainable=True, autocast_adapter_dtype=work.dtype == "float32"
        )
        rows = [
            {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected}
            for p in timer.preferences
        ]
        arguments = trl.DPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=min(work.peer_batch, work.pairs),
            gradient_accumulation_steps=max(1, work.pairs // work.peer_batch),
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_length=None,
            gradient_checkpointing=False,
            bf16=work.dtype == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = trl.DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.tokenizer,
            callbacks=[timer],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def interleaved_steps(work: Work, *, pairs: int, with_floor: bool = True) -> Case:
    """Steps of both, one after the other, after a warm-up of each; the floor where it is wanted.

    *Raises*: SystemExit where the two do not do the same.
    """
    learner, preferences = load_corll(work)
    timer = StepTimer(learner, preferences)
    run_trl(learner.policy, work, timer, steps=pairs + 1)
    compare(work, timer.our_metrics, timer.their_metrics)
    return Case(
        work.case,
        timer.ours[1:],
        timer.theirs[1:],
        f"TRL {trl.__version__}",
        floor=floor(learner.policy, preferences) if with_floor else None,
        target=work.target,
        dtype=work.dtype,
        more={
            "losses": [metrics["loss"] for metrics in timer.our_metrics],
            "peer_losses": [metrics["loss"] for metrics in timer.their_metrics],
        },
    )


def compare(
    work: Work, ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]
) -> None:
    """Whether both do the same: in their first step, in float32 in all.

    *Raises*: SystemExit where they do not.
    """
    for name, share in SAME_FIRST_STEP.items():
        if abs(ours[0][name] / theirs[0][name] - 1) > share:
            raise SystemExit(
                f"{work.case}, step 1: {name} {ours[0][name]} here, {theirs[0][name]} in TRL"
            )
    compared = ours if work.dtype == "float32" else ours[:1]
    for step, (own, other) in enumerate(zip(compared, theirs, strict=False), start=1):
        if abs(own["loss"] - other["loss"]) > SAME_LOSS:
            raise SystemExit(
                f"{work.case}, step {step}: loss {own['loss']} here, {other['loss']} in TRL"
            )


def measured_apart(work: Work, *, people: Path | None) -> Case:
    """`interleaved_steps` in new processes, and in one more that keeps its pages."""
    each = work.timed // work.processes
    runs = [
        _in_new_process(work, people, pairs=each, environment={}) for _ in range(work.processes)
    ]
    case = replace(
        runs[0],
        ours=[seconds for run in runs for seconds in run.ours],
        peer=[seconds for run in runs for seconds in run.peer or []],
        floor=statistics.median(run.floor or 0.0 for run in runs),
    )
    if sys.platform == "linux" and not torch.cuda.is_available():
        kept = _in_new_process(work, people, pairs=min(2, work.timed), environment=KEEPS_PAGES)
        assert kept.peer is not None
        case.more |= {
            "ours_pages_kept": statistics.median(kept.ours),
            "peer_pages_kept": statistics.median(kept.peer),
            "ratio_pages_kept": statistics.median(kept.ratios),
        }
    return case


def _in_new_process(
    work: Work, people: Path | None, *, pairs: int, environment: dict[str, str]
) -> Case:
    run = subprocess.run(
        [*_command(work, people), "--pairs", str(pairs)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    return Case(**json.loads(run.stdout.strip().splitlines()[-1]))


def _command(work: Work, people: Path | None) -> list[str]:
    command = [sys.executable, __file__, "--case", work.case, "--model", work.model]
    return command if people is None else [*command, "--people", str(people)]


def add_memory(case: Case, work: Work, people: Path | None) -> Case:
    """The case with the peak memory of both sides, each measured in a process of its own."""
    ours, peer = (_peak_memory_gb(work, people, side) for side in ("ours", "peer"))
    case.more |= {
        "peak_memory_gb_ours": ours,
        "peak_memory_gb_peer": peer,
        "peak_memory_ratio": ours / peer,
    }
    return case


def floor(policy: Policy, preferences: Sequence[Preference]) -> float:
    """Two forward passes and the gradients of one, over each token of prompt and branches once."""
    products = Products(policy)
    trees = [tree for p in preferences for tree in encode_pair(policy, p).rows]
    rows = sum(map(len, trees))
    scored = rows - sum(tree.prompt_length for tree in trees)
    learned = sum(
        segment.stop - segment.start
        for tree in trees
        for number, segment in enumerate(tree.segments)
        if not tree.is_shared(number)
    )
    return 2 * products.forward(rows, scored) + products.backward(rows, learned)


def _peak_memory_gb(work: Work, people: Path | None, side: str) -> float:
    """Peak memory of a step, weights included: the GPU's, else that of a whole new process."""
    command = [*_command(work, people), "--memory-of", side]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def _report_own_memory(work: Work, side: str) -> None:
    learner, preferences = load_corll(work)
    if side == "ours":
        learner.step(preferences)
    else:
        run_trl(learner.policy, work, StepTimer(None, preferences), steps=1)
    on_gpu = torch.cuda.is_available()
    print(torch.cuda.max_memory_allocated() / 2**30 if on_gpu else memory_gb("VmHWM"))


def main() -> None:
    parser = new_parser(__doc__)
    people = os.environ.get("PEOPLES_EDITS")
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--people", type=Path, default=people, help="a file of people's edits")
    parser.add_argument("--memory-of", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, help=argparse.SUPPRESS)
    chosen = parse(parser)
    all_works = works(chosen.people, chosen.model)
    if chosen.case:
        work = next(w for w in all_works if w.case == chosen.case)
        if chosen.memory_of:
            _report_own_memory(work, chosen.memory_of)
        else:
            print(json.dumps(asdict(interleaved_steps(work, pairs=chosen.pairs))))
        return

    def cases() -> Iterator[Case]:
        if chosen.quick:
            yield interleaved_steps(halved(all_works[0]), pairs=1)
            return
        for work in all_works:
            case = measured_apart(work, people=chosen.people)
            yield add_memory(case, work, chosen.people) if work.with_memory else case

    write(cases(), "dpo_step", keep=chosen.keep)


if __name__ == "__main__":
    main()

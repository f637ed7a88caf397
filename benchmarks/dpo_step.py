"""One DPO step against TRL's `DPOTrainer`: same model, LoRA, dtype, texts and loss.

    python benchmarks/dpo_step.py [--quick] [--output benchmarks/results/dpo_step.jsonl]

Runs are interleaved in one process: before each of TRL's steps the same step is taken by corll, so
that both see the same machine. Both start from the same adapter, and their losses must agree at
every step. corll's time includes the reference pass, as TRL's does; TRL runs without gradient
checkpointing, which is its faster setting. Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import peft
import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, TrainerCallback

from corll import CoactiveConfig, CoactiveLearner, LoraConfig, Policy, Preference
from corll.version import __version__

PAIRS = 8
LEARNING_RATE = 1e-4
LORA = LoraConfig(lora_r=8, lora_alpha=16)


class Case(NamedTuple):
    """A shape of work. *Units*: tokens; losses may differ by `tolerance` nats."""

    name: str
    prompt_length: int
    response_length: int
    dtype: str
    tolerance: float


CASES = (
    Case("prompt 64, response 64, bf16", 64, 64, "bfloat16", 0.05),
    Case("prompt 256, response 64, bf16", 256, 64, "bfloat16", 0.05),
    Case("prompt 64, response 64, float32", 64, 64, "float32", 1e-3),
)


def make_preferences(policy: Policy, case: Case, *, seed: int = 0) -> list[Preference]:
    """Texts of whole words, so that both sides tokenise alike; the first difference is uniform."""
    generator = random.Random(seed)
    words = _single_token_words(policy.tokenizer)

    def text(count: int) -> str:
        return "".join(" " + word for word in generator.choices(words, k=count))

    preferences = []
    for _ in range(PAIRS):
        common = generator.randrange(case.response_length)
        rest = case.response_length - 1 - common  # the end token is the last
        shared, prompt = text(common), text(case.prompt_length)
        chosen, rejected = (shared + text(rest) for _ in range(2))
        preferences.append(Preference(prompt, chosen=chosen, rejected=rejected))
    return preferences


def _single_token_words(tokenizer: Any) -> list[str]:
    words = [
        token[1:]
        for token in tokenizer.get_vocab()
        if token[0] == "Ġ" and token[1:].isascii() and token[1:].isalpha() and len(token) > 3
    ]
    return sorted(words)[::7]


def load_corll(case: Case) -> tuple[Policy, CoactiveLearner]:
    """A policy that takes plain text, as TRL does, and a learner of plain DPO."""
    policy = Policy.load("smollm2-135m", dtype=case.dtype, chat_template=False, lora=LORA)
    config = CoactiveConfig(
        preferences_per_step=PAIRS,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        sft_weight=0.0,
        keep_weight=0.0,
        memory_limit_gb=1.0,  # a CPU is as quick in small micro-batches
    )
    return policy, CoactiveLearner(policy, config)


class _Timer(TrainerCallback):  # type: ignore[misc]
    """Takes corll's step before each of TRL's, and notes both times and losses."""

    def __init__(self, learner: CoactiveLearner | None, preferences: Sequence[Preference]) -> None:
        self.learner, self.preferences = learner, preferences
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.our_losses: list[float] = []
        self.their_losses: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if self.learner is not None:
            start = time.perf_counter()
            metrics = self.learner.step(self.preferences)
            self.ours.append(time.perf_counter() - start)
            self.our_losses.append(metrics["loss"])
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.theirs.append(time.perf_counter() - self.started)

    def on_log(self, *args: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            self.their_losses.append(float(logs["loss"]))


def run_trl(policy: Policy, case: Case, timer: _Timer, *, steps: int) -> None:
    """Trains by TRL from the adapter that `policy` has at this moment."""
    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch) / "adapter"
        policy.save(adapter)
        dtype = getattr(torch, case.dtype)
        base = AutoModelForCausalLM.from_pretrained(policy.folder, dtype=dtype)
        model = peft.PeftModel.from_pretrained(
            base, adapter, is_trainable=True, autocast_adapter_dtype=case.dtype == "float32"
        )
        rows = [
            {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected}
            for p in timer.preferences
        ]
        arguments = trl.DPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=PAIRS,
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_length=None,
            gradient_checkpointing=False,
            bf16=case.dtype == "bfloat16",
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
        trainer.train()


def measure(case: Case, *, steps: int) -> dict[str, Any]:
    """Interleaved steps, the first of them a warm-up.

    *Raises*: SystemExit where the losses of the two disagree.
    """
    policy, learner = load_corll(case)
    timer = _Timer(learner, make_preferences(policy, case))
    run_trl(policy, case, timer, steps=steps)
    for step, (ours, theirs) in enumerate(
        zip(timer.our_losses, timer.their_losses, strict=True), start=1
    ):
        if abs(ours - theirs) > case.tolerance:
            raise SystemExit(f"{case.name}, step {step}: loss {ours} here, {theirs} in TRL")
    ratios = [t / o for t, o in zip(timer.theirs[1:], timer.ours[1:], strict=True)]
    memory = {side: _peak_memory_gb(case, side) for side in ("ours", "peer")}
    return {
        "case": f"dpo_step: {case.name}",
        "peer": statistics.median(timer.theirs[1:]),
        "ours": statistics.median(timer.ours[1:]),
        "unit": "s",
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "losses_ours": timer.our_losses,
        "losses_peer": timer.their_losses,
        "peak_memory_gb_ours": memory["ours"],
        "peak_memory_gb_peer": memory["peer"],
        "peak_memory_ratio": memory["ours"] / memory["peer"],
        "dtype": case.dtype,
        "device": str(policy.device),
        **environment(),
    }


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure was measured with."""
    return {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {
            "corll": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "trl": trl.__version__,
        },
    }


def _peak_memory_gb(case: Case, side: str) -> float:
    """Peak resident memory of two steps, weights and libraries included, in a new process."""
    command = [sys.executable, __file__, "--memory-of", side, "--case", case.name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def _report_own_memory(case: Case, side: str) -> None:
    policy, learner = load_corll(case)
    preferences = make_preferences(policy, case)
    if side == "ours":
        for _ in range(2):
            learner.step(preferences)
    else:
        del learner
        run_trl(policy, case, _Timer(None, preferences), steps=2)
    print(_peak_resident_gb())


def _peak_resident_gb() -> float:
    """Of this process since its start; `ru_maxrss` would count the parent it was forked from."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise SystemExit("peak memory is read from /proc/self/status, which lacks VmHWM here")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the first case only, fewer steps")
    parser.add_argument("--output", type=Path, help="append the results here, as JSON lines")
    parser.add_argument("--memory-of", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    disable_progress_bars()
    if options.memory_of:
        case = next(case for case in CASES if case.name == options.case)
        return _report_own_memory(case, options.memory_of)
    for case in CASES[:1] if options.quick else CASES:
        result = measure(case, steps=4 if options.quick else 6)
        print(
            f"{case.name}: corll {result['ours']:.2f} s, TRL {result['peer']:.2f} s, "
            f"{result['ratio']:.2f}× ({result['ratio_min']:.2f}–{result['ratio_max']:.2f}); "
            f"memory {result['peak_memory_gb_ours']:.1f} of {result['peak_memory_gb_peer']:.1f} GB"
        )
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            with options.output.open("a") as file:
                file.write(json.dumps(result) + "\n")
    return None


if __name__ == "__main__":
    main()

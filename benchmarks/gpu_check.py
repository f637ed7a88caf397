"""The exactness tests and the benchmarks on a GPU: `make gpu-check`.

The tests choose the device by themselves, as users do; where there is a GPU, they run there.
Where there is none, this says why it skips.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
EXACTNESS = ["attention", "decoding", "fused", "gradient", "learner", "lora", "policy", "scoring"]
BENCHMARKS = ["adapters", "dpo_step", "drafting", "scoring", "round"]


def reason_to_skip() -> str | None:
    """Why nothing can be checked here; None where there is a GPU."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, but sees no GPU"


def main() -> int:
    if reason := reason_to_skip():
        print(f"gpu-check skipped: {reason}.")
        return 0
    print(f"gpu-check on {torch.cuda.get_device_name()}", flush=True)
    tests = [str(ROOT / "tests" / f"test_{name}.py") for name in EXACTNESS]
    commands = [
        [sys.executable, "-m", "pytest", *tests],
        *([sys.executable, str(ROOT / "benchmarks" / f"{n}.py"), "--keep"] for n in BENCHMARKS),
    ]
    failed = [command for command in commands if subprocess.run(command, cwd=ROOT).returncode]
    for command in failed:
        print("failed:", *command[1:])
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

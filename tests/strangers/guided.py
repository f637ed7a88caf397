"""Bytes of strangers, changed by what the readers' branches do with them (atheris, libFuzzer).

`make fuzz` runs it where atheris installs. What grows the coverage stays in `runs/fuzz/TARGET`,
from which the next run goes on. What ends in no error of ours, takes over 30 s or over 4 GB lies in
`runs/fuzz/found`. Whoever mends that keeps the file, made small, in `corpus` for every run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

_SECONDS_OF_ONE, _MEGABYTES = 30, 4000
_LONGEST = 20_000

# Only what reads strangers' bytes is watched: all of torch would make each step slow.
with atheris.instrument_imports(
    include=["corll.past_texts", "corll.edit_logs", "corll.untrusted", "corll.files", "corll.model"]
):
    from guided_targets import TARGETS


def main() -> None:
    """Try each target for a time, in a process of its own; end with 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="(runs/fuzz)")
    parser.add_argument("--alone", action="store_true", help="in this process, which ends with it")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = asked.targets or list(TARGETS)
    if asked.alone:
        _try(names[0], asked.seconds, asked.out)
    failed = [name for name in names if _ended_badly(name, asked.seconds, asked.out)]
    for name in failed:
        print(f"{name}: something was found, see {asked.out / 'found'}", file=sys.stderr)
    sys.exit(bool(failed))


def _ended_badly(name: str, seconds: int, out: Path) -> bool:
    print(f"== {name}", flush=True)
    flags = ["--alone", "--seconds", str(seconds), "--out", str(out)]
    command = [sys.executable, __file__, name, *flags]
    # The process ends without clearing up after itself.
    with tempfile.TemporaryDirectory(prefix="corll-guided-") as scratch:
        own = {**os.environ, "TMPDIR": scratch}
        return subprocess.run(command, env=own, check=False).returncode != 0


def _try(name: str, seconds: int, out: Path) -> None:
    """Try a target; the process ends here, whatever was found."""
    target = TARGETS[name]()
    kept, found = out / name, out / "found"
    for folder in (kept, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (kept / f"seed-{number}").write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}",
        f"-timeout={_SECONDS_OF_ONE}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-max_len={_LONGEST}",
        f"-artifact_prefix={found / name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], str(kept), *flags], target.read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The command line: `python -m soak`, with `tests` on Python's path.

It exits with 1 where something grows or went wrong, and with 2 where a longer run is to tell.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from corll.files.durable import append_line, read_lines
from patience import PATIENCE_S
from running_service import COACTIVE, free_port, start_server, until
from soak.drawing import draw
from soak.judging import Judgement, judge
from soak.sampling import QUANTITIES, sample
from soak.users import USERS, Person
from tiny_models import save_tiny_llama

SAMPLES, FIGURE, VERDICTS = "samples.jsonl", "soak.png", "verdicts.json"
_SAMPLES = 480
"""How often a run is looked at, but no more often than once a second."""
_TINY = {
    **COACTIVE,
    "dtype": "float32",
    "max_drift": 50,
    "veto_drafts": 0,  # what a random model drafts is ruined before it learns
    "serving": "both",
}


class Found(NamedTuple):
    """What a run came to."""

    judgements: list[Judgement]
    failures: list[str]

    @property
    def code(self) -> int:
        """The exit code."""
        verdicts = {one.verdict for one in self.judgements}
        return 1 if self.failures or "growing" in verdicts else 2 * ("unsure" in verdicts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Let a service work for a while, and judge what it took. *Raises*: SystemExit."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="how long it works")
    parser.add_argument("--minutes", type=float, help="the same, for a short run")
    parser.add_argument("--model", help="a name of `corll models`; by default a tiny random one")
    parser.add_argument("--pause-s", type=float, default=0.2, help="rest after each act of a user")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="folder of results")
    given = parser.parse_args(arguments)
    seconds = given.hours * 3600 if given.minutes is None else given.minutes * 60
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    acts, failures = soak(given.out, seconds, model=given.model, pause_s=given.pause_s)
    found = judged(given.out, failures)
    report(given.out, found, acts)
    sys.exit(found.code)


def soak(
    out: Path, seconds: float, *, model: str | None, pause_s: float
) -> tuple[Counter[str], list[str]]:
    """Serve users for so long, sampling into a file; return what they did, and what went wrong."""
    settings = _TINY if model is None else {"serving": "both"}
    named = save_tiny_llama(out / "model") if model is None else model
    tokens = COACTIVE["max_completion_length"] if model is None else 32
    with _served(named, out / "data", {**settings, "requests_per_minute": 100_000}) as (
        url,
        server,
    ):
        people = [Person(url, name, tokens=int(tokens), pause_s=pause_s) for name in USERS]
        for person in people:
            person.start()
        failures = _watch(server, out, seconds, people)
        for person in people:
            person.end()
    acts = Counter[str]()
    for person in people:
        acts.update(person.done)
        failures += person.failures
    return acts, failures


def _watch(
    server: psutil.Process, out: Path, seconds: float, people: Sequence[Person]
) -> list[str]:
    """Sample once a period; return what died meanwhile. It ends early where nobody is left."""
    began, learners = time.monotonic(), set[int]()
    period = max(1.0, seconds / _SAMPLES)
    with suppress(psutil.NoSuchProcess):
        while (at := time.monotonic() - began) < seconds and any(p.is_alive() for p in people):
            if (found := sample(server, out / "data")) is not None:
                learners.add(found["learner"])
                append_line(out / SAMPLES, {"at_s": round(at, 2), **found})
            time.sleep(max(0.0, began + at + period - time.monotonic()))
    died = ["the server has ended"] if not server.is_running() else []
    more = len(learners) - 1
    return died + [f"the learner was started again {more} times"] * (more > 0)


def judged(out: Path, failures: list[str]) -> Found:
    """Judge the samples of a run."""
    lines = [line for _, line in read_lines(out / SAMPLES)]
    times = [line["at_s"] for line in lines]
    judgements = [judge(one, times, [line[one.name] for line in lines]) for one in QUANTITIES]
    draw(lines, judgements, out / FIGURE)
    return Found(judgements, failures)


def report(out: Path, found: Found, acts: Mapping[str, int]) -> None:
    """Print what a run came to, and write it beside the samples."""
    print(", ".join(f"{count} × {name}" for name, count in sorted(acts.items())))
    for line in (*found.judgements, *found.failures):
        print(f"- {line}")
    told = {
        "verdicts": {one.quantity.name: one.verdict for one in found.judgements},
        "per_hour": {
            one.quantity.name: [one.low, one.slope, one.high, one.bound] for one in found.judgements
        },
        "acts": dict(acts),
        "failures": found.failures,
    }
    (out / VERDICTS).write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(f"Samples, figure and verdicts are in {out}.")


@contextmanager
def _served(
    model: Path | str, folder: Path, settings: Mapping[str, Any]
) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address of a service whose learner is ready, and its process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with start_server(model, folder, port, settings) as process:
        try:
            until(lambda: process.poll() is not None or _is_ready(url))
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz").json()["learner"] == "ready")
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()

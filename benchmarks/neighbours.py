"""A draft beside busy neighbours: threads that give way against as many as the machine has.

    python benchmarks/neighbours.py [--model NAME] [--quick] [--keep]

A draft of 64 tokens, drawn as the service draws it, while 0, 1 and 2 other programs keep a
processor busy each. Ours sets its threads before each token by what others leave free; the peer
keeps all that torch has. `slowdown` is the time against ours with nobody beside.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from corll import Policy
from corll.compute.free_processors import GivingThreads, allowed_processors
from corll.model.loading import EMBEDDED_MODEL
from measuring import LORA, Case, interleaved, new_parser, parse, write

PROMPT = "Write a short reply to a customer whose order is late."
NEW_TOKENS = 64
BUSY = "while True: pass"


def cases(model: str, *, quick: bool) -> Iterator[Case]:
    policy = Policy.load(model, lora=LORA, int8_drafts=None)
    most, processors = torch.get_num_threads(), len(allowed_processors())
    giving = GivingThreads.of(None).settle
    alone: float | None = None
    for count in (0, 2) if quick else (0, 1, 2):
        with neighbours(count):
            ours, peer = interleaved(
                partial(draft, policy, giving),
                partial(draft, policy, partial(torch.set_num_threads, most)),
                pairs=1 if quick else 3,
            )
        torch.set_num_threads(most)
        alone = alone or statistics.median(ours)
        yield Case(
            f"neighbours: {model}, {count} busy on {processors} processors",
            ours,
            peer,
            f"{most} threads",
            target="≤ 3× the idle time" if count == 2 else "",
            dtype=str(policy.dtype).removeprefix("torch."),
            more={
                "slowdown": statistics.median(ours) / alone,
                "peer_slowdown": statistics.median(peer) / alone,
            },
        )


def draft(policy: Policy, settle: Callable[[], object]) -> None:
    """Draw as the service's engine does: a number of threads, then a token."""
    decoding = policy.start([PROMPT], 1, NEW_TOKENS, [0])
    while decoding.going:
        settle()
        policy.advance(decoding)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Let so many other programs keep a processor busy each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    chosen = parse(parser)
    write(cases(chosen.model, quick=chosen.quick), "neighbours", keep=chosen.keep, latest=False)

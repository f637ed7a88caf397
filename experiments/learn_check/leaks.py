"""What the guard against leaks leaves: drafts behind past letters, with it, without it, and read.

    python experiments/learn_check/leaks.py --out FILE.jsonl [--model NAME] [--edits 30] [--seed 0]
        [--writers choose|judge|all|NAME,…]
    python experiments/learn_check/leaks.py --report FILE.jsonl

Nothing is learned. In each round the service's engine drafts for every writer in every mode: `base`
has no memory; `unguarded`, `unseen` and `streamed` drafts stand behind the last letters, or the
nearest. Each mode of a writer answers the same requests with the same seeds. Facts are looked for
in all that was sent before; phrases are left out, since a letter may be worded as another.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from check_arms import Check
from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.dialogue import terminal_dialogue
from corll.errors import CorllError, InputError
from corll.files.durable import append_line, read_lines
from corll.memory.choosing import MemoryChoice, MemorySettings, choose
from corll.memory.exchanges import Exchange
from corll.memory.leaks import own_frame
from corll.policy import Policy
from corll.records import Draft
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import DraftEvent, DraftRequest
from served import until_drawn
from writers_desk import WritersDesk, named_writers

CHOICES: tuple[MemoryChoice, ...] = ("last", "nearest")
MODES = ("unguarded", "unseen", "streamed")


@dataclass
class _Place:
    """One writer in one mode."""

    writer: str
    choice: MemoryChoice
    mode: str
    desk: WritersDesk

    def request(self, number: int, engine: Engine, check: Check) -> DraftRequest:
        """Return the request of a round, as the service makes it."""
        asked, past = self.desk.requests[number], self.desk.past
        memory: list[Exchange] = []
        if self.choice != "none":
            memory = choose(past, asked.prompt, check.memory_like(self.choice), engine.count_tokens)
        return DraftRequest(
            prompt=[{"role": "user", "content": asked.prompt}],
            version=None,
            max_new_tokens=check.config.max_completion_length,
            seed=self.desk.draft_seed(number),
            config=check.config,
            tells=self.mode == "streamed",
            shortens=True,
            guarded=self.mode in ("unseen", "streamed"),
            memory=tuple(memory),
            own=own_frame([one.text for one in past]),
        )


def play(
    policy: Policy, writers: Iterable[str], check: Check, seed: int
) -> Iterator[dict[str, Any]]:
    """Play all rounds; yield a line for each draft."""
    modes: list[tuple[MemoryChoice, str]] = [("none", "base"), *product(CHOICES, MODES)]
    nothing = MemorySettings("none")
    places = [
        _Place(writer, choice, mode, WritersDesk(writer, nothing, seed, check.edits, 0))
        for writer in writers
        for choice, mode in modes
    ]
    engine = Engine(policy, max_waiting=2 * len(places), longest_wait=inf)
    try:
        for number in range(check.edits):
            yield from _round(engine, policy, places, check, number)
    finally:
        engine.close()


def _round(
    engine: Engine, policy: Policy, places: Iterable[_Place], check: Check, number: int
) -> Iterator[dict[str, Any]]:
    under_way = []
    for place in places:
        events: SimpleQueue[DraftEvent] = SimpleQueue()
        request = place.request(number, engine, check)
        engine.submit(request, events.put)
        under_way.append((place, request, events))
    for place, request, events in under_way:
        drawn = until_drawn(events)
        sample = drawn.candidates[drawn.shown[0]]
        draft = Draft(place.desk.requests[number].prompt, (sample,), seed=request.seed)
        line = place.desk.answer(number, draft, policy)
        yield {
            "writer": place.writer,
            "memory": place.choice,
            "mode": place.mode,
            "edit": line["edit"],
            "letters": len(request.memory),
            "seconds": line["seconds"],
            "thrown_away": drawn.thrown_away,
            "leaks": line["leaks"],
            "draft": line["draft"],
        }


def report(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return a table: share of drafts with a fact of an earlier letter, and what redraws cost."""
    by: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by[line["memory"], line["mode"]].append(line)
    base = np.mean([line["seconds"] for line in by["none", "base"]])
    rows = [
        "| memory | drafts | with a fact of an earlier letter | thrown away | seconds |",
        "|---|---|---|---|---|",
    ]
    for (memory, mode), own in by.items():
        leaks = np.array([any(kind != "phrase" for kind, *_ in line["leaks"]) for line in own])
        error = 1.96 * float(np.sqrt(leaks.mean() * (1 - leaks.mean()) / len(leaks)))
        thrown = np.mean([line["thrown_away"] for line in own])
        cost = np.mean([line["seconds"] for line in own]) / base
        share = f"{leaks.mean():.1%} ± {error:.1%} of {len(own)}"
        rows.append(f"| {memory} | {mode} | {share} | {thrown:.2f} | {cost:.2f}× |")
    return "\n".join(rows)


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the lines, which must be new")
    parser.add_argument("--report", type=Path, help="file to report on")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--writers", default="all")
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.report is not None:
        print(report(line for _, line in read_lines(options.report)))
        return
    if options.out is None or options.out.exists():
        raise InputError("Give --out a file that is not there yet, or --report FILE to read one.")
    check = Check.as_served(edits=options.edits, held_out=0)
    policy = Policy.load(resolve(options.model, terminal_dialogue()), int8_drafts=None)
    check = check.sampled_as(policy)
    about = {"model": policy.name, "machine": device_name(policy.device), "seed": options.seed}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for line in play(policy, named_writers(options.writers), check, options.seed):
        append_line(options.out, {**about, **line})


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")

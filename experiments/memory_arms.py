"""What past letters in the prompt save a writer, with nothing learned: none, the last, the nearest.

    python experiments/memory_arms.py --out FILE.jsonl [--model NAME] [--edits 60] [--seeds 1]
        [--writers choose|judge|all|NAME,…] [--arms none,last,nearest] [--texts 3] [--tokens 1536]
    python experiments/memory_arms.py --report FILE.jsonl

Each writer answers the same requests in the same order and with the same seeds in each arm. In each
round all writers of a seed are drafted for at once. One JSON line a draft; a run that was stopped
plays its unfinished seed again. The report compares each arm with `none`, by seconds to send.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.dialogue import terminal_dialogue
from corll.config import CoactiveConfig
from corll.draft import make_drafts
from corll.edits import edit_cost
from corll.errors import CorllError, InputError
from corll.files.durable import append_line, drop_torn_line, read_lines
from corll.memory.choosing import MemorySettings, choose
from corll.memory.exchanges import Exchange
from corll.memory.leaks import leaked, own_frame
from corll.policy import Policy
from corll.service.settings import ServedConfig
from corll.simulation.effort import effort_of, seconds_alone
from corll.simulation.writers import WRITER_HALVES, WRITERS, WritingRequest, writing_requests

ARMS = ("none", "last", "nearest")
_LONGEST_DRAFT = 192
_TENS = 10


class WritersDesk:
    """One writer in one arm: what was asked and sent so far."""

    def __init__(self, name: str, arm: MemorySettings, seed: int, edits: int) -> None:
        self.name, self.arm = name, arm
        self.writer = WRITERS[name]()
        requests = writing_requests("train")
        Random(f"{seed}/{name}").shuffle(requests)
        self.requests: list[WritingRequest] = requests[:edits]
        self.past: list[Exchange] = []

    def memory(self, policy: Policy, number: int) -> list[Exchange]:
        """Return what stands before a request."""
        count = policy.codec.count_tokens
        return choose(self.past, self.requests[number].prompt, self.arm, count)

    def answered(self, number: int, draft: str, memory: Sequence[Exchange]) -> dict[str, Any]:
        """Let the writer answer a draft, and return what it cost."""
        request = self.requests[number]
        sent = self.writer.sent(request, draft, number + 1)
        effort = effort_of(draft, sent)
        found = leaked(draft, request.prompt, memory, own_frame([one.text for one in self.past]))
        self.past.append(Exchange(request.prompt, sent, f"{self.name}-{number}"))
        return {
            "seconds": round(effort.seconds, 2),
            "alone": round(seconds_alone(self.writer.own_text(request, number + 1)), 2),
            "edit_cost": round(edit_cost(draft, sent), 4),
            "typed_share": round(effort.typed_share, 4),
            "leaks": [[leak.kind, leak.words] for leak in found],
            "draft": draft,
            "sent": sent,
        }


def play(
    policy: Policy, names: Sequence[str], arms: Mapping[str, MemorySettings], seed: int, edits: int
) -> Iterator[dict[str, Any]]:
    """Play all rounds of a seed; yield a line for each draft."""
    desks = [(arm, WritersDesk(name, arms[arm], seed, edits)) for arm in arms for name in names]
    settings = ServedConfig().model_dump(exclude={"num_candidates"})
    config = CoactiveConfig(**settings).with_settings(
        num_candidates=1, max_completion_length=_LONGEST_DRAFT
    )
    for number in range(edits):
        seeds = [Random(f"{seed}/{desk.name}/{number}").getrandbits(62) for _, desk in desks]
        memories = [desk.memory(policy, number) for _, desk in desks]
        prompts = [desk.requests[number].prompt for _, desk in desks]
        drafts = make_drafts(policy, prompts, config, seeds=seeds, memories=memories)
        for (arm, desk), draft, memory in zip(desks, drafts, memories, strict=True):
            yield {
                "seed": seed,
                "writer": desk.name,
                "arm": arm,
                "edit": number + 1,
                "memory": len(memory),
                "finished": draft.sample.finished,
                **desk.answered(number, draft.text, memory),
            }


def run(options: argparse.Namespace) -> None:
    """Play what is not there yet, and add it to the file."""
    names = _named(options.writers)
    arms = {
        arm: MemorySettings(arm, options.texts, options.tokens) for arm in options.arms.split(",")
    }
    out: Path = options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    drop_torn_line(out)
    known: dict[int, int] = defaultdict(int)
    for _, line in read_lines(out) if out.exists() else ():
        known[line["seed"]] += 1
    policy = Policy.load(resolve(options.model, terminal_dialogue()), int8_drafts=None)
    about = {"model": policy.name, "machine": device_name(policy.device)}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        if known[seed]:
            print(f"seed {seed} is there, with {known[seed]} lines")
            continue
        for line in play(policy, names, arms, seed, options.edits):
            append_line(out, {**about, **line})
            if (line["writer"], line["arm"]) == (names[-1], list(arms)[-1]):
                print(f"seed {seed}, edit {line['edit']} of {options.edits}", flush=True)


def report(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return a table: seconds against those of no memory, by writer, with a paired interval."""
    by: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by[line["writer"], line["arm"]].append(line)
    writers = list(dict.fromkeys(writer for writer, _ in by))
    arms = [arm for arm in dict.fromkeys(arm for _, arm in by) if arm != "none"]
    rows = ["| writer | none, s | alone, s | arm | ratio (95 %) | by tens | leaks | empty |",
            "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for writer in writers:
        base = _ordered(by[writer, "none"])
        costs = np.array([line["seconds"] for line in base])
        alone = np.mean([line["alone"] for line in base])
        for arm in arms:
            own = _ordered(by[writer, arm])
            paired = np.array([line["seconds"] for line in own])
            tens = [
                f"{paired[at].sum() / costs[at].sum():.2f}"
                for at in np.array_split(np.arange(len(costs)), max(1, len(costs) // _TENS))
            ]
            leaks = np.mean([any(kind != "phrase" for kind, _ in line["leaks"]) for line in own])
            empty = np.mean([not line["draft"].strip() for line in own])
            rows.append(
                f"| {writer} | {costs.mean():.0f} | {alone:.0f} | {arm} | "
                f"{_ratio(paired, costs)} | {' '.join(tens)} | {leaks:.0%} | {empty:.0%} |"
            )
    return "\n".join(rows)


def _ratio(paired: Any, costs: Any) -> str:
    """Return the ratio of sums, with an interval by bootstrap over edits."""
    draws = np.random.default_rng(0).integers(0, len(costs), (2000, len(costs)))
    ratios = paired[draws].sum(1) / costs[draws].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"{paired.sum() / costs.sum():.2f} ({low:.2f}–{high:.2f})"


def _ordered(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(lines, key=lambda line: (line["edit"], line["seed"]))


def _named(writers: str) -> list[str]:
    if writers == "all":
        return list(WRITERS)
    if writers in WRITER_HALVES:
        return list(WRITER_HALVES[writers])
    names = writers.split(",")
    if unknown := [name for name in names if name not in WRITERS]:
        raise InputError(f"There is no writer {unknown[0]!r}; there are {', '.join(WRITERS)}.")
    return names


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the lines")
    parser.add_argument("--report", type=Path, help="file to report on")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--writers", default="all")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--texts", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=1536)
    options = parser.parse_args()
    if (options.out is None) == (options.report is None):
        raise InputError("Give --out FILE to play, or --report FILE to read.")
    if options.report is not None:
        print(report(line for _, line in read_lines(options.report)))
    else:
        run(options)


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")

"""The command line: `python -m crash.fleet`, with `tests` on Python's path.

It goes on with the round in which it was stopped. PostgreSQL is a server of its own.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corll.files.durable import append_line, drop_torn_line, read_lines
from crash.databases import databases
from crash.fleet.play import GATEWAYS, LEARNERS, Round, play
from crash.service import warm_parent
from tiny_models import save_tiny_llama

USERS = 64
A_ROUND = 25
"""Kills of a fleet, before it is examined and the next one begins on a new database."""


def main() -> None:
    """Play the rounds that have not been played; exit with 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m crash.fleet", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="in all rounds together")
    parser.add_argument("--a-round", type=int, default=A_ROUND, help="kills of a round")
    parser.add_argument("--users", type=int, default=USERS, help="who draft and edit meanwhile")
    parser.add_argument("--out", type=Path, default=Path("runs/fleet-crash"), help="results")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results = given.out / "rounds.jsonl"
    run(rounds(given.kills, given.a_round, given.users), results)
    lines = [line for _, line in read_lines(results)]
    print(summary(lines))
    sys.exit(1 if any(line["violations"] for line in lines) else 0)


def rounds(kills: int, a_round: int, users: int) -> list[Round]:
    """Return rounds with so many kills together."""
    starts = range(0, kills, a_round)
    return [
        Round(number, min(a_round, kills - start), users) for number, start in enumerate(starts)
    ]


def left_of(given: Sequence[Round], results: Path) -> list[Round]:
    """Return the rounds that a file of results has not got, which loses a line that is torn."""
    drop_torn_line(results)
    played = {line["number"] for _, line in read_lines(results)}
    return [one for one in given if one.number not in played]


def run(given: Sequence[Round], results: Path) -> None:
    """Play what the file of results has not got yet, one round after the other."""
    left = left_of(given, results)
    if not left:
        return
    model = save_tiny_llama(results.parent / "model")
    with warm_parent() as parent, databases("postgres") as made:
        for one in left:
            folder = results.parent / f"round-{one.number}"
            shutil.rmtree(folder, ignore_errors=True)
            with made.new() as url:
                assert url is not None
                line = play(parent, model, url, one, folder)
            append_line(results, line)
            if not line["violations"]:  # else its files stay, to be looked at
                shutil.rmtree(folder)
            said = "; ".join(line["violations"]) or "all holds"
            print(f"round {one.number}: {one.kills} kills in {line['took_s']:.0f} s: {said}")
            sys.stdout.flush()


def summary(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return how many kills there were, what was taken and made, and what did not hold."""
    killed = Counter[str]()
    for line in lines:
        killed.update(line["killed"])
    told = ", ".join(f"{killed[name]} {name}" for name in (*GATEWAYS, *LEARNERS))
    total = {
        name: sum(line[name] for line in lines)
        for name in ("killed_while_starting", "drafts", "edits", "deletions", "asked_again")
    }
    made = Counter[str]()
    for line in lines:
        made.update(line["versions"])
    broken = [line for line in lines if line["violations"]]
    slowest = max((line["drained_s"] for line in lines), default=0.0)
    return "\n".join(
        [
            f"{sum(killed.values())} kills in {len(lines)} rounds: {told}; "
            f"{total['killed_while_starting']} of them while starting",
            f"{total['drafts']} drafts, {total['edits']} edits and {total['deletions']} deletions "
            f"were answered; {total['asked_again']} requests were asked again",
            f"{sum(made.values())} versions; all queues were empty {slowest:.0f} s after the last "
            "kill at most",
            f"rounds in which something did not hold: {len(broken)}",
            *(f"  round {line['number']}: {'; '.join(line['violations'])}" for line in broken),
        ]
    )


if __name__ == "__main__":
    main()

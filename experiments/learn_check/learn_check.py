"""What learning from edits costs and brings, by arm and edit, for simulated writers.

    python experiments/learn_check/learn_check.py --out FILE.jsonl [--model NAME] [--edits 60]
        [--seeds 1] [--writers choose|judge|all|NAME,…] [--arms base,memory,weights,both]
        [--set NAME=VALUE … --label NAME] [--veto N|none] [--memory last|nearest|similar]
        [--held-out 24]
    python experiments/learn_check/learn_check.py --report FILE.jsonl … [--figure FILE.png]

Each writer answers the same requests in the same order in each arm, with drafts by the same seeds.
Stopped and started again, it goes on where it was; see `check_lines.py` for the lines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from check_arms import ARMS, DEFAULTS, LEARNING, Check, named_arms
from check_figure import draw_costs
from check_lines import CellKey, play_cells, read_drafts
from check_report import report
from corll.errors import CorllError, InputError
from corll.files.cell_lines import playing_into
from corll.policy import Policy
from corll.service.learning.checks import OfReferences
from corll.simulation.writers import WRITERS
from playing import loaded, machine_of, play_learning, play_served, play_together
from writers_desk import WritersDesk, named_writers


def run(options: argparse.Namespace, check: Check) -> None:
    """Play the cells that are not there yet, and add them to the file.

    *Raises*: InputError where another process plays into it.
    """
    with playing_into(options.out):
        writers, arms = named_writers(options.writers), named_arms(options.arms)
        policy = loaded(options.model, check)
        check = check.sampled_as(policy).with_settings(options.set)
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        wanted = {
            CellKey(seed, writer, arm, check.label): {
                "model": policy.name,
                "cell": check.about(arm),
            }
            for seed in seeds
            for arm in arms
            for writer in writers
        }
        play_cells(
            options.out, wanted, machine_of(policy), lambda left: _played(policy, left, check)
        )


def _played(
    policy: Policy, left: Sequence[CellKey], check: Check
) -> Iterator[tuple[CellKey, dict[str, Any]]]:
    of_references = OfReferences()
    for seed in dict.fromkeys(key.seed for key in left):
        own = [key for key in left if key.seed == seed]
        if plain := [key for key in own if key.arm not in LEARNING]:
            yield from play_together(policy, plain, check)
        for key in own:
            if key.arm == "auto":
                yield from play_served(policy, key, check)
            elif key.arm in LEARNING:
                yield from play_learning(policy, key, check, of_references)


def _checked(options: argparse.Namespace) -> Check:
    """Return the settings of the command line. *Raises*: InputError, ConfigError."""
    if options.seeds < 1 or options.edits < 1:
        raise InputError("--seeds and --edits must be at least 1.")
    if isinstance(options.veto, int) and options.veto < 0:
        raise InputError("--veto takes a number of drafts, 0 or more, or none.")
    check = Check.as_served(edits=options.edits, held_out=options.held_out, label=options.label)
    memory = replace(
        check.memory,
        choice=options.memory or check.memory.choice,
        most=options.memory_texts or check.memory.most,
        budget_tokens=options.memory_tokens or check.memory.budget_tokens,
    )
    veto = {None: check.veto, "none": None}.get(options.veto, options.veto)
    check = replace(check, memory=memory, veto=veto)
    # What can't be played is said before a model is loaded.
    check.with_settings(options.set)
    WritersDesk(next(iter(WRITERS)), check.memory, 0, check.edits, check.held_out)
    return check


def _veto(value: str) -> int | str:
    return value if value == "none" else int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the lines")
    parser.add_argument("--report", type=Path, nargs="+", help="files to report on")
    parser.add_argument("--figure", type=Path, help="where the figure of a report goes")
    parser.add_argument("--judged", default="auto", help="arm or arm:label that targets are for")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--writers", default="judge")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", default=DEFAULTS, help="name of what --set makes of the arms")
    parser.add_argument("--memory", choices=("last", "nearest", "similar"))
    parser.add_argument("--memory-texts", type=int)
    parser.add_argument("--memory-tokens", type=int)
    parser.add_argument("--veto", type=_veto, help="drafts that examine a version; none: no checks")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    if (options.out is None) == (options.report is None):
        raise InputError("Give --out FILE to play, or --report FILE … to read.")
    if options.out is not None:
        named_writers(options.writers), named_arms(options.arms)
        run(options, _checked(options))
        return
    lines = read_drafts(options.report)
    print(report(lines, judged=options.judged))
    if options.figure is not None:
        draw_costs(lines, options.figure)


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")

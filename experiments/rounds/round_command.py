"""The command of the rounds: plays cells into a file, or reports on files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from check_arms import DEFAULTS, Check
from check_lines import CellKey, play_cells, read_drafts
from corll.errors import InputError
from corll.files.cell_lines import playing_into
from corll.simulation.writers import COMPOSED_WRITERS
from playing import loaded, machine_of
from round_arms import ARMS, DEFAULT_ARMS, about_cell, named_arms, named_users, rounds_check
from round_figure import draw_cumulative
from round_playing import parameters_of, play_rounds
from round_report import report
from writers_desk import WritersDesk

QUICK_ROUNDS, QUICK_USERS = 6, "brisk,clerk"

ENOUGH_TO_DESCRIBE = 10**9
"""Weights of a model that can say in words how texts differ; CIPHER is meant for such."""


def run(options: argparse.Namespace, check: Check) -> None:
    """Play the cells that are not there yet, and add them to the file.

    *Raises*: InputError where another process plays into it.
    """
    with playing_into(options.out):
        users, arms = named_users(options.users), named_arms(options.arms)
        policy = loaded(options.model, check)
        settings = check.sampled_as(policy).with_settings(options.set)
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        keys = [
            CellKey(seed, user, arm, check.label)
            for seed in seeds
            for arm in arms
            for user in users
        ]
        wanted = {key: {"model": policy.name, "cell": about_cell(key, settings)} for key in keys}
        parameters = parameters_of(policy)
        if "cipher" in arms and parameters < ENOUGH_TO_DESCRIBE:
            print(
                f"cipher: {policy.name} has {parameters / 1e6:.0f} million weights, too few to say "
                "in words what a user prefers; this arm shows that it runs, not what CIPHER can do",
                flush=True,
            )
        about = {**machine_of(policy), "parameters": parameters}
        play_cells(options.out, wanted, about, lambda left: play_rounds(policy, left, settings))


def _checked(options: argparse.Namespace) -> Check:
    """Return the settings of the command line. *Raises*: InputError, ConfigError."""
    if options.seeds < 1 or options.rounds < 1:
        raise InputError("--seeds and --rounds must be at least 1.")
    check = rounds_check(options.rounds, options.label)
    check.with_settings(options.set)
    # What can't be played is said before a model is loaded.
    user = next(iter(COMPOSED_WRITERS))
    WritersDesk(user, check.memory, 0, check.edits, check.held_out, splits=check.splits)
    return check if options.veto is None else replace(check, veto=options.veto)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Rounds of requests, drafts and edits.")
    parser.add_argument("--out", type=Path, help="file of the lines")
    parser.add_argument("--report", type=Path, nargs="+", help="files to report on")
    parser.add_argument("--figure", type=Path, help="where the figure of a report goes")
    parser.add_argument("--against", choices=ARMS, default="base", help="arm to compare with")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--users", help="users by name, or all; all by default")
    parser.add_argument("--arms", default=",".join(DEFAULT_ARMS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", default=DEFAULTS, help="name of what --set makes of the arms")
    parser.add_argument("--veto", type=int, help="drafts that examine a version")
    quick = f"{QUICK_USERS} and {QUICK_ROUNDS} rounds, unless others are named"
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    if (options.out is None) == (options.report is None):
        raise InputError("Give --out FILE to play, or --report FILE … to read.")
    if options.rounds is None:
        options.rounds = QUICK_ROUNDS if options.quick else 100
    options.users = options.users or (QUICK_USERS if options.quick else "all")
    if options.out is not None:
        named_users(options.users), named_arms(options.arms)
        run(options, _checked(options))
        return
    lines = read_drafts(options.report)
    print(report(lines, against=options.against))
    if options.figure is not None:
        draw_cumulative(lines, options.figure, against=options.against)

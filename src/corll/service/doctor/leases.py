"""Findings about leases: of users that are gone, and such as no learner that works can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Connection

from corll.service.doctor.findings import Finding
from corll.service.store import leases, soundness
from corll.service.store.database import Database


def examine_leases(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with who learns for whom."""
    with database.read() as db:
        names = soundness.user_names(db)
        ownerless = leases.of_nobody(db)
        overlong = leases.overlong(db)
    for user_id in ownerless:
        yield Finding(
            f"A lease names user {user_id}, who is not there",
            "Nobody needs it.",
            "removes it",
            partial(_change, database, leases.remove, user_id),
        )
    for user_id, seconds in overlong.items():
        yield Finding(
            f"{names[user_id]}: a learner holds them for {seconds:.0f} s more, and no lease "
            f"lasts longer than {leases.LONGEST_S:.0f} s: a clock was ahead when it was taken, and "
            "whoever took it may be gone",
            "Until then no other learner works for them.",
            "ends the lease; who took it can register nothing any more",
            partial(_change, database, leases.end, user_id),
        )


def _change(database: Database, change: Callable[[Connection, str], None], user_id: str) -> None:
    database.write_rows(lambda db: change(db, user_id))

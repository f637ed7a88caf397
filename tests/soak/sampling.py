"""What a service takes of its machine, at one moment."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select

from corll.service.store.columns import metadata
from corll.service.store.database import Database
from corll.service.version_store.folders import VERSIONS
from soak.judging import Quantity

KEPT_FOR_GOOD = ("audit_log", "deletions")
"""Tables that grow with each act, as is promised: what was done, and receipts."""

QUANTITIES = (
    Quantity("server_rss_mb", "MB", 4),
    Quantity("learner_rss_mb", "MB", 4),
    Quantity("server_handles", "handles", 1),
    Quantity("learner_handles", "handles", 1),
    Quantity("wal_mb", "MB", 1),
    Quantity("folders", "folders", 1),
    Quantity("rows", "rows", 10),
)
"""What is to be flat. `rows` leaves out the tables of `KEPT_FOR_GOOD`."""


def sample(server: psutil.Process, folder: Path) -> dict[str, Any] | None:
    """Return what server, learner and data folder take; None while there is no learner.

    *Raises*: psutil.NoSuchProcess where the server has ended.
    """
    learner = _learner_of(server)
    if learner is None:
        return None
    with suppress(psutil.NoSuchProcess):
        rows = _rows(folder)
        return {
            "learner": learner.pid,
            **_of_process("server", server),
            **_of_process("learner", learner),
            "wal_mb": _megabytes(folder / "corll.db-wal"),
            "database_mb": _megabytes(folder / "corll.db"),
            "folders": sum(1 for _ in (folder / VERSIONS).glob("*")),
            "rows": sum(count for name, count in rows.items() if name not in KEPT_FOR_GOOD),
            "tables": rows,
        }
    return None


def _learner_of(server: psutil.Process) -> psutil.Process | None:
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            if any("spawn_main" in word for word in child.cmdline()):
                return child
    return None


def _of_process(name: str, process: psutil.Process) -> dict[str, float]:
    with process.oneshot():
        memory = process.memory_info().rss / 1e6
        # Windows counts other things, and calls them so.
        handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return {f"{name}_rss_mb": round(memory, 2), f"{name}_handles": handles}


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def _rows(folder: Path) -> dict[str, int]:
    """Count the rows of each table, by a connection that is gone afterwards."""
    database = Database.open_unchanged(None, folder)
    try:
        with database.read() as db:
            return {
                table.name: int(db.execute(select(func.count()).select_from(table)).scalar_one())
                for table in metadata.sorted_tables
            }
    finally:
        database.close()

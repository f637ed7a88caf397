"""A backup of a database that two users write to at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_folders import filled, taught
from sqlalchemy import Connection, select
from store_samples import edit, kept_draft

from corll.service.backup.making import back_up
from corll.service.backup.manifest import verify_backup
from corll.service.backup.restoring import restore
from corll.service.doctor.examining import examine
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.schema import edits
from corll.service.store.writer import Writer
from corll.service.versions.retention import remove_pruned

NOW = 1_800_000_000.0
_BACKUPS = 3


def test_every_edit_that_was_answered_before_is_in_it_once_and_every_version_whole(
    database: Database, tmp_path: Path
) -> None:
    """Versions are made, and others pruned, meanwhile."""
    ada, ben = filled(database)
    stop = threading.Event()
    answered: list[str] = []
    made: list[int] = []

    def send(writer: Writer, user: User) -> None:
        def work(db: Connection) -> str:
            return edit(db, kept_draft(db, user), "Hi Tom").id

        while not stop.is_set():
            answered.append(writer.submit(work).result())

    def learn(user: User) -> None:
        while not stop.is_set():
            made.append(taught(database, user).number)
            remove_pruned(database, user.id)

    def wait_for_more(count: int) -> None:
        while len(answered) < 10 * count or len(made) < 3 * count:
            assert not any(task.done() for task in tasks)
            time.sleep(0.01)

    with Writer(database) as writer, ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(send, writer, user) for user in (ada, ben)]
        tasks.append(pool.submit(learn, ada))
        before: list[set[str]] = []
        try:
            for count in range(_BACKUPS):
                wait_for_more(count + 1)
                before.append(set(answered))
                back_up(database, tmp_path / f"backup {count}", now=NOW)
        finally:
            stop.set()
        for task in tasks:
            task.result()
    for count, answered_before in enumerate(before):
        backup, folder = tmp_path / f"backup {count}", tmp_path / f"there {count}"
        verify_backup(backup)
        restore(backup, None, folder, actor="a", now=NOW)
        there = Database.open(None, folder)
        with there.read() as db:
            found = Counter(db.execute(select(edits.c.id)).scalars())
        assert answered_before <= found.keys()
        assert set(found.values()) == {1}
        assert examine(there, is_served=False) == []
        there.close()

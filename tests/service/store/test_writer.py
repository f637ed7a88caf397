"""The writer: what is submitted together is committed together, and each is answered alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text, update
from store_samples import ON_SQLITE, note, noted

from corll.errors import StoreError
from corll.service.store.database import Database
from corll.service.store.schema import users
from corll.service.store.writer import Writer
from patience import PATIENCE_S

KILLED = Path(__file__).with_name("killed_writer.py")


def test_the_writer_gives_back_what_was_done(database: Database) -> None:
    with Writer(database) as writer:
        assert writer.submit(lambda db: note(db, "a")).result() == "a"
        assert noted(database) == {"a"}


def together(writer: Writer, work: list[object]) -> list[Future[str]]:
    """Submits while the thread is busy, so that all of it is one batch."""
    started, go_on = threading.Event(), threading.Event()

    def wait(db: Connection) -> None:
        started.set()
        go_on.wait(PATIENCE_S)

    first = writer.submit(wait)
    started.wait(PATIENCE_S)
    futures = [writer.submit(job) for job in work]  # type: ignore[arg-type]
    go_on.set()
    first.result()
    return futures


def test_an_exception_undoes_its_own_changes_only(database: Database) -> None:
    with Writer(database) as writer:
        good, bad, wrong, last = together(
            writer,
            [
                lambda db: note(db, "good"),
                lambda db: note(db, "bad", fail=True),
                lambda db: db.execute(insert(users), {"id": "no other column"}),
                lambda db: note(db, "last"),
            ],
        )
        assert (good.result(), last.result()) == ("good", "last")
        with pytest.raises(ValueError, match="no bad"):
            bad.result()
        with pytest.raises(StoreError):
            wrong.result()
    assert noted(database) == {"good", "last"}


def test_a_job_that_ends_the_transaction_takes_no_other_with_it(database: Database) -> None:
    def broken(db: Connection) -> None:
        note(db, "broken")
        db.execute(text("ROLLBACK"))
        db.execute(text("SELECT * FROM nowhere"))

    with Writer(database) as writer:
        good, bad, last = together(
            writer, [lambda db: note(db, "good"), broken, lambda db: note(db, "last")]
        )
        assert (good.result(), last.result()) == ("good", "last")
        with pytest.raises(StoreError):
            bad.result()
    assert noted(database) == {"good", "last"}


@ON_SQLITE
def test_where_the_commit_fails_all_fail(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_parent(db: Connection) -> None:
        # A foreign key that is looked at only at the commit.
        db.execute(text("PRAGMA defer_foreign_keys = ON"))
        db.execute(
            text("INSERT INTO lineages VALUES ('l', 'no user', 'no reference', 0, NULL, NULL)")
        )

    with Writer(database) as writer:
        futures = together(writer, [lambda db: note(db, "a"), lose_parent])
        for future in futures:
            with pytest.raises(StoreError, match="FOREIGN KEY"):
                future.result()
        assert noted(database) == set()
        assert writer.submit(lambda db: note(db, "b")).result() == "b"


def test_a_future_resolves_only_after_the_commit(database: Database) -> None:
    unseen = []
    with Writer(database) as writer:
        futures = []
        for number in range(50):
            future = writer.submit(lambda db, number=number: note(db, str(number)))
            future.add_done_callback(
                lambda done: unseen.append(done.result() not in noted(database))
            )
            futures.append(future)
    assert unseen == [False] * 50


def test_what_was_cancelled_before_its_turn_is_not_done(database: Database) -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait(db: Connection) -> None:
        started.set()
        go_on.wait(PATIENCE_S)

    with Writer(database) as writer:
        writer.submit(wait)
        started.wait(PATIENCE_S)
        future = writer.submit(lambda db: note(db, "cancelled"))
        assert future.cancel()
        kept = writer.submit(lambda db: note(db, "kept"))
        go_on.set()
        kept.result()
    assert noted(database) == {"kept"}


def test_closing_writes_what_was_submitted_and_takes_no_more(database: Database) -> None:
    writer = Writer(database)
    futures = [writer.submit(lambda db, n=n: note(db, str(n))) for n in range(300)]
    writer.close()
    writer.close()
    assert all(future.done() for future in futures)
    assert noted(database) == {str(n) for n in range(300)}
    with pytest.raises(StoreError, match="stopping"):
        writer.submit(lambda db: note(db, "late"))


def test_sixteen_threads_share_commits_and_each_sees_what_the_last_wrote(
    database: Database,
) -> None:
    commits = []
    write = database.write
    database.write = lambda work: (commits.append(1), write(work))[1]  # type: ignore[method-assign]
    database.write(
        lambda db: db.execute(
            insert(users),
            {
                "id": "u",
                "namespace": "n",
                "name": "n",
                "store": True,
                "learn": True,
                "share": False,
                "holdback": 0.0,
                "created_at": 0.0,
            },
        )
    )

    def count_up(db: Connection) -> float:
        value = db.execute(select(users.c.holdback)).scalar_one() + 1
        db.execute(update(users).values(holdback=value))
        return float(value)

    answers: list[float] = []
    with Writer(database) as writer:

        def work() -> None:
            answers.extend(writer.submit(count_up).result() for _ in range(25))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [float(n) for n in range(1, 401)]
    assert len(commits) < 401


def test_a_second_process_may_write_at_the_same_time(database: Database, tmp_path: Path) -> None:
    other = Database.open(database.url.render_as_string(hide_password=False), tmp_path / "other")
    with Writer(database) as writer:
        futures = [writer.submit(lambda db, n=n: note(db, f"a{n}")) for n in range(40)]
        for number in range(20):
            other.write(lambda db, n=number: note(db, f"b{n}"))
        for future in futures:
            future.result()
    assert len(noted(database)) == 60
    other.close()


@pytest.mark.parametrize("acknowledged", [1, 20])
def test_a_killed_process_keeps_every_edit_that_it_acknowledged(
    database: Database, tmp_path: Path, acknowledged: int
) -> None:
    url = "" if database_is_default(database) else database.url.render_as_string(False)
    done = subprocess.run(
        [sys.executable, str(KILLED), url, str(tmp_path / "data"), str(acknowledged)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    ids = done.stdout.split()
    assert len(ids) >= acknowledged
    with database.read() as db:
        kept = {row[0] for row in db.execute(text("SELECT id FROM edits"))}
        loose = db.execute(
            text(
                "SELECT count(*) FROM edits LEFT JOIN preferences"
                " ON preferences.id = edits.preference_id WHERE preferences.id IS NULL"
            )
        ).scalar()
    assert set(ids) <= kept
    assert loose == 0


def database_is_default(database: Database) -> bool:
    return database.url.get_backend_name() == "sqlite"

"""The database: private files, migrations, errors that say what to do."""

from __future__ import annotations

import logging
import re
import sqlite3
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event, insert, inspect, text
from store_samples import ON_POSTGRESQL, ON_SQLITE, note, noted

from corll.errors import ConfigError, StoreError, StoreUnavailableError
from corll.service.store import engines, migrating
from corll.service.store.accounts import audit, read_audit
from corll.service.store.database import Database
from corll.service.store.schema import audit_log, metadata
from corll.service.store.writer import Writer


def test_files_are_private_and_the_journal_is_durable(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "data"
    database = Database.open(None, folder)
    database.write(lambda db: note(db, "a"))
    assert folder.stat().st_mode & 0o777 == 0o700
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["corll.db", "corll.db-shm", "corll.db-wal", "corll.db.lock"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    def pragmas(db: Connection) -> list[object]:
        names = ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"]
        return [db.execute(text(f"PRAGMA {name}")).scalar() for name in names]

    assert database.write(pragmas) == ["wal", 2, 1, 10_000]
    database.close()


def test_what_was_written_is_there_at_the_next_opening(tmp_path: Path) -> None:
    first = Database.open(None, tmp_path)
    first.write(lambda db: note(db, "kept"))
    first.close()
    second = Database.open(f"sqlite:///{tmp_path}/corll.db", tmp_path)
    assert noted(second) == {"kept"}
    second.close()


def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError), database.read() as db:
        note(db, "a")
    assert noted(database) == set()


def test_reading_sees_one_state(database: Database) -> None:
    with database.read() as db:
        assert read_audit(db) == []
        database.write(lambda other: note(other, "later"))
        assert read_audit(db) == []
    assert noted(database) == {"later"}


def test_a_connection_in_use_is_closed_once_it_is_not(database: Database) -> None:
    closed: list[object] = []
    event.listen(database._reader, "close", lambda connection, _: closed.append(connection))
    with database.read() as db:
        used = db.connection.dbapi_connection
        database.close()
        assert read_audit(db) == []
        assert used not in closed
    assert used in closed


@ON_POSTGRESQL
def test_connections_of_a_server_that_only_reads_are_replaced_also_those_in_use(
    database: Database,
) -> None:
    closed: list[object] = []
    event.listen(database._writer, "close", lambda connection, _: closed.append(connection))

    def ask(db: Connection) -> object:
        return db.connection.dbapi_connection

    def refused(db: Connection) -> None:
        db.execute(text("SET TRANSACTION READ ONLY"))
        note(db, "a")

    def meanwhile(db: Connection) -> object:
        with pytest.raises(StoreUnavailableError, match="once it takes changes"):
            database.write_rows(refused)
        assert len(closed) == 1
        return ask(db)

    used = database.write_rows(meanwhile)
    both = database.write_rows(lambda db: {ask(db), database.write_rows(ask)})
    assert len(both) == 2
    assert used not in both
    assert used in closed


def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="no a"):
        database.write(lambda db: note(db, "a", fail=True))
    assert noted(database) == set()


def test_an_error_of_the_reader_s_own_stays_itself(database: Database) -> None:
    with pytest.raises(FileNotFoundError), database.read():
        raise FileNotFoundError("something else")


def test_the_migrations_give_the_tables_of_the_code(tmp_path: Path) -> None:
    Database.open(None, tmp_path).close()
    plain = create_engine(f"sqlite:///{tmp_path}/plain.db")
    metadata.create_all(plain)
    plain.dispose()

    def statements(name: str) -> list[tuple[str, str, str]]:
        connection = sqlite3.connect(tmp_path / name)
        rows = connection.execute(
            "SELECT type, name, coalesce(sql, '') FROM sqlite_master"
            " WHERE tbl_name != 'alembic_version'"
        ).fetchall()
        connection.close()
        return sorted((kind, name, normal(sql)) for kind, name, sql in rows)

    def normal(sql: str) -> str:
        """Without what a table keeps of being made anew: quotes, and the order of constraints."""
        sql = re.sub(r'^CREATE TABLE "(\w+)"', r"CREATE TABLE \1", re.sub(r"\s+", " ", sql))
        columns, *constraints = re.split(r", (?=CONSTRAINT )", sql.removesuffix(" )"))
        return ", ".join([columns, *sorted(constraints)])

    assert statements("corll.db") == statements("plain.db")


def test_migrating_makes_every_table(database: Database) -> None:
    names = database.write(lambda db: inspect(db).get_table_names())
    assert set(names) == {*metadata.tables, "alembic_version"}


def test_migrating_says_nothing_and_leaves_logging_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("alembic").level
    Database.open(None, tmp_path).close()
    assert (logging.getLogger().handlers, logging.getLogger("alembic").level) == before
    assert capfd.readouterr() == ("", "")


def test_a_database_of_a_newer_corll_is_left_alone(tmp_path: Path) -> None:
    database = Database.open(None, tmp_path)
    database.write(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    database.close()
    # One that only adds to what is known here is gone on with.
    Database.open(None, tmp_path).close()
    database = Database.open(None, tmp_path)
    oldest = text("UPDATE schema_compatibility SET revision = '9999'")
    database.write(lambda db: db.execute(oldest))
    database.close()
    with pytest.raises(StoreError, match=r"newer corll.*'9999'.*install that corll"):
        Database.open(None, tmp_path)


def test_several_processes_may_open_a_new_database_at_once(
    tmp_path: Path, database_url: str | None
) -> None:
    """On PostgreSQL from folders of their own, whose locks keep nobody out."""
    code = (
        "import sys; from corll.service.store.database import Database;"
        "input(); Database.open(sys.argv[1] or None, sys.argv[2]).close()"
    )
    folders = [str(tmp_path / name) for name in ("one", "another")]
    each = [folders[0], folders[0]] if database_url is None else folders
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, database_url or "", folder],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for folder in each
    ]
    # Both are asked at once, when both have long imported what they need.
    with ThreadPoolExecutor(2) as asking:
        said = list(asking.map(lambda process: process.communicate(b"\n")[1], both))
    assert said == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    opened = Database.open_unchanged(database_url, each[0])
    assert opened.revision() == migrating.newest_revision()
    opened.close()


@ON_POSTGRESQL
def test_a_server_waits_for_one_that_migrates_longer_than_for_one_that_writes(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[object] = []

    def note_patience(db: Connection) -> None:
        waiting.append(db.execute(text("SHOW lock_timeout")).scalar())

    monkeypatch.setattr(Database, "_migrate", lambda self, db: note_patience(db))
    Database.open(database.url.render_as_string(hide_password=False), tmp_path).close()
    database.write(note_patience)
    database.write_rows(note_patience)
    assert waiting == ["1min", "10s", "10s"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://here/corll", "not in 'mysql'"),
        ("nonsense", "cannot be read"),
        ("sqlite://", "forgets edits"),
        ("sqlite:///:memory:", "forgets edits"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Database.open(url, tmp_path)


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "corll.db").write_text("a letter, and by no means a database, " * 30)
    with pytest.raises(StoreError, match="not a database"):
        Database.open(None, tmp_path)


def test_a_data_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"data folder .* cannot be made"):
        Database.open(None, tmp_path / "file" / "data")


def test_an_error_of_the_database_names_no_text_of_a_user(database: Database) -> None:
    row = {"actor": "a", "action": "a", "details": {}, "created_at": 0.0, "subject": None}
    with pytest.raises(StoreError) as caught:
        database.write(lambda db: db.execute(insert(audit_log), {**row, "actor": "a secret"}))
    shown = "".join(traceback.format_exception(caught.value))
    assert "a secret" not in shown.replace('"actor": "a secret"', "")
    assert "test_an_error_of_the_database_names_no_text_of_a_user" in shown


def test_a_number_that_json_does_not_know_is_refused(database: Database) -> None:
    def work(db: Connection) -> None:
        audit(db, actor="a", action="a", subject="a", details={"loss": float("nan")}, now=0.0)

    with pytest.raises(StoreError, match="JSON"):
        database.write(work)


def test_another_process_that_holds_the_lock_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PATIENCE_S", 0)
    database = Database.open(None, tmp_path)
    other = sqlite3.connect(tmp_path / "corll.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked.*try again"):
        database.write(lambda db: note(db, "a"))
    with Writer(database) as writer, pytest.raises(StoreError, match="locked"):
        writer.submit(lambda db: note(db, "b")).result()
    other.execute("ROLLBACK")
    other.close()
    database.write(lambda db: note(db, "c"))
    assert noted(database) == {"c"}
    database.close()


@ON_SQLITE
def test_a_full_disk_is_a_store_error_and_loses_nothing(database: Database) -> None:
    database.write(lambda db: note(db, "before"))

    def fill(db: Connection) -> None:
        pages = db.execute(text("PRAGMA page_count")).scalar()
        db.execute(text(f"PRAGMA max_page_count = {pages}"))
        audit(db, actor="a", action="a", subject="big", details={"x": "x" * 100_000}, now=0.0)

    with pytest.raises(StoreError, match=r"full.*free some space"):
        database.write(fill)
    assert noted(database) == {"before"}

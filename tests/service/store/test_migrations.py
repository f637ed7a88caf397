"""A database of an earlier corll is brought up to date with its rows."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from data_folders import all_rows
from sqlalchemy import create_engine, insert, inspect, select

from corll.service.backup.making import back_up
from corll.service.backup.restoring import restore
from corll.service.doctor.examining import examine
from corll.service.store import migrating
from corll.service.store.accounts import read_audit
from corll.service.store.database import Database
from corll.service.store.drafts import find_draft
from corll.service.store.imports import find_import
from corll.service.store.preferences import find_preference
from corll.service.store.schema import lineages, references, users, versions
from corll.service.store.urls import parse

BEFORE = "0002"
ROWS = """
INSERT INTO users VALUES ('ann', 'home', 'ann', 1, 1, 0, 0.0, 1.0);
INSERT INTO audit_log VALUES (1, 'a', 'note', 'ann', '{}', 1.0);
INSERT INTO imports VALUES (1, 'import_1', 'ann', 'done', 1, 1, NULL, NULL, 1.0, 2.0);
INSERT INTO drafts VALUES (1, 'draft_1', 'ann', NULL, 'chat', 'corll', '[]', NULL, '[]', '[]',
    NULL, '{}', 0, 'complete', 0, 'live', 1.0);
INSERT INTO preferences VALUES (1, 'pref_1', 'ann', 'import', 'draft_1', 'import_1', '[]', '{}',
    '{}', NULL, 'waiting', NULL, 1.0);
"""


REFERENCE = {
    "id": "reference_1",
    "number": 1,
    "kind": "adapter",
    "name": "house style",
    "fingerprint": "f1",
    "base_model": "tiny",
    "base_fingerprint": "f0",
    "created_at": 1.0,
}
USER = {
    "id": "ann",
    "namespace": "home",
    "name": "ann",
    "store": True,
    "learn": True,
    "share": False,
    "holdback": 0.0,
    "created_at": 1.0,
}
LINEAGE = {"id": "l", "user_id": "ann", "reference_id": "reference_1", "created_at": 1.0}
VERSION = {
    "id": "ver_1",
    "user_id": "ann",
    "lineage_id": "l",
    "number": 1,
    "reference_id": "reference_1",
    "state": "retired",
    "reasons": [],
    "metrics": {},
    "has_optimizer": True,
    "steps": 1,
    "created_at": 1.0,
}


def test_rows_from_before_are_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "corll.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as db:
        migrating.migrate(db, to=BEFORE)
    engine.dispose()
    earlier = sqlite3.connect(path)
    earlier.executescript(ROWS)
    earlier.close()
    database = Database.open(None, tmp_path)
    with database.read() as db:
        assert [row.subject for row in read_audit(db)] == ["ann"]
        assert find_import(db, "import_1") is not None
        preference = find_preference(db, "pref_1")
        blind = db.exec_driver_sql("SELECT blind FROM drafts").scalar()
        draft = find_draft(db, "draft_1")
    assert preference is not None
    assert draft is not None
    assert draft.asked is None
    assert (preference.import_id, preference.reason, blind) == ("import_1", None, 0)
    database.close()


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [
        ("versions", "/srv/corll/data/versions/ver_1", "versions/ver_1"),
        ("versions", "/versions/ver_1/", "versions/ver_1"),
        ("versions", "/srv/versions/versions/ver_1", "versions/ver_1"),
        ("versions", "C:\\corll\\versions\\ver_1", "versions/ver_1"),
        ("versions", "/srv/elsewhere/ver_1", "/srv/elsewhere/ver_1"),
        ("versions", "versions/ver_1", "versions/ver_1"),
        ("versions", None, None),
        ("model_references", "/srv/corll/data/references/c6ae", "references/c6ae"),
        ("model_references", "/srv/corll/data/versions/c6ae", "/srv/corll/data/versions/c6ae"),
        ("model_references", None, None),
    ],
)
def test_absolute_folders_become_relative_to_the_data_folder(
    tmp_path: Path, database_url: str | None, table: str, before: str | None, after: str | None
) -> None:
    """As version 0.1 wrote them, whichever database it wrote to."""
    database = Database(parse(database_url, tmp_path), folder=tmp_path)
    database.write(lambda db: migrating.migrate(db, to="0003"))
    reference = before if table == "model_references" else None
    rows = [(references, {**REFERENCE, "folder": reference})]
    if table == "versions":
        rows += [(users, USER), (lineages, LINEAGE), (versions, {**VERSION, "folder": before})]
    for into, row in rows:
        database.write(lambda db, into=into, row=row: db.execute(insert(into).values(**row)))
    database.close()
    opened = Database.open(database_url, tmp_path)
    with opened.read() as db:
        column = versions.c.folder if table == "versions" else references.c.folder
        assert db.execute(select(column)).scalar_one() == after
    opened.close()


BROKEN = """
from alembic import op

revision = "9999"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("CREATE TABLE half_done (id INTEGER)")
    op.execute("UPDATE users SET name = name || '!'")
    op.drop_index("ix_edits_draft_id_choice", table_name="edits")
    raise RuntimeError("this migration fails half-way")
"""


@pytest.fixture
def a_broken_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration after the newest one that changes things, and then fails."""
    newest = migrating.newest_revision()
    folder = tmp_path / "migrations"
    shutil.copytree(migrating.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_broken.py").write_text(BROKEN.format(newest=newest))
    monkeypatch.setattr(migrating, "MIGRATIONS", folder)


def structure(database: Database) -> tuple[object, list[str], dict[str, list[object]]]:
    """The revision, every table and index, and every row."""
    with database.read() as db:
        looked_at = inspect(db)
        names = sorted(looked_at.get_table_names())
        indexes = [str(index["name"]) for name in names for index in looked_at.get_indexes(name)]
        rows = {
            name: [tuple(map(repr, row)) for row in db.exec_driver_sql(f"SELECT * FROM {name}")]
            for name in names
        }
        return migrating.revision_of(db), [*names, *sorted(indexes)], rows


@pytest.mark.parametrize("before", ["0003", "head"])
def test_a_migration_that_fails_half_way_changes_nothing(
    tmp_path: Path, database_url: str | None, before: str, request: pytest.FixtureRequest
) -> None:
    """Not even those that went well before it."""
    folder = tmp_path / "data"
    folder.mkdir()
    database = Database(parse(database_url, folder), folder=folder)
    database.write(lambda db: migrating.migrate(db, before))
    rows = [(references, {**REFERENCE, "folder": "/srv/data/references/c6ae"}), (users, USER)]
    for into, row in rows:
        database.write(lambda db, into=into, row=row: db.execute(insert(into).values(**row)))
    kept = structure(database)
    request.getfixturevalue("a_broken_migration")
    with pytest.raises(RuntimeError, match="half-way"):
        Database.open(database_url, folder)
    assert structure(database) == kept
    database.close()


def test_a_migration_of_a_folder_of_0_1_that_fails_leaves_its_file_as_it_was(
    older: Path, a_broken_migration: None
) -> None:
    path = older / "data" / "corll.db"
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="half-way"):
        Database.open(None, older / "data")
    assert path.read_bytes() == before


def test_a_folder_of_0_1_is_backed_up_as_it_is_and_restored_as_of_today(
    older: Path, tmp_path: Path
) -> None:
    """Its rows name the place where they were written, which is not there."""
    path = older / "data" / "corll.db"
    before = path.read_bytes()
    unchanged = Database.open_unchanged(None, older / "data")
    manifest = back_up(unchanged, tmp_path / "backup", now=1.0)
    unchanged.close()
    assert path.read_bytes() == before
    assert manifest.schema_revision < migrating.newest_revision()
    restore(tmp_path / "backup", None, tmp_path / "there", actor="a", now=1.0)
    there, today = Database.open(None, tmp_path / "there"), Database.open(None, older / "data")
    assert all_rows(there) == all_rows(today)
    assert examine(there, is_served=False) == []
    there.close()
    today.close()

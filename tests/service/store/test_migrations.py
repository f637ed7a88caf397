"""A database of an earlier corll is brought up to date with its rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, insert, select

from corll.service.store import database as database_module
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


def migrated(db: Connection, *, to: str) -> None:
    """Brings an empty database to the tables of an earlier corll."""
    config = Config(attributes={"connection": db})
    config.set_main_option("script_location", str(database_module._MIGRATIONS))
    command.upgrade(config, to)


def test_rows_from_before_are_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "corll.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as db:
        migrated(db, to=BEFORE)
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
    database.write(lambda db: migrated(db, to="0003"))
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

"""A database of an earlier corll is brought up to date with its rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from corll.service.store import database as database_module
from corll.service.store.accounts import read_audit
from corll.service.store.database import Database
from corll.service.store.imports import find_import
from corll.service.store.preferences import find_preference

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


def test_rows_from_before_are_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "corll.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as db:
        config = Config(attributes={"connection": db})
        config.set_main_option("script_location", str(database_module._MIGRATIONS))
        command.upgrade(config, BEFORE)
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
    assert preference is not None
    assert (preference.import_id, preference.reason, blind) == ("import_1", None, 0)
    database.close()

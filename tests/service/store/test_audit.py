"""The audit log is only added to, whoever asks the database for something else."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from store_samples import note, noted

from corll.errors import StoreError
from corll.service.store.database import Database


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE subject = 'ann'",
    ],
)
def test_what_is_in_the_audit_log_stays_as_it_is(database: Database, change: str) -> None:
    database.write(lambda db: note(db, "ann"))
    with pytest.raises(StoreError, match="only added to"):
        database.write(lambda db: db.execute(text(change)))
    database.write(lambda db: note(db, "bob"))
    assert noted(database) == {"ann", "bob"}

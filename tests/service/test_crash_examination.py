"""What the examination after a kill sees: each break of a sound data folder, and no break of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_folders import taught
from sqlalchemy import Connection, delete, insert, select, update
from store_samples import add_user, deleted, edit, kept_draft

from corll.model.file_names import ADAPTER_WEIGHTS
from corll.service.store import lineages, preferences
from corll.service.store.database import Database
from corll.service.store.schema import edits as edits_table
from corll.service.store.schema import preferences as preferences_table
from corll.service.store.schema import version_preferences
from corll.service.store.schema import versions as versions_table
from corll.service.versions.forgetting import clean
from crash import processes
from crash.invariants import is_settled, violations
from crash.ledger import Ledger, SentDeletion, SentEdit
from patience import PATIENCE_S


class Folder:
    """A data folder of two users who learned, and what one of them was told."""

    def __init__(self, database: Database) -> None:
        self.database, self.ledger = database, Ledger()
        users = [
            database.write(lambda db, name=name: add_user(db, name)) for name in ("ada", "ben")
        ]
        for user in (users[0], *users):
            self.version = taught(database, user)
        self.user = users[0]

        def write(db: Connection) -> SentEdit:
            draft = kept_draft(db, self.user)
            row = edit(db, draft, "Note 81234567 came.")
            return SentEdit("ada", draft.id, row.text, "81234567", "", id=row.id)

        self.sent = database.write(write)
        self.ledger.edits.append(self.sent)
        self.ledger.drafts.append(self.sent.draft_id)

    def violations(self) -> list[str]:
        return violations(self.database, self.ledger)

    def copied(self) -> None:
        """Keep the edit a second time, as if it had come again."""

        def copy(db: Connection) -> None:
            row = db.execute(select(edits_table).where(edits_table.c.id == self.sent.id)).mappings()
            values = {**row.one(), "id": "edit_again", "preference_id": None}
            values.pop("number")
            db.execute(insert(edits_table).values(values))

        self.database.write(copy)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    database = Database.open(None, tmp_path / "data")
    yield Folder(database)
    database.close()


def test_a_sound_folder_has_none(folder: Folder) -> None:
    assert folder.violations() == []
    assert not is_settled(folder.database)
    assert is_settled(folder.database, at_most=4)


def test_an_edit_that_was_lost(folder: Folder) -> None:
    folder.database.write(
        lambda db: db.execute(delete(edits_table).where(edits_table.c.id == folder.sent.id))
    )
    assert folder.violations() == [f"edit {folder.sent.id} was acknowledged, and is lost"]


def test_a_draft_that_was_lost(folder: Folder) -> None:
    folder.ledger.drafts.append("chatcmpl-gone")
    assert folder.violations() == ["draft chatcmpl-gone was acknowledged, and is lost"]


def test_an_edit_that_is_there_twice(folder: Folder) -> None:
    folder.copied()
    assert folder.violations() == [f"edit {folder.sent.id} is there 2 times"]


def test_a_preference_that_was_learned_by_two_versions_of_a_line(folder: Folder) -> None:
    def teach_again(db: Connection) -> None:
        rows = preferences.preferences_of(db, folder.user.id)
        learned = [row for row in rows if row.state == "learned"]
        latest, first = learned[-1], learned[0]
        values = {"version_id": latest.version_id, "preference_id": first.id}
        db.execute(insert(version_preferences).values(values))

    folder.database.write(teach_again)
    (said,) = folder.violations()
    assert said.endswith("was learned 2 times")


def test_a_preference_that_is_called_learned_and_was_not(folder: Folder) -> None:
    waits = preferences_table.c.state == "waiting"
    theirs = preferences_table.c.user_id == folder.user.id
    change = update(preferences_table).where(waits, theirs).values(state="learned")
    folder.database.write(lambda db: db.execute(change))
    found = folder.violations()
    assert found
    assert all(said.endswith("is learned, learned 0 times") for said in found)


def test_versions_out_of_order(folder: Folder) -> None:
    with folder.database.read() as db:
        first, second = lineages.versions_of(db, folder.user.id)
    assert second.parent_id == first.id

    def renumber(db: Connection) -> None:
        for version, number in ((second, 9), (first, 2), (second, 1)):
            db.execute(
                update(versions_table)
                .where(versions_table.c.id == version.id)
                .values(number=number)
            )

    folder.database.write(renumber)
    assert "version 1 of ada was made from a later one" in folder.violations()
    gap = update(versions_table).where(versions_table.c.id == first.id).values(number=3)
    folder.database.write(lambda db: db.execute(gap))
    assert "versions of ada are numbered [1, 3]" in folder.violations()


def test_weights_that_serve_and_are_not_whole(folder: Folder) -> None:
    weights = folder.database.versions.at(str(folder.version.folder)) / ADAPTER_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    found = folder.violations()
    assert any("serves, and is not whole" in said for said in found)
    assert any("It serves" in said for said in found)  # so does the doctor


def test_what_a_kill_left_half_written(folder: Folder) -> None:
    (folder.database.folder / "versions" / ".ver_x.new").mkdir()
    (said,) = folder.violations()
    assert said.endswith("is half-written")


def test_bytes_of_what_was_deleted(folder: Folder) -> None:
    folder.sent.is_deleted = True
    folder.ledger.deletions.append(SentDeletion("", ["81234567"], is_done=True))
    found = folder.violations()
    assert any("holds b'81234567'" in said for said in found)
    assert folder.sent.id is not None
    receipt = folder.database.write(lambda db: deleted(db, "edit", str(folder.sent.id)))
    clean(folder.database)
    folder.ledger.deletions[0].receipt = receipt.id
    assert folder.violations() == []
    folder.ledger.deletions[0].receipt = "deletion_gone"
    assert folder.violations() == ["deletion_gone: the receipt is gone"]


def test_a_process_that_outlives_its_server() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        assert [one.pid for one in processes.of_session(child.pid)] == [child.pid]
        assert not processes.wait_for_end(child.pid, within=0)
        processes.kill(child.pid)
        assert processes.wait_for_end(child.pid, within=PATIENCE_S)
        assert processes.of_session(child.pid) == []
    finally:
        child.kill()
        child.wait()

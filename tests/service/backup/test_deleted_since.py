"""What was deleted after a backup was made is deleted again where it is restored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_folders import all_rows, filled, taught
from sqlalchemy import Connection
from store_samples import NOW as WRITTEN
from store_samples import ON_SQLITE, deleted, edit, kept_draft

from corll.cli import restore as command
from corll.errors import InputError
from corll.schemas.deletions import Receipt
from corll.service.backup.making import back_up
from corll.service.backup.manifest import read_manifest
from corll.service.backup.restoring import Restored, restore
from corll.service.learning.ageing import delete_old
from corll.service.store import accounts, deletions, drafts, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.versions.forgetting import clean, delete_now
from corll.service.versions.tombstones import FILE, deletions_at, read_tombstones
from corll.service.versions.verifying import verify_receipt

NOW = 1_800_000_000.0


@pytest.fixture
def users(database: Database) -> tuple[User, User]:
    return filled(database)


@pytest.fixture
def backup(database: Database, users: tuple[User, User], tmp_path: Path) -> Path:
    """A backup of before anything was deleted."""
    back_up(database, tmp_path / "backup", now=NOW)
    return tmp_path / "backup"


def restored(backup: Path, url: str | None, live: str | None) -> tuple[Restored, Database]:
    folder = backup.parent / "there"
    known = [] if live is None else deletions_at(live)
    done = restore(backup, url, folder, actor="cli test", now=NOW, known=known)
    return done, Database.open(url, folder)


def first_edit(database: Database, user: User) -> str:
    """The id of the edit that the user's first version learned from."""
    with database.read() as db:
        return drafts.edits_of(db, user.id, limit=99)[-2].id


def on_record(database: Database, receipt: Receipt) -> Receipt:
    with database.read() as db:
        row = deletions.find_deletion(db, receipt.id)
    assert row is not None
    return row.to_receipt()


def test_it_is_gone_there_with_the_versions_that_saw_it(
    database: Database,
    users: tuple[User, User],
    backup: Path,
    other_url: str | None,
    tmp_path: Path,
) -> None:
    ada, ben = users
    text = first_edit(database, ada)
    with database.read() as db:
        versions = lineages.versions_of(db, ada.id)
        of_ben = lineages.serving_version(db, ben.id)
    receipts = [delete_now(database, "edit", text, actor="a")]
    live = str(tmp_path / "data") if database.url.get_backend_name() == "sqlite" else None
    live = live or database.url.render_as_string(hide_password=False)
    done, there = restored(backup, other_url, live)
    assert done.deleted.applied == [receipts[0].id]
    with there.read() as db:
        assert drafts.find_edit(db, text) is None
        assert lineages.serving_version(db, ada.id) is None
        assert lineages.serving_version(db, ben.id) == of_ben
        assert [row.user_id for row in deletions.uncleaned(db)] == []
        assert accounts.read_audit(db, limit=1)[0].actor == "cli test"
    assert not any((there.folder / str(one.folder)).exists() for one in versions)
    told = on_record(there, receipts[0])
    assert (told.replay.state, told.cleaned) == ("withdrawn", True)
    assert {one.state for one in verify_receipt(there, receipts[0])} == {"holds"}
    there.close()


@pytest.mark.parametrize("kind", ["draft", "texts", "model", "user"])
@ON_SQLITE
def test_each_kind_is_deleted_again_and_nobody_else_s(
    database: Database, users: tuple[User, User], backup: Path, kind: Any, tmp_path: Path
) -> None:
    ada, ben = users
    with database.read() as db:
        draft = drafts.drafts_of(db, ada.id, limit=1)[0].id
    subject = draft if kind == "draft" else ada.id
    receipt = delete_now(database, kind, subject, actor="a")
    before = all_rows(database)
    done, there = restored(backup, None, str(tmp_path / "data"))
    assert done.deleted.applied == [receipt.id]
    after = all_rows(there)
    for table in ("users", "drafts", "edits", "preferences", "comparisons", "imports", "keys"):
        assert after[table] == before[table], table
    with there.read() as db:
        assert lineages.serving_version(db, ben.id) is not None
        if kind != "user" and kind != "draft":
            assert lineages.serving_version(db, ada.id) is None
    there.close()


@ON_SQLITE
def test_old_texts_go_again_and_younger_ones_stay(
    database: Database, users: tuple[User, User], tmp_path: Path
) -> None:
    ada, _ = users

    def write(db: Connection) -> str:
        draft = kept_draft(db, ada, created_at=WRITTEN + 1)
        edit(db, draft, "A younger text")
        return draft.id

    young = database.write(write)
    back_up(database, tmp_path / "backup", now=NOW)
    made = delete_old(database, keep_s=NOW - WRITTEN, now=NOW)
    done, there = restored(tmp_path / "backup", None, str(tmp_path / "data"))
    assert sorted(done.deleted.applied) == sorted(one.id for one in made)
    assert len(made) == 2
    with there.read() as db:
        assert [one.id for one in drafts.drafts_of(db, ada.id, limit=99)] == [young]
    there.close()


@ON_SQLITE
def test_what_the_backup_knows_or_never_had_changes_nothing(
    database: Database, users: tuple[User, User], tmp_path: Path
) -> None:
    ada, ben = users
    delete_now(database, "edit", first_edit(database, ada), actor="a")
    back_up(database, tmp_path / "backup", now=NOW)
    before = all_rows(database)
    taught(database, ben)
    later = delete_now(database, "edit", first_edit_last(database, ben), actor="a")
    done, there = restored(tmp_path / "backup", None, str(tmp_path / "data"))
    assert done.deleted == ([], [later.id])
    after = all_rows(there)
    assert len(after.pop("deletions")) == len(before.pop("deletions")) + 1
    assert after == before
    there.close()


def first_edit_last(database: Database, user: User) -> str:
    with database.read() as db:
        return drafts.edits_of(db, user.id, limit=1)[0].id


@ON_SQLITE
def test_a_file_in_the_data_folder_knows_them_without_a_text(
    database: Database, users: tuple[User, User], backup: Path, tmp_path: Path
) -> None:
    """It is there where the database is lost, or lies on another machine."""
    ada, ben = users
    made = [
        delete_now(database, "edit", first_edit(database, ada), actor="a"),
        delete_now(database, "user", ben.id, actor="a"),
    ]
    path = database.folder / FILE
    assert "Tom" not in path.read_text()
    assert [one.id for one in read_tombstones(path)] == [one.id for one in made]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.rename(elsewhere / FILE)
    for place in (elsewhere, elsewhere / FILE, database.folder):
        assert [one.id for one in deletions_at(str(place))] == [one.id for one in made]
    done, there = restored(backup, None, str(elsewhere))
    assert done.deleted.applied == [one.id for one in made]
    there.close()


@ON_SQLITE
def test_receipts_as_they_were_given_out_do_too_unless_they_were_changed(
    database: Database, users: tuple[User, User], tmp_path: Path
) -> None:
    receipt = database.write(lambda db: deleted(db, "edit", first_edit_in(db, users[0])))
    clean(database)
    record = receipt.model_dump()
    writings: list[Callable[[Any], str]] = [
        lambda one: json.dumps(one, indent=1),
        lambda one: json.dumps({"object": "list", "data": [one]}),
        lambda one: json.dumps(one) + "\n",
    ]
    path = tmp_path / "receipts.json"
    for write in writings:
        path.write_text(write(record))
        assert [one.id for one in read_tombstones(path)] == [receipt.id]
        path.write_text(write({**record, "subject": "edit_other"}))
        with pytest.raises(InputError, match="was changed"):
            read_tombstones(path)
    for nonsense in ("", "hello", "[1]", "{}", '{"object": "list"}'):
        path.write_text(nonsense)
        if nonsense:
            with pytest.raises(InputError, match="no receipts"):
                read_tombstones(path)
    with pytest.raises(InputError, match="no data folder"):
        deletions_at(str(tmp_path / "nowhere"))


def first_edit_in(db: Connection, user: User) -> str:
    return drafts.edits_of(db, user.id, limit=99)[-2].id


@ON_SQLITE
def test_the_command_looks_at_the_folder_it_replaces_and_says_where_it_knows_of_none(
    database: Database,
    users: tuple[User, User],
    backup: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    monkeypatch.setenv("CORLL_DATA_DIR", str(tmp_path / "data"))
    receipt = delete_now(database, "edit", first_edit(database, users[0]), actor="a")
    command.main([str(backup), "--to", str(tmp_path / "one")])
    assert f"Deleted again, as {tmp_path / 'data'} knows: {receipt.id}." in capsys.readouterr().out
    monkeypatch.setenv("CORLL_DATA_DIR", str(tmp_path / "gone"))
    say_made_of(backup, None)
    command.main([str(backup), "--to", str(tmp_path / "two")])
    assert "NOTE: no deletions are known" in capsys.readouterr().out
    file = str(tmp_path / "data" / FILE)
    command.main([str(backup), "--to", str(tmp_path / "three"), "--deletions", file])
    assert receipt.id in capsys.readouterr().out
    again = ["--to", str(tmp_path / "four"), "--deletions", str(tmp_path / "one")]
    command.main([str(backup), *again])
    assert receipt.id in capsys.readouterr().out
    back_up(database, tmp_path / "newer", now=NOW)
    command.main([str(tmp_path / "newer"), "--to", str(tmp_path / "five"), "--deletions", file])
    assert "Nothing was deleted since the backup" in capsys.readouterr().out


def say_made_of(backup: Path, place: Path | None) -> None:
    """Let a backup say that it was made of another folder; None as backups of before do."""
    made_of = None if place is None else str(place)
    read_manifest(backup).model_copy(update={"made_of": made_of}).write(backup)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Receipt]:
    """The data folder of another service, at the default place, and a deletion there."""
    folder = tmp_path / "stranger"
    database = Database.open(None, folder)
    ada, _ = filled(database)
    receipt = delete_now(database, "edit", first_edit(database, ada), actor="a")
    database.close()
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    monkeypatch.setenv("CORLL_DATA_DIR", str(folder))
    return folder, receipt


@ON_SQLITE
def test_a_folder_of_another_service_at_the_default_place_knows_nothing(
    database: Database,
    users: tuple[User, User],
    backup: Path,
    stranger: tuple[Path, Receipt],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = first_edit(database, users[0])
    delete_now(database, "edit", text, actor="a")
    say_made_of(backup, None)
    command.main([str(backup), "--to", str(tmp_path / "there")])
    said = capsys.readouterr().out
    assert "NOTE: no deletions are known" in said
    assert f"NOTE: {stranger[0]} has no user, key or deletion in common with the backup" in said
    assert "Nothing was deleted" not in said
    assert "Deleted again" not in said
    assert not (tmp_path / "there" / FILE).exists()
    there = Database.open(None, tmp_path / "there")
    with there.read() as db:
        assert deletions.all_deletions(db) == []
        assert drafts.find_edit(db, text) is not None
    there.close()


@ON_SQLITE
def test_the_folder_that_the_backup_was_made_of_is_looked_at_unasked(
    database: Database,
    users: tuple[User, User],
    backup: Path,
    stranger: tuple[Path, Receipt],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    receipt = delete_now(database, "edit", first_edit(database, users[0]), actor="a")
    command.main([str(backup), "--to", str(tmp_path / "there")])
    said = capsys.readouterr().out
    assert f"Deleted again, as {tmp_path / 'data'} knows: {receipt.id}." in said
    assert "NOTE" not in said
    assert receipt.id in {one.id for one in deletions_at(str(tmp_path / "there"))}
    assert stranger[1].id not in (tmp_path / "there" / FILE).read_text()


@ON_SQLITE
def test_where_the_folder_that_the_backup_was_made_of_cannot_be_read_it_is_said(
    users: tuple[User, User],
    backup: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CORLL_DATABASE", raising=False)
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "corll.db").write_bytes(b"no database" * 100)
    say_made_of(backup, torn)
    command.main([str(backup), "--to", str(tmp_path / "there"), "--data-dir", str(tmp_path / "x")])
    said = capsys.readouterr().out
    assert "NOTE: no deletions are known" in said
    assert f"NOTE: {torn} cannot be read" in said


@ON_SQLITE
def test_deletions_of_another_service_are_refused(
    users: tuple[User, User],
    backup: Path,
    stranger: tuple[Path, Receipt],
    tmp_path: Path,
) -> None:
    folder, receipt = stranger
    given_out = tmp_path / "receipt.json"
    given_out.write_text(receipt.model_dump_json())
    for place in (folder, folder / FILE, given_out, f"sqlite:///{folder}/corll.db"):
        with pytest.raises(InputError, match=r"another service.*Give --deletions the data folder"):
            command.main([str(backup), "--to", str(tmp_path / "there"), "--deletions", str(place)])
        assert not (tmp_path / "there").exists()


@ON_SQLITE
def test_a_folder_that_has_lost_its_users_is_known_by_their_deletions(
    database: Database, users: tuple[User, User], backup: Path, tmp_path: Path
) -> None:
    """Its file is enough, where it names a user of the backup."""
    delete_now(database, "user", users[0].id, actor="a")
    there = ["--to", str(tmp_path / "there"), "--deletions", str(tmp_path / "data" / FILE)]
    command.main([str(backup), *there])
    restored_to = Database.open(None, tmp_path / "there")
    with restored_to.read() as db:
        assert [user.id for user in accounts.users_of(db, None)] == [users[1].id]
    restored_to.close()


def test_a_folder_of_0_1_knows_of_no_deletions(older: Path) -> None:
    [folder] = [path.parent for path in older.rglob("corll.db")]
    assert deletions_at(str(folder)) == []

"""A backup holds what was there at one moment, whole, and says so where it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_folders import all_rows, filled, noted, taught
from sqlalchemy import Connection, update

from corll.errors import ConfigError, InputError, StoreError
from corll.service.backup import making, weights
from corll.service.backup.making import back_up
from corll.service.backup.manifest import MANIFEST, verify_backup
from corll.service.backup.restoring import restore
from corll.service.store import lineages, migrating
from corll.service.store.accounts import read_audit
from corll.service.store.database import Database
from corll.service.store.schema import drafts, versions
from corll.service.versions import publishing
from corll.service.versions.retention import remove_pruned

NOW = 1_800_000_000.0


@pytest.fixture
def backup(database: Database, tmp_path: Path) -> Path:
    filled(database)
    back_up(database, tmp_path / "backup", now=NOW)
    return tmp_path / "backup"


def restored(backup: Path, url: str | None, folder: Path) -> Database:
    restore(backup, url, folder, actor="cli test", now=NOW)
    return Database.open(url, folder)


def test_every_row_and_folder_comes_back_in_any_kind_of_database(
    database: Database, backup: Path, other_url: str | None, tmp_path: Path
) -> None:
    before = all_rows(database)
    assert {len(before[name]) for name in ("users", "versions", "edits")} == {2, 3, 6}
    there = restored(backup, other_url, tmp_path / "there")
    assert all_rows(there) == before
    with there.read() as db:
        for version in lineages.known_folders(db):
            assert (tmp_path / "there" / version / "manifest.json").is_file()
        assert (tmp_path / "there/references/house/adapter_model.safetensors").is_file()
        entry = read_audit(db, limit=1)[0]
    assert (entry.actor, entry.action, entry.details["made_at"]) == ("cli test", "restore", NOW)
    taught(there, next(iter(users(there))))
    there.close()


def users(database: Database) -> list[Any]:
    from corll.service.store.accounts import users_of

    with database.read() as db:
        return users_of(db, "home")


def test_numbers_go_on_after_those_of_rows_that_are_gone(
    database: Database, other_url: str | None, tmp_path: Path
) -> None:
    """A number that was given once is given to nobody else."""
    ada, _ = filled(database)

    def drop_the_last(db: Connection) -> int:
        from store_samples import kept_draft

        number = "SELECT max(number) FROM drafts"
        draft = kept_draft(db, ada)
        last = int(db.exec_driver_sql(number).scalar_one())
        db.execute(drafts.delete().where(drafts.c.id == draft.id))
        return last

    last = database.write(drop_the_last)
    last_entry = noted(database, "before")
    back_up(database, tmp_path / "backup", now=NOW)
    there = restored(tmp_path / "backup", other_url, tmp_path / "there")
    taught(there, users(there)[0])
    with there.read() as db:
        numbers = db.exec_driver_sql(f"SELECT count(*) FROM drafts WHERE number > {last}").scalar()
    assert numbers == 2
    assert noted(there, "after") > last_entry + 1
    there.close()


def test_what_a_backup_holds(database: Database, backup: Path) -> None:
    manifest = verify_backup(backup)
    assert manifest.schema_revision == migrating.newest_revision()
    assert manifest.rows["edits"] == 6
    assert manifest.base_model is None
    assert manifest.made_of == str(database.folder)
    assert {path for path in manifest.files if path.startswith("references")} == {
        f"references/house/{name}"
        for name in ("adapter_config.json", "adapter_model.safetensors", "manifest.json")
    }
    on_disk = {p.relative_to(backup).as_posix() for p in backup.rglob("*") if p.is_file()}
    assert on_disk == {*manifest.files, MANIFEST}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize(
    "name", ["rows/edits.jsonl", "references/house/adapter_model.safetensors", MANIFEST]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_damaged_or_torn_backup_is_refused_and_the_file_named(
    backup: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(backup / name)
    with pytest.raises(InputError) as refused:
        restore(backup, None, tmp_path / "there", actor="a", now=NOW)
    assert Path(name).name in str(refused.value)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_revision": "9999"}, "newer corll"),
        ({"format": 2}, "newer corll"),
        ({"counters": {"drafts": 0}}, "checksum"),
        ({"files": {"../outside": {"bytes": 0, "sha256": ""}}}, "outside"),
        ({"files": {}}, "rows of"),
        ({"rows": None}, "fields"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_manifest_that_says_something_else_is_refused(
    backup: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    from corll.service.backup import manifest

    content = json.loads((backup / MANIFEST).read_text())
    checksum = content.pop("sha256")
    content |= change
    if "counters" not in change:
        checksum = manifest._checksum(content)
    (backup / MANIFEST).write_text(json.dumps({**content, "sha256": checksum}))
    with pytest.raises(InputError, match=said):
        restore(backup, None, tmp_path / "there", actor="a", now=NOW)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_an_empty_folder_is_written_into(
    database: Database, backup: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    restored(backup, None, tmp_path / "there").close()
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="not empty"):
        restore(backup, None, tmp_path / "there", actor="a", now=NOW)
    with pytest.raises(ConfigError, match="not empty"):
        back_up(database, backup, now=NOW)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_database_that_is_not_empty_is_left_alone(
    backup: Path, database: Database, database_url: str | None, tmp_path: Path
) -> None:
    before = all_rows(database)
    url = database_url or f"sqlite:///{database.url.database}"
    with pytest.raises(StoreError, match="already"):
        restore(backup, url, tmp_path / "there", actor="a", now=NOW)
    assert not (tmp_path / "there").exists()
    assert all_rows(database) == before


def test_a_restore_that_fails_leaves_nothing(
    backup: Path, other_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corll.service.backup import restoring

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "set_counters", full)
        with pytest.raises(StoreError, match="No space left"):
            restore(backup, other_url, tmp_path / "there", actor="a", now=NOW)
    assert not (tmp_path / "there").exists()
    restored(backup, other_url, tmp_path / "there").close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_that_fails_leaves_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(database)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "write_rows", full)
    with pytest.raises(StoreError, match="No space left"):
        back_up(database, tmp_path / "backup", now=NOW)
    assert not (tmp_path / "backup").exists()


def test_weights_that_retention_removes_meanwhile_are_not_in_the_backup(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are read anew, and no longer name them."""
    ada, ben = filled(database)
    for _ in range(3):
        taught(database, ada)
    copy, pruned = weights.copy_weights, []

    def prune_first(*about: Any) -> None:
        if not pruned:
            pruned.extend(remove_pruned(database, ada.id))
            taught(database, ben)
        copy(*about)

    monkeypatch.setattr(making, "copy_weights", prune_first)
    back_up(database, tmp_path / "backup", now=NOW)
    assert [version.number for version in pruned] == [1]
    there = restored(tmp_path / "backup", None, tmp_path / "there")
    assert all_rows(there) == all_rows(database)
    with there.read() as db:
        named = {place.rpartition("/")[2] for place in lineages.known_folders(db)}
    assert {path.name for path in (tmp_path / "there/versions").iterdir()} == named
    there.close()


def test_all_rows_are_of_one_moment(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while the rows are read is not among them."""
    ada, ben = filled(database)
    for _ in range(3):
        taught(database, ada)
    before, write_rows = all_rows(database), making.write_rows

    def write_meanwhile(*about: Any) -> int:
        taught(database, ben)
        remove_pruned(database, ada.id)
        return write_rows(*about)

    monkeypatch.setattr(making, "write_rows", write_meanwhile)
    back_up(database, tmp_path / "backup", now=NOW)
    there = restored(tmp_path / "backup", None, tmp_path / "there")
    assert all_rows(there) == before != all_rows(database)
    there.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_optimizer_that_went_before_is_not_missed(database: Database, tmp_path: Path) -> None:
    ada, _ = filled(database)
    with database.read() as db:
        version = lineages.versions_of(db, ada.id)[0]
    database.write(lambda db: lineages.forget_optimizer(db, version.id))
    back_up(database, tmp_path / "left", now=NOW)
    optimizer = "corll_optimizer.safetensors"
    assert not (tmp_path / "left" / str(version.folder) / optimizer).exists()
    (database.versions.at(str(version.folder)) / optimizer).unlink()
    back_up(database, tmp_path / "gone", now=NOW)
    verify_backup(tmp_path / "gone")


@pytest.mark.parametrize("damage", [shutil.rmtree, lambda folder: flip(folder / MANIFEST)])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_weights_that_are_damaged_are_named_and_no_backup_is_made(
    database: Database, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    ada, _ = filled(database)
    with database.read() as db:
        version = lineages.versions_of(db, ada.id)[0]
    damage(database.versions.at(str(version.folder)))
    with pytest.raises(StoreError, match=rf"version {version.id}.*corll doctor") as refused:
        back_up(database, tmp_path / "backup", now=NOW)
    assert str(database.versions.at(str(version.folder))) in str(refused.value)
    assert str(tmp_path / "backup") not in str(refused.value)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_adapter_of_two_references_is_copied_once(database: Database, tmp_path: Path) -> None:
    filled(database)
    fingerprint = publishing.file_sha256(
        database.versions.at("references/house/adapter_model.safetensors")
    )
    database.write(
        lambda db: lineages.add_reference(
            db,
            name="again",
            fingerprint=fingerprint,
            folder="references/house",
            base_model="another",
            base_fingerprint="another",
            now=NOW,
        )
    )
    manifest = back_up(database, tmp_path / "backup", now=NOW)
    assert manifest.rows["model_references"] == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_folder_outside_the_data_folder_lies_inside_it_afterwards(
    database: Database, tmp_path: Path
) -> None:
    ada, _ = filled(database)
    with database.read() as db:
        version = lineages.versions_of(db, ada.id)[0]
    elsewhere = tmp_path / "elsewhere" / version.id
    elsewhere.parent.mkdir()
    database.versions.at(str(version.folder)).rename(elsewhere)
    named = update(versions).where(versions.c.id == version.id).values(folder=str(elsewhere))
    database.write(lambda db: db.execute(named))
    back_up(database, tmp_path / "backup", now=NOW)
    there = restored(tmp_path / "backup", None, tmp_path / "there")
    with there.read() as db:
        again = lineages.find_version(db, version.id)
    assert again is not None
    assert again.folder == f"versions/{version.id}"
    assert there.versions.at(again.folder).is_dir()
    there.close()

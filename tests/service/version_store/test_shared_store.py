"""What users learned lies in a store that machines share: made, fetched, deleted, kept, moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from shared_stores import new_place
from teaching import NOW, add_edit, add_user, serving

from corll.errors import ConfigError
from corll.model.file_names import ADAPTER_CONFIG, ADAPTER_WEIGHTS, OPTIMIZER
from corll.policy import Policy
from corll.service.backup.making import back_up
from corll.service.backup.restoring import restore
from corll.service.doctor.examining import examine, mend
from corll.service.learning.holding import Holding
from corll.service.learning.sweeping import Sweep
from corll.service.learning.trainer import Trainer
from corll.service.store import lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.versions.erased_copies import ErasedCopies
from corll.service.versions.forgetting import clean, delete_now
from corll.service.versions.references import import_reference
from corll.service.versions.tombstones import deletions_at
from corll.service.versions.verifying import verify_receipt
from running_service import settings_for


@dataclass(frozen=True)
class Machines:
    """Two machines that share a database and a version store; a learner works on the first."""

    url: str
    trainer: Trainer
    there: Database
    user: User

    @property
    def here(self) -> Database:
        return self.trainer.database

    def learned(self, *texts: str) -> Version:
        """A version that learned two edits."""
        for number, text in enumerate(texts or ("Sorry about it.", "It comes on Friday.")):
            add_edit(self.trainer, self.user, text, number=number)
        version = self.trainer.learn(self.user.id)
        assert version is not None
        assert version.state == "serving"
        return version


@pytest.fixture(params=["file", "s3"])
def machines(
    request: pytest.FixtureRequest,
    policy: Policy,
    tiny_model_folder: Path,
    database_url: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machines]:
    for url in new_place(request.param, tmp_path, monkeypatch):
        here = Database.open(database_url, tmp_path / "here", url)
        shared = database_url or f"sqlite:///{tmp_path}/here/corll.db"
        there = Database.open(shared, tmp_path / "there", url)
        trainer = Trainer(policy, here, settings_for(tiny_model_folder, tmp_path / "here"))
        yield Machines(url, trainer, there, add_user(here, "ann"))
        here.close()
        there.close()


def folder_of(version: Version) -> str:
    assert version.folder is not None
    return version.folder


def test_a_version_is_whole_in_the_store_before_its_row_and_fetched_elsewhere(
    machines: Machines,
) -> None:
    first = machines.learned()
    assert first.folder == f"versions/{first.id}.{str(first.manifest_sha256)[:24]}"
    assert not (machines.here.folder / "versions").exists()
    elsewhere = Trainer(machines.trainer.base, machines.there, machines.trainer.settings)
    for number in (2, 3):
        add_edit(elsewhere, machines.user, f"Number {number}.", number=number)
    second = elsewhere.learn(machines.user.id)
    assert second is not None
    assert (second.number, second.parent_id, second.state) == (2, first.id, "serving")
    assert sorted(machines.here.versions.names("versions")) == sorted([first.folder, second.folder])
    assert examine(machines.here, is_served=False) == []
    assert examine(machines.there, is_served=False) == []


def test_a_deletion_reaches_the_store_and_the_copies_of_every_machine(machines: Machines) -> None:
    version = machines.learned()
    name = folder_of(version)
    copies = ErasedCopies(machines.there)
    machines.there.versions.fetch(name)
    receipt = delete_now(machines.here, "model", machines.user.id, actor="a")
    assert (receipt.cleaned, machines.here.versions.names("versions")) == (True, [])
    assert not machines.here.versions.at(name).exists()
    # The other machine has its copy until it looks, and its own receipt says so.
    [left] = [one for one in verify_receipt(machines.there, receipt) if one.state == "broken"]
    assert "still has weights" in left.text
    with machines.there.read() as db:
        assert [row.id for row in copies.look(db)] == [receipt.id]
    assert not machines.there.versions.at(name).exists()
    for database in (machines.here, machines.there):
        assert {one.state for one in verify_receipt(database, receipt)} == {"holds"}
    assert [row.id for row in deletions_at(machines.url)] == [receipt.id]


def test_a_machine_that_was_off_removes_its_copies_when_it_starts(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = folder_of(machines.learned())
    machines.there.versions.fetch(name)
    delete_now(machines.here, "model", machines.user.id, actor="a")
    monkeypatch.setattr(machines.there.versions._cache, "_least_s", -1.0)  # type: ignore[attr-defined]
    ErasedCopies(machines.there)
    assert not machines.there.versions.at(name).exists()


def test_what_a_store_that_is_away_keeps_is_deleted_later(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = folder_of(machines.learned())

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("it is away")

    with monkeypatch.context() as patch:
        for method in ("find", "rm_file", "rm", "pipe_file", "exists"):
            patch.setattr(machines.here.versions._fs, method, away)  # type: ignore[attr-defined]
        receipt = delete_now(machines.here, "model", machines.user.id, actor="a")
    assert not receipt.cleaned
    assert serving(machines.trainer, machines.user) is None
    assert machines.here.versions.names("versions") == [name]
    assert len(clean(machines.here)) == 1
    assert machines.here.versions.names("versions") == []


def test_old_weights_go_from_the_store(machines: Machines) -> None:
    made = [machines.learned(f"One {n}.", f"Two {n}.") for n in range(6)]
    stored = machines.there.versions
    assert sorted(stored.names("versions")) == sorted(folder_of(one) for one in made[-4:])
    with machines.here.read() as db:
        rows = lineages.versions_of(db, machines.user.id)
    has = [stored.has_file(folder_of(one), OPTIMIZER) for one in rows if one.folder]
    assert has == [one.has_optimizer for one in rows if one.folder]


def test_a_backup_has_the_weights_and_is_restored_into_a_folder_or_a_store(
    machines: Machines, tmp_path: Path
) -> None:
    version = machines.learned()
    name = folder_of(version)
    backup = tmp_path / "backup"
    back_up(machines.there, backup, now=NOW)
    assert (backup / name / ADAPTER_WEIGHTS).is_file()
    with pytest.raises(ConfigError, match="is not empty; name a new folder there"):
        restore(backup, None, tmp_path / "no", actor="a", now=NOW, versions=machines.url)
    assert machines.here.versions.names("versions") == [name]
    for number, url in enumerate((None, f"{machines.url}/again")):
        place = tmp_path / f"restored-{number}"
        restore(backup, None, place, actor="a", now=NOW, versions=url)
        opened = Database.open(None, place, url)
        assert examine(opened, is_served=False) == []
        assert opened.versions.names("versions") == [name]
        opened.close()


def test_a_restore_that_fails_leaves_nothing_in_the_store(
    machines: Machines, tmp_path: Path
) -> None:
    machines.learned()
    back_up(machines.here, tmp_path / "backup", now=NOW)
    taken = tmp_path / "taken.db"
    taken.write_text("no database")
    with pytest.raises(OSError, match="there already"):
        restore(
            tmp_path / "backup",
            f"sqlite:///{taken}",
            tmp_path / "restored",
            actor="a",
            now=NOW,
            versions=f"{machines.url}/again",
        )
    again = Database.open(None, tmp_path / "looking", f"{machines.url}/again")
    assert again.versions.names("versions") == []
    again.close()


def test_an_imported_reference_lies_in_the_store(machines: Machines, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / ADAPTER_CONFIG).write_text(json.dumps({"peft_type": "LORA"}))
    (made / ADAPTER_WEIGHTS).write_bytes(b"weights")

    def imported(database: Database) -> str:
        row = import_reference(database, made, name="house", actor="a", now=NOW)
        assert row.folder is not None
        return row.folder

    place = imported(machines.here)
    assert machines.there.versions.read(place, ADAPTER_WEIGHTS) == b"weights"
    # A part of it, as an upload that was cut short would leave it, is written again.
    machines.here.versions.remove_file(place, "manifest.json")
    assert imported(machines.there) == place
    machines.here.versions.fetch(place)


def test_the_doctor_finds_what_is_wrong_in_the_store(machines: Machines) -> None:
    first = machines.learned()
    second = machines.learned("Three.", "Four.")
    machines.here.versions.put("versions/ver_half", machines.here.versions.at(folder_of(first)))
    machines.here.versions.remove_file("versions/ver_half", "manifest.json")
    machines.here.versions.remove_file(folder_of(second), ADAPTER_WEIGHTS)
    found = [finding.problem for finding in examine(machines.there, is_served=False)]
    assert any("ver_half is named by no row" in problem for problem in found)
    assert any("It serves" in problem and "Version 2" in problem for problem in found)
    assert mend(machines.there, lambda _: None) == []
    now = serving(machines.trainer, machines.user)
    assert now is not None
    assert now.id == first.id
    assert machines.there.versions.names("versions") == [first.folder]


def test_what_no_version_names_goes_once_whoever_worked_then_has_ended(machines: Machines) -> None:
    version = machines.learned()
    source = machines.here.versions.at(folder_of(version))
    machines.here.versions.put("versions/ver_lost", source)
    sweep = Sweep(machines.there)
    with Holding(machines.here, "a learner").of(machines.user.id) as is_held:
        assert is_held
        for _ in range(3):
            sweep.look()
        assert machines.here.versions.holds("versions/ver_lost")
    sweep.look()
    assert machines.here.versions.names("versions") == [version.folder]

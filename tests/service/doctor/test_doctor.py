"""What the doctor finds, what it mends, and that it leaves alone what is sound."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from data_folders import all_rows, filled, taught
from sqlalchemy import Connection, insert, update
from store_samples import NOW, ON_SQLITE

from corll.cli.doctor import main
from corll.errors import ConfigError, StoreError
from corll.service.doctor.examining import examine, mend
from corll.service.doctor.findings import Finding
from corll.service.folder_lock import only_server
from corll.service.store import lineages, preferences, starts
from corll.service.store.accounts import User
from corll.service.store.clock import database_time
from corll.service.store.database import Database
from corll.service.store.lineages import Version
from corll.service.store.schema import aliases, learn_requests, learning_leases
from corll.service.store.schema import lineages as lineages_table
from corll.service.store.schema import versions as versions_table

OPTIMIZER = "corll_optimizer.safetensors"


class Folder:
    """A filled data folder, of which ada has versions 1, 2 and 3 and ben has version 1."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ada, self.ben = filled(database)
        taught(database, self.ada)

    def version(self, number: int, user: User | None = None) -> Version:
        with self.database.read() as db:
            found = lineages.find_version_by_number(db, (user or self.ada).id, number)
        assert found is not None
        return found

    def folder(self, number: int) -> Path:
        return self.database.versions.at(str(self.version(number).folder))

    def change(self, number: int, **values: Any) -> None:
        version = self.version(number)
        changed = update(versions_table).where(versions_table.c.id == version.id).values(values)
        self.database.write(lambda db: db.execute(changed))

    def states(self) -> list[str]:
        with self.database.read() as db:
            rows = preferences.preferences_of(db, self.ada.id)
        return [row.state for row in rows if row.version_id is not None or row.state == "learned"]

    def serving(self) -> int:
        with self.database.read() as db:
            found = lineages.serving_version(db, self.ada.id)
        return 0 if found is None else found.number


@pytest.fixture
def folder(database: Database) -> Folder:
    return Folder(database)


def findings(folder: Folder, *, is_served: bool = False) -> list[Finding]:
    return examine(folder.database, is_served=is_served)


def problems(folder: Folder, *, is_served: bool = False) -> list[str]:
    return [finding.problem for finding in findings(folder, is_served=is_served)]


def mended(folder: Folder) -> list[str]:
    """What is wrong after mending."""
    return [finding.problem for finding in mend(folder.database, lambda _: None)]


def test_nothing_is_wrong_with_a_sound_folder(folder: Folder) -> None:
    before = all_rows(folder.database)
    assert problems(folder) == []
    assert mended(folder) == []
    assert all_rows(folder.database) == before


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES: list[Callable[[Path], None]] = [
    shutil.rmtree,
    lambda folder: change_a_byte(folder / "adapter_model.safetensors"),
    lambda folder: (folder / "adapter_config.json").unlink(),
    lambda folder: (folder / "manifest.json").write_text("{}") and None,
]


@pytest.mark.parametrize("damage", DAMAGES)
@ON_SQLITE
def test_a_damaged_version_that_does_not_serve_is_forgotten(
    folder: Folder, damage: Callable[[Path], None]
) -> None:
    place = folder.folder(2)
    damage(place)
    (found,) = problems(folder)
    assert found.startswith("Version 2 of ada of 'home': ")
    assert found.endswith("It does not serve")
    assert mended(folder) == []
    assert folder.version(2).folder is None
    assert (folder.serving(), place.exists()) == (3, False)


def lease(user_id: str, *, ends_in: float) -> Callable[[Connection], None]:
    """A transaction that has a learner hold a user for so many seconds."""

    def hold(db: Connection) -> None:
        until = database_time(db) + ends_in
        values = {"user_id": user_id, "holder": "gone", "fence": 7, "expires_at": until}
        db.execute(insert(learning_leases).values(values))

    return hold


def test_a_lease_of_a_clock_that_was_ahead_is_ended(folder: Folder) -> None:
    folder.database.write(lease(folder.ben.id, ends_in=20))
    assert problems(folder) == []
    folder.database.write(lease(folder.ada.id, ends_in=31_536_000))
    (found,) = problems(folder, is_served=True)
    assert found.startswith("ada of 'home': a learner holds them for 31536000 s more")
    assert mended(folder) == []
    with folder.database.read() as db:
        rows = {row.user_id: row for row in db.execute(learning_leases.select())}
    assert (rows[folder.ada.id].expires_at, rows[folder.ada.id].fence) == (0, 8)
    assert rows[folder.ben.id].fence == 7


@ON_SQLITE
def test_a_lease_of_a_user_who_is_not_there_is_removed(folder: Folder) -> None:
    with closing(sqlite3.connect(folder.database.folder / "corll.db")) as unchecked, unchecked:
        unchecked.execute("INSERT INTO learning_leases VALUES ('user_gone', 'gone', 7, 0)")
    (found,) = findings(folder)
    assert found.problem == "A lease names user user_gone, who is not there"
    assert mended(folder) == []
    assert problems(folder) == []


def test_a_damaged_version_that_serves_gives_way_to_the_nearest_whole_one(
    folder: Folder,
) -> None:
    """What only the versions after that were taught waits again."""
    assert folder.states() == ["learned"] * 3
    for number in (2, 3):
        shutil.rmtree(folder.folder(number))
    (of_serving,) = (one for one in findings(folder) if one.problem.endswith("It serves"))
    assert of_serving.mend is not None
    of_serving.mend()
    assert folder.serving() == 1
    assert mended(folder) == []
    assert folder.serving() == 1
    with folder.database.read() as db:
        states = [row.state for row in preferences.preferences_of(db, folder.ada.id)]
        waiting = preferences.count_waiting(db, folder.ada.id)
    assert states.count("learned") == 1
    assert waiting == 5


@ON_SQLITE
def test_where_no_version_is_whole_the_reference_serves(folder: Folder) -> None:
    for number in (1, 2, 3):
        shutil.rmtree(folder.folder(number))
    assert mended(folder) == []
    assert folder.serving() == 0


@ON_SQLITE
def test_an_optimizer_that_is_missing_or_left_over(folder: Folder) -> None:
    (folder.folder(1) / OPTIMIZER).unlink()
    folder.change(2, has_optimizer=False)
    missing, left = problems(folder)
    assert missing.endswith("is missing")
    assert left.endswith("was left over")
    assert mended(folder) == []
    assert [folder.version(number).has_optimizer for number in (1, 2, 3)] == [False, False, True]
    assert not (folder.folder(2) / OPTIMIZER).exists()
    assert folder.serving() == 3


@ON_SQLITE
def test_what_a_crash_left_is_removed_and_what_a_row_names_is_not(folder: Folder) -> None:
    root = folder.database.folder
    (root / "base").mkdir()
    (root / "base" / "f0-float32.weights").touch()
    left = ["versions/ver_unnamed", "versions/.ver_x.new", "references/unnamed"]
    for name in left:
        (root / name).mkdir()
    for name in ("base/tmpabc", "corll.db.new-wal"):
        (root / name).touch()
    assert len(problems(folder)) == 5
    assert problems(folder, is_served=True) == []
    kept = [folder.folder(number) for number in (1, 2, 3)]
    assert mended(folder) == []
    assert all(path.is_dir() for path in kept)
    assert (root / "references/house").is_dir()
    assert (root / "base" / "f0-float32.weights").exists()
    assert not any((root / name).exists() for name in left)


@ON_SQLITE
def test_a_request_that_nobody_can_fulfil_is_forgotten(folder: Folder) -> None:
    def ask(db: Connection) -> None:
        preferences.withhold_waiting(db, folder.ben.id)
        for user in (folder.ada, folder.ben):
            db.execute(insert(learn_requests).values(user_id=user.id, asked_at=NOW))

    folder.database.write(ask)
    (found,) = problems(folder)
    assert found.startswith("1 requests to learn are claimed by no learner")
    assert mended(folder) == []
    with folder.database.read() as db:
        assert preferences.users_who_asked(db) == {folder.ada.id}


@ON_SQLITE
def test_an_alias_and_states_that_differ(folder: Folder) -> None:
    third, first = folder.version(3), folder.version(1)
    moved = update(aliases).where(aliases.c.user_id == folder.ada.id)
    folder.database.write(lambda db: db.execute(moved.values(version_id=first.id)))
    assert problems(folder) == ["ada of 'home': marked as serving: 3; but the alias names 1"]
    assert mended(folder) == []
    assert [folder.version(number).state for number in (1, 2, 3)] == [
        "serving",
        "retired",
        "retired",
    ]
    assert third.folder is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.change(1, parent_id=f.version(3).id), "version 1 is its own ancestor"),
        (lambda f: f.change(2, parent_id=f.version(1, f.ben).id), "another user's"),
        (lambda f: f.change(2, lineage_id=f.version(1, f.ben).lineage_id), "lineage of another"),
        (lambda f: open_another_lineage(f), "2 lineages have not ended"),
    ],
)
@ON_SQLITE
def test_lineages_that_do_not_hold_together_are_told_and_left_alone(
    folder: Folder, change: Callable[[Folder], None], said: str
) -> None:
    change(folder)
    shutil.rmtree(folder.folder(3))
    before = all_rows(folder.database)
    assert any(said in problem for problem in problems(folder))
    assert mended(folder) == problems(folder) != []
    assert all_rows(folder.database) == before


def open_another_lineage(folder: Folder) -> None:
    version = folder.version(1)
    row = {
        "id": "lineage_2",
        "user_id": folder.ada.id,
        "reference_id": version.reference_id,
        "created_at": NOW,
    }
    folder.database.write(lambda db: db.execute(insert(lineages_table).values(row)))


@ON_SQLITE
def test_a_damaged_reference_is_told_and_who_waits_for_it_is_refused(folder: Folder) -> None:
    change_a_byte(folder.database.versions.at("references/house/adapter_model.safetensors"))
    with folder.database.read() as db:
        house = lineages.all_references(db)[-1]
    folder.database.write(
        lambda db: starts.ask_to_start(
            db, user_id=folder.ada.id, reference_id=house.id, actor="a", now=NOW
        )
    )
    told, waits = problems(folder)
    assert told.startswith("Reference 2 (house style): ")
    assert "waits for reference 2" in waits
    assert mended(folder) == [told]
    with folder.database.read() as db:
        latest = starts.latest_start(db, folder.ada.id)
    assert latest is not None
    assert latest.state == "rejected"


@ON_SQLITE
def test_the_command_says_it_in_words_and_by_its_exit_code(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(folder.database.folder)
    main([place])
    assert capsys.readouterr().out == "Nothing is wrong.\n"
    shutil.rmtree(folder.folder(2))
    with pytest.raises(StoreError, match="1 findings"):
        main([place])
    assert "--mend removes what is left" in capsys.readouterr().out
    with only_server(folder.database.folder):
        with pytest.raises(ConfigError, match="Another server"):
            main([place, "--mend"])
        with pytest.raises(StoreError, match="1 findings"):
            main([place])
    assert "A server runs" in capsys.readouterr().out
    main([place, "--mend"])
    said = capsys.readouterr().out
    assert said.startswith("Mended. Version 2 of ada")
    assert said.endswith("Nothing is wrong.\n")

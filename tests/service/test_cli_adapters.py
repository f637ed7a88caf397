"""`corll adapters` on a store with versions of a user: list, show, rollback, prune."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import ON_SQLITE

from corll.cli.adapters import main
from corll.errors import ConfigError, InputError
from corll.model.file_names import OPTIMIZER
from corll.service.store.accounts import User, get_or_create_user, read_audit
from corll.service.store.database import Database
from corll.service.store.lineages import (
    Version,
    add_reference,
    find_version_by_number,
    get_or_create_base_reference,
    register_version,
    serving_version,
    start_lineage,
    versions_of,
)
from corll.service.store.starts import latest_start, settle_start
from corll.service.versions.references import begin

NUMBERS = range(1, 13)


@pytest.fixture
def database(tmp_path: Path, database_of_commands: str | None) -> Iterator[Database]:
    database = Database.open(database_of_commands, tmp_path)
    yield database
    database.close()


@pytest.fixture
def anna(database: Database, tmp_path: Path) -> User:
    """A user whom version 12 serves; each version comes from the one before."""
    user = database.write(lambda db: get_or_create_user(db, "local", "anna", store=True, now=1))
    reference = database.write(
        lambda db: get_or_create_base_reference(db, base_model="m", base_fingerprint="f", now=1)
    )
    lineage = database.write(
        lambda db: start_lineage(db, user_id=user.id, reference_id=reference.id, now=1)
    )
    parent: str | None = None
    for number in NUMBERS:
        folder = tmp_path / "versions" / f"version_{number}"
        folder.mkdir(parents=True)
        (folder / OPTIMIZER).touch()
        version = Version(
            id=f"version_{number}",
            user_id=user.id,
            lineage_id=lineage.id,
            number=number,
            parent_id=parent,
            reference_id=reference.id,
            state="candidate",
            reasons=[],
            metrics={"loss": 0.5},
            folder=str(folder),
            manifest_sha256="0" * 64,
            has_optimizer=True,
            steps=number,
            created_at=float(number),
            served_at=None,
        )
        database.write(
            lambda db, version=version, parent=parent: register_version(
                db, version, preference_ids=[], expected_parent=parent, serve=True, now=2
            )
        )
        parent = version.id
    return user


def of_anna(command: str, *flags: str) -> None:
    main([command, *flags, "--user", "anna"])


def test_list(anna: User, capsys: pytest.CaptureFixture[str]) -> None:
    of_anna("list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        [str(number), "serving" if number == 12 else "retired", str(number - 1)]
        for number in NUMBERS
    ]


def test_show(anna: User, capsys: pytest.CaptureFixture[str]) -> None:
    of_anna("show", "7")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["number"], shown["metrics"], shown["parent_id"]) == (
        7,
        {"loss": 0.5},
        "version_6",
    )
    assert shown["reference"]["base_model"] == "m"
    with pytest.raises(ConfigError, match="has no version 13"):
        of_anna("show", "13")


def test_rollback(anna: User, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    of_anna("rollback", "7")
    assert "version 7 serves anna" in capsys.readouterr().out
    with database.read() as db:
        serving = serving_version(db, anna.id)
        assert serving is not None
        assert serving.number == 7
        entry = read_audit(db, subject=anna.id, limit=1)[0]
        assert (entry.action, entry.actor.startswith("cli ")) == ("rollback", True)
    of_anna("rollback", "0", "--requeue")
    assert "the reference serves anna" in capsys.readouterr().out
    with database.read() as db:
        assert serving_version(db, anna.id) is None
    of_anna("list")
    assert "The reference serves" in capsys.readouterr().out
    with pytest.raises(InputError, match="no version 40"):
        of_anna("rollback", "40")


def test_prune(
    anna: User, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_anna("rollback", "11")
    capsys.readouterr()
    said = "version 1, 2, 3, 4, 5, 6, 7, 12."
    of_anna("prune", "--dry-run")
    assert said in capsys.readouterr().out
    with database.read() as db:
        assert all(version.folder for version in versions_of(db, anna.id))
    of_anna("prune")
    assert said in capsys.readouterr().out
    left = sorted(path.name for path in (tmp_path / "versions").iterdir())
    assert left == ["version_10", "version_11", "version_8", "version_9"]
    with database.read() as db:
        version = find_version_by_number(db, anna.id, 1)
        assert version is not None
        assert version.folder is None
        entry = read_audit(db, subject=anna.id, limit=1)[0]
        assert entry.action == "prune"
        assert entry.details == {"versions": [1, 2, 3, 4, 5, 6, 7, 12], "optimizers": []}
    of_anna("prune")
    assert capsys.readouterr().out.count("none") == 2


def test_start(anna: User, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    of_anna("start", "1")
    assert "anna starts from m" in capsys.readouterr().out
    with database.read() as db:
        assert serving_version(db, anna.id) is None
        entry = read_audit(db, subject=anna.id, limit=1)[0]
        assert (entry.action, entry.details) == ("lineage started", {"reference": 1})
    with pytest.raises(InputError, match=r"no reference 2. There are: 1 \(m\)"):
        of_anna("start", "2")


def test_an_adapter_is_examined_before_a_user_starts_from_it(
    anna: User, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says so, and the list what became of it."""
    bob = database.write(lambda db: get_or_create_user(db, "local", "bob", store=True, now=1))
    added = database.write(
        lambda db: add_reference(
            db,
            name="house style",
            fingerprint="f1",
            folder="references/f1",
            base_model="m",
            base_fingerprint="f",
            now=1,
        )
    )
    of_anna("start", "2")
    assert "anna is to start from house style" in capsys.readouterr().out
    with database.read() as db:
        serving, asked = serving_version(db, anna.id), latest_start(db, anna.id)
        assert latest_start(db, bob.id) is None
    assert serving is not None
    assert serving.number == 12
    assert asked is not None
    of_anna("list")
    assert "Reference 2 (house style) is being examined" in capsys.readouterr().out
    database.write(
        lambda db: settle_start(db, asked.number, "rejected", reasons=["it loops"], now=2)
    )
    of_anna("list")
    said = "Reference 2 (house style) was rejected, so what served goes on: it loops."
    assert said in capsys.readouterr().out
    of_anna("start", "2")
    capsys.readouterr()
    with database.read() as db:
        waiting = latest_start(db, anna.id)
    assert waiting is not None
    database.write(lambda db: begin(db, waiting, added, examined=False, now=3))
    of_anna("list")
    said = "start from reference 2 (house style), which was not examined before it served."
    assert said in capsys.readouterr().out
    main(["list", "--user", "bob"])
    assert "house style" not in capsys.readouterr().out


@ON_SQLITE
def test_who_is_not_there(anna: User, tmp_path: Path) -> None:
    main(["list", "--user", anna.id])
    with pytest.raises(ConfigError, match=r"no user 'bob'\. There are: anna"):
        main(["list", "--user", "bob"])
    with pytest.raises(ConfigError, match="has no users yet"):
        main(["list", "--namespace", "shop"])
    with pytest.raises(ConfigError, match="no database"):
        main(["list", "--data-dir", str(tmp_path / "elsewhere")])
    with pytest.raises(ConfigError, match="list, show, rollback, prune"):
        main(["drop"])

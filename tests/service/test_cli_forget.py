"""`corll forget` and `corll verify-deletion`, on a data folder that no service uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import Connection
from store_samples import NOW, add_user, edit, kept_draft, new_version, register

from corll.cli import forget as command
from corll.cli import verify_deletion
from corll.cli.forget import main, told
from corll.client import DEFAULT_BASE_URL
from corll.errors import ConfigError, InputError
from corll.schemas.deletions import DeletedCounts, Receipt, Replay
from corll.service.announcing import address_noted
from corll.service.folder_lock import only_server
from corll.service.store.accounts import User, get_or_create_user, read_audit, users_of
from corll.service.store.database import Database
from corll.service.store.drafts import drafts_of, edits_of
from corll.service.store.lineages import Version, serving_version
from corll.service.versions import forgetting, publishing


@pytest.fixture
def database(tmp_path: Path, database_of_commands: str | None) -> Iterator[Database]:
    database = Database.open(database_of_commands, tmp_path)
    yield database
    database.close()


@pytest.fixture
def learned(database: Database) -> tuple[User, list[str], list[Version]]:
    """A user, two edits, and the version that learned from each."""
    user = database.write(lambda db: add_user(db, "anna"))
    ids, made = [], []
    for number in range(2):
        place = f"versions/version_{number}"
        digest = publishing.publish(
            database.versions.at(place), lambda to: (to / "weights").write_text("0")
        )

        def write(db, place=place, digest=digest, number=number):  # type: ignore[no-untyped-def]
            sent = edit(db, kept_draft(db, user), f"Text {number}")
            changes = {"id": f"version_{number}", "folder": place, "manifest_sha256": digest}
            return sent, register(db, new_version(db, user, **changes), sent.preference_id)

        sent, version = database.write(write)
        ids.append(sent.id)
        made.append(version)
    return user, ids, made


OF_ANNA = ["--user", "anna", "--namespace", "home"]


def test_an_edit_is_deleted_and_its_receipt_holds(
    database: Database,
    learned: tuple[User, list[str], list[Version]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    user, ids, made = learned
    main(["edit", ids[1], "--dry-run"])
    planned = capsys.readouterr()
    assert planned.out == ""
    assert "Versions that saw it, and are erased: 2." in planned.err
    assert "version 1 serves" in planned.err
    with pytest.raises(ConfigError, match="--yes"):
        main(["edit", ids[1]])
    with database.read() as db:
        assert serving_version(db, user.id) == made[1]
    capsys.readouterr()
    main(["edit", ids[1], "--yes"])
    said = capsys.readouterr().out
    receipt = Receipt.model_validate_json(said)
    assert receipt.cleaned
    assert [one.number for one in receipt.erased] == [2]
    with database.read() as db:
        serving = serving_version(db, user.id)
        assert [one.id for one in edits_of(db, user.id, limit=9)] == ids[:1]
        assert read_audit(db, subject=user.id)[0].actor.startswith("cli ")
    assert serving is not None
    assert serving.id == made[0].id
    kept = tmp_path / "receipt.json"
    kept.write_text(said)
    for given in (str(kept), receipt.id):
        verify_deletion.main([given, "--records-only"])
        assert "NOT" not in capsys.readouterr().out
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps({**json.loads(said), "deleted_at": 1.0}))
    with pytest.raises(InputError, match="does not hold"):
        verify_deletion.main([str(forged)])
    assert "NOT  the receipt is not" in capsys.readouterr().out
    (database.versions.at(str(made[1].folder))).mkdir()
    with pytest.raises(InputError, match="does not hold"):
        verify_deletion.main([receipt.id])
    assert "still has weights" in capsys.readouterr().out


def test_a_folder_that_a_service_uses_is_left_to_the_service(
    database: Database, learned: tuple[User, list[str], list[Version]]
) -> None:
    with only_server(database.folder):
        with pytest.raises(ConfigError, match=f"--base-url {DEFAULT_BASE_URL}"):
            main(["model", *OF_ANNA, "--yes"])
        address = "http://127.0.0.1:9123"
        with (
            address_noted(database.folder, address),
            pytest.raises(ConfigError, match=f"--base-url {address} "),
        ):
            main(["model", *OF_ANNA, "--yes"])


def test_an_error_of_the_deletion_is_not_told_as_a_service_that_runs(
    database: Database,
    learned: tuple[User, list[str], list[Version]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("the store of versions needs a package")

    monkeypatch.setattr(forgetting, "delete_now", fail)
    with pytest.raises(ConfigError, match="needs a package"):
        main(["model", *OF_ANNA, "--yes"])


@pytest.fixture
def carlas(database: Database) -> tuple[User, User]:
    """Two people of one name, in two name spaces."""

    def add(db: Connection, namespace: str) -> User:
        return get_or_create_user(db, namespace, "carla", store=True, now=NOW)

    local = database.write(lambda db: add(db, "local"))
    return local, database.write(lambda db: add(db, "shop"))


def test_of_two_of_one_name_the_one_of_the_name_space_is_named_and_deleted(
    database: Database,
    carlas: tuple[User, User],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    local, shop = carlas
    who = f"user 'carla' ({shop.id}, name space 'shop')"
    of_shop = ["user", "--user", "carla", "--namespace", "shop"]
    main([*of_shop, "--dry-run"])
    assert f"To be deleted: {who}." in capsys.readouterr().err
    asked: list[str] = []

    def decline(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr(command, "ask", decline)
    monkeypatch.setattr(command, "terminal_dialogue", lambda yes: Mock(someone_is_there=True))
    with pytest.raises(ConfigError, match="Nothing was deleted"):
        main(of_shop)
    assert asked == [f"Delete {who}?"]
    main([*of_shop, "--yes"])
    with database.read() as db:
        assert [user.id for user in users_of(db, None)] == [local.id]


def test_a_service_is_asked_for_no_name_space(
    carlas: tuple[User, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look for the name in the key's own, and delete another person."""
    there = ["--yes", "--base-url", "http://127.0.0.1:1"]
    for namespace in ("shop", "local"):
        with pytest.raises(ConfigError, match=r"leave --namespace out.*the user's id"):
            main(["user", "--user", "carla", "--namespace", namespace, *there])


def test_a_thing_of_another_than_who_is_named_stays(
    database: Database, learned: tuple[User, list[str], list[Version]]
) -> None:
    anna, ids, _ = learned
    ben = database.write(lambda db: add_user(db, "ben"))
    of_ben = ["--user", "ben", "--namespace", "home"]
    with database.read() as db:
        draft = drafts_of(db, anna.id, limit=1)[0].id
    for thing in (["edit", ids[1]], ["draft", draft]):
        with pytest.raises(InputError, match=rf"{anna.id}.* is not of user 'ben' \({ben.id}"):
            main([*thing, *of_ben, "--yes"])
        with pytest.raises(InputError, match="is not of"):
            main([*thing, *of_ben, "--dry-run"])
        with pytest.raises(ConfigError, match="no user 'nobody'"):
            main([*thing, "--user", "nobody", "--yes"])
        with pytest.raises(ConfigError, match="give both, or neither"):
            main([*thing, "--namespace", "home", "--yes"])
    with database.read() as db:
        assert len(edits_of(db, anna.id, limit=9)) == 2
    main(["edit", ids[1], *OF_ANNA, "--yes"])
    main(["edit", ids[0], "--user", anna.id, "--yes"])
    with database.read() as db:
        assert edits_of(db, anna.id, limit=9) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["edit"], "needs the id"),
        (["user", "edit_1"], "takes no id"),
        (["edit", "edit_none", "--yes"], "no edit 'edit_none'"),
        (["texts", "--user", "nobody"], "no user 'nobody'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    database: Database, arguments: list[str], problem: str
) -> None:
    with pytest.raises((ConfigError, InputError), match=problem):
        main(arguments)


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_a_name_that_cannot_be_one_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["texts", "--user", name])
    assert "--user: String should have at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "is not known"), (42.4, "about 42 s"), (360.0, "about 6 minutes")],
)
def test_the_cost_is_said(seconds: float | None, said: str) -> None:
    receipt = Receipt(
        object="deletion",
        id="d",
        kind="edit",
        subject="e",
        user="u",
        deleted_at=0.0,
        counts=DeletedCounts(edits=1),
        erased=[],
        references=[],
        stands_in=None,
        replay=Replay(state="waiting", edits=312, seconds=seconds),
        first_without=None,
        drafts_of_erased=0,
        drafts_behind=0,
        cleaned=False,
        sha256="",
    )
    lines = list(told(receipt))
    assert lines[0] == "Deleted are: 1 edits."
    assert any("replays 312 edits" in line and said in line for line in lines)

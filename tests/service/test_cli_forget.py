"""`corll forget` and `corll verify-deletion`, on a data folder that no service uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import add_user, edit, kept_draft, new_version, register

from corll.cli import verify_deletion
from corll.cli.forget import main, told
from corll.errors import ConfigError, InputError
from corll.schemas.deletions import DeletedCounts, Receipt, Replay
from corll.service.folder_lock import only_server
from corll.service.store.accounts import User, read_audit
from corll.service.store.database import Database
from corll.service.store.drafts import edits_of
from corll.service.store.lineages import Version, serving_version
from corll.service.versions import publishing


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
    with only_server(database.folder), pytest.raises(ConfigError, match="--base-url"):
        main(["model", *OF_ANNA, "--yes"])


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
